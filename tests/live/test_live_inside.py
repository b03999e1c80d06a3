"""What is read inside a container's network namespace, with a process that stands for one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from netdash.collect.procfs import read_sysctls
from netdash.collect.sockets import read_in

pytestmark = pytest.mark.live


@pytest.fixture
def process() -> Iterator[int]:
    """The pid of a process in a network namespace of its own, which ignores pings."""
    started = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    own, limit = Path("/proc/self/ns/net").readlink(), time.monotonic() + 10
    while Path(f"/proc/{started.pid}/ns/net").readlink() == own and time.monotonic() < limit:
        time.sleep(0.05)
    enter = ["nsenter", f"--target={started.pid}", "--net"]
    subprocess.run([*enter, "tee", "/proc/sys/net/ipv4/icmp_echo_ignore_all"], input=b"1", check=True)
    yield started.pid
    started.kill()
    started.wait()


def test_sysctls_are_those_of_the_namespace(process: int) -> None:
    here = read_sysctls(())
    found = read_in({"web": process}, lambda: read_sysctls(()))
    assert "net.ipv4.icmp_echo_ignore_all = 1\n" in found["web"]
    assert read_sysctls(()) == here
    assert found["web"] != here
