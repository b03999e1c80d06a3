"""The dashboard on a pseudo-terminal publishes a port of a running container, proves it, and takes it back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from lab import HOST_IP, IMAGE, Lab, LabError, until
from terminal import Terminal
from test_live_publish import keepers, traces
from test_live_publish_killed import run

NAME = "screen-web"


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[Lab]:
    lab.httpd(NAME, "--stop-signal", "KILL")  # its process 1 ignores SIGTERM: each stop would take ten seconds
    yield lab
    lab.remove_containers()


def page(lab: Lab, port: int) -> str:
    """What the host outside gets; empty when nobody answers."""
    with suppress(LabError):
        return lab.fetch(f"http://{HOST_IP}:{port}/")
    return ""


def open_form(terminal: Terminal) -> None:
    """The container's port is offered as soon as its sockets were read, which may be after the form opened."""
    terminal.press("P")
    assert terminal.wait_for(f"publish a port of {NAME}"), terminal.text
    assert terminal.wait_for(lambda: "container port" in terminal.text and "type it: 80" not in terminal.text)


def agree(terminal: Terminal) -> None:
    """y, again where it came before the dialog knew that its question was on the screen: such a key is dropped."""
    assert terminal.wait_for("Do it?"), terminal.text

    def agreed() -> bool:
        terminal.press("y")
        terminal.settle(0.5)
        return "Do it?" not in terminal.text

    assert until(agreed), terminal.text


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
def test_published_by_keys_and_taken_back(web: Lab, size: tuple[int, int]) -> None:
    before = traces(web)
    with Terminal(web.netdash_argv(), web.environment, *size) as terminal:
        assert terminal.wait_for(NAME), terminal.text
        terminal.settle(1.0)
        open_form(terminal)
        for key in ("\x1b[B", "\x15", "8", "0", "8", "6"):
            terminal.press(key)
        assert terminal.wait_for(f"forward 8086 → {NAME} 80/tcp"), terminal.text
        terminal.press("\r")
        assert terminal.wait_for("Do it?"), terminal.text
        assert page(web, 8086) == ""
        agree(terminal)
        assert terminal.wait_for("✓ tcp 127.0.0.1:8086"), terminal.text
        assert page(web, 8086) == NAME

        terminal.press("\x1b")
        terminal.settle(1.0)
        for key in ("2", "/", "8", "0", "8", "6", "\r"):
            terminal.press(key)
        assert terminal.wait_for("netdash's own forward"), terminal.text
        assert terminal.wait_for("lasts until it is ended"), terminal.text
        terminal.press("u")
        assert terminal.wait_for("end the forward of 0.0.0.0:8086/tcp"), terminal.text
        agree(terminal)
        assert terminal.wait_for("✓ taken back"), terminal.text
        assert page(web, 8086) == ""
    assert until(lambda: not keepers(web))
    assert traces(web) == before


def test_made_anew_by_keys_and_the_old_one_comes_back(web: Lab) -> None:
    before = traces(web)
    with Terminal(web.netdash_argv(), web.environment, 120, 40) as terminal:
        assert terminal.wait_for(NAME)
        terminal.settle(1.0)
        open_form(terminal)
        for key in ("\x1b[B", "\x15", "8", "0", "8", "7", "\x1b[A", "\x1b[A", "\x1b[A", "\x1b[C"):
            terminal.press(key)
        assert terminal.wait_for(f"make {NAME} anew with 8087"), terminal.text
        terminal.press("\r")
        agree(terminal)
        assert terminal.wait_for("✓ tcp 127.0.0.1:8087"), terminal.text
        assert page(web, 8087) == NAME
        terminal.press("\x1b")
        assert terminal.wait_for("kept until "), terminal.text
        assert terminal.wait_for(f" {NAME}  ● running"), terminal.text  # the card of what is under the cursor
        old, *others = [one for one in web.json("containers")["containers"] if "kept" in one]
        assert (old["kept"]["of"], others) == (NAME, [])
        assert 0 < old["kept"]["until"] - time.time() <= 600
        terminal.press("u")
        assert terminal.wait_for("remove the new one"), terminal.text
        agree(terminal)
        assert terminal.wait_for("✓ taken back"), terminal.text
        assert page(web, 8087) == ""
    assert until(lambda: not keepers(web))
    assert traces(web) == before


def test_a_container_that_does_not_start_leaves_nothing(web: Lab) -> None:
    before = traces(web)
    with Terminal(web.netdash_argv(), web.environment, 80, 24) as terminal:
        assert terminal.wait_for(NAME)
        terminal.settle(1.0)
        terminal.press("R")
        assert terminal.wait_for("which image?"), terminal.text
        for key in (*IMAGE, "\t", *"never", "\t", *"8088:80"):
            terminal.press(key)
        assert terminal.wait_for(f"create never from {IMAGE} with 1 published port"), terminal.text
        terminal.press("\r")
        agree(terminal)
        assert terminal.wait_for("✗ taken back"), terminal.text
    assert traces(web) == before


@pytest.mark.parametrize(("key", "said"), [("f", "✓ finished"), ("r", "✓ rolled back")])
def test_what_was_killed_is_offered_at_the_next_start(web: Lab, key: str, said: str) -> None:
    original = web.docker("inspect", "-f", "{{.Id}}", NAME)
    words = ("publish", NAME, "8089:80", "--mode", "recreate", "--yes")
    assert run(web, 7, "netdash", *words).returncode == -9
    with Terminal(web.netdash_argv(), web.environment, 80, 24) as terminal:
        assert terminal.wait_for("interrupted after"), terminal.text
        assert terminal.wait_for("f finish"), terminal.text
        terminal.press(key)
        agree(terminal)
        assert terminal.wait_for(said), terminal.text
    assert (page(web, 8089) == NAME) == (key == "f")
    if key == "f":
        assert web.netdash("undo", "--yes").returncode == 0
    assert web.docker("inspect", "-f", "{{.Id}} {{.State.Running}}", NAME) == f"{original} true"
