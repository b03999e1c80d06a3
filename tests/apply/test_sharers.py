"""Who is in a container's network namespace: by the namespace, checked by the cgroup; or it is unknown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from netdash.apply.preflight import Sharers, following, sharers
from netdash.publish.statement import Kind, say
from netdash.view.statements import text

OWNER, SIDE, OTHER = "a" * 64, "b" * 64, "c" * 64
PIDS = {OWNER: 10, SIDE: 20, OTHER: 30}


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """The owner with a second process, one that shares its namespace, one that does not, and two strangers."""
    cgroup = "0::/system.slice/docker-{}.scope\n"
    for pid, namespace, where, name in (
        (os.getpid(), "net:[1]", "0::/user.slice\n", "netdash"),
        (10, "net:[5]", cgroup.format(OWNER), "nginx"),
        (11, "net:[5]", cgroup.format(OWNER), "sh"),
        (20, "net:[5]", f"1:cpu:/docker/{SIDE}\n", "sleep"),
        (30, "net:[6]", cgroup.format(OTHER), "sleep"),
        (31, "net:[5]", cgroup.format(OTHER), "tcpdump"),
        (40, "net:[5]", "0::/user.slice\n", "socat"),
    ):
        folder = tmp_path / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/net").symlink_to(namespace)
        (folder / "cgroup").write_text(where)
        (folder / "comm").write_text(f"{name}\n")
    (tmp_path / "50/ns").mkdir(parents=True)  # one that has ended meanwhile
    return tmp_path


def test_the_namespace_tells(proc: Path) -> None:
    found = sharers(OWNER, PIDS, proc)
    assert found == Sharers((SIDE,), ((31, "tcpdump"), (40, "socat")))


def test_the_first_three_are_named() -> None:
    for count, named in ((2, "x (pid 0), x (pid 1)"), (5, "x (pid 0), x (pid 1), x (pid 2) and 2 more")):
        said = say(Kind.SHARERS, container="web", processes=tuple((pid, "x") for pid in range(count)))
        assert text(said) == f"{named} in the network of web, but of no container in it: left with nothing but lo"


@pytest.mark.parametrize(
    "pids",
    [{}, {OWNER: 99}, {OWNER: 30}, {OWNER: 50}, {OWNER: os.getpid()}],
    ids=["it does not run", "no such process", "another one's", "not readable", "of the host"],
)
def test_what_cannot_be_told_is_unknown(pids: dict[str, int], proc: Path) -> None:
    assert sharers(OWNER, pids, proc) is None


def container(name: str, mode: str) -> dict[str, Any]:
    return {"Id": OWNER, "Name": f"/{name}", "HostConfig": {"NetworkMode": mode}}


def test_who_follows_by_its_settings_or_by_the_namespace() -> None:
    owner = container("web", "bridge")
    others = {
        SIDE: container("side", f"container:{OWNER}"),
        OTHER: container("by-side", "container:side"),
        "d" * 64: container("renamed", "container:before"),
        "e" * 64: container("entered", "bridge"),
        "f" * 64: container("alone", "container:elsewhere"),
    }
    assert following(owner, others, None) == (SIDE, OTHER)
    assert following(owner, others, Sharers((SIDE, "d" * 64, "e" * 64), ())) == (SIDE, OTHER, "d" * 64)
