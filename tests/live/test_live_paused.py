"""A paused container, asked of the kernel: a connection opens, nobody answers, and the trace says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from lab import HOST_IP, INTERNET_IP, Lab, LabError
from terminal import Terminal

CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 3) as one:
    print("opened")
    one.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    one.settimeout(2)
    try:
        print("answered", one.recv(1))
    except TimeoutError:
        print("silent")
"""


@pytest.fixture
def paused(lab: Lab) -> Iterator[Lab]:
    lab.httpd("frozen", "-p", "8090:80")
    lab.docker("pause", "frozen")
    yield lab
    lab.docker("unpause", "frozen")
    lab.remove_containers()


def test_a_connection_opens_and_nobody_answers(paused: Lab) -> None:
    with pytest.raises(LabError, match="timed out"):
        paused.fetch(f"http://{HOST_IP}:8090/")
    assert paused.outside(sys.executable, "-c", CONNECT, HOST_IP, "8090").split() == ["opened", "silent"]
    for words in (("outside", f"{HOST_IP}:8090"), ("host", "127.0.0.1:8090")):
        done = paused.netdash("trace", *words, "--json")
        told = json.loads(done.stdout)
        assert told["answered"] is False, told
        assert done.returncode == 1
        assert "frozen is paused" in paused.netdash("trace", *words).stdout


def test_what_a_paused_container_would_send_is_traced_with_a_remark(paused: Lab) -> None:
    """Its namespace and the rules let the packet pass: `nsenter` into it is answered."""
    words = ("frozen", f"{INTERNET_IP}:80")
    assert json.loads(paused.netdash("trace", *words, "--json").stdout)["answered"] is True
    assert "frozen is paused: it sends nothing until it is unpaused" in paused.netdash("trace", *words).stdout


def test_the_dashboard_has_no_tick_for_it(paused: Lab) -> None:
    """Asked as soon as there is a row, when nearly nothing is read yet."""
    with Terminal(paused.netdash_argv(), paused.environment, 100, 30) as terminal:
        assert terminal.wait_for("frozen"), terminal.text
        terminal.press("2")
        terminal.press("t")
        assert terminal.wait_for("frozen is paused"), terminal.text
        assert f"outside → {HOST_IP}:8090" in terminal.text
        assert "✓ ok  to" not in terminal.text
