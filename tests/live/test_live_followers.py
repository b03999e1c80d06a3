"""Containers that share the network namespace of one that is made anew: they come along, and back again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import IMAGE, Lab, until

AT_ONCE = ("--stop-signal", "KILL")
"""Process 1 ignores SIGTERM where it has no handler, so that each stop would take ten seconds."""


@pytest.fixture
def owner(lab: Lab) -> Iterator[str]:
    name = "fol-owner"
    lab.httpd(name, *AT_ONCE)
    for follower, options in (("fol-runs", ("--restart", "always")), ("fol-stopped", ())):
        lab.docker(
            "run",
            "-d",
            "--name",
            follower,
            *AT_ONCE,
            *options,
            "--network",
            f"container:{name}",
            IMAGE,
            "sleep",
            "1000",
        )
    lab.docker("exec", "fol-runs", "sh", "-c", "echo layer >/etc/f")
    lab.docker("stop", "-t", "0", "fol-stopped")
    yield name
    lab.docker("rm", "-f", "fol-runs", "fol-stopped", name)


def namespace(lab: Lab, name: str) -> int:
    return Path(f"/proc/{lab.pid(name)}/ns/net").stat().st_ino


def state(lab: Lab, name: str) -> str:
    return lab.docker("inspect", "-f", "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}", name)


def test_who_shares_the_namespace_comes_along(lab: Lab, owner: str) -> None:
    before = {name: lab.docker("inspect", "-f", "{{.Id}}", name) for name in (owner, "fol-runs", "fol-stopped")}
    plan = lab.netdash("publish", owner, "7601:80", "--mode", "recreate", "--dry-run").stdout
    assert f"make fol-runs, fol-stopped anew in the network namespace of the new {owner}" in plan
    done = lab.netdash("publish", owner, "7601:80", "--mode", "recreate", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{owner} was down for " in done.stderr
    assert re.search(r"^downtime: \d+\.\d s; planned: from its stop", done.stdout, re.MULTILINE)
    for name in before:
        assert lab.docker("inspect", "-f", "{{.Id}}", name) != before[name]
    assert namespace(lab, "fol-runs") == namespace(lab, owner)
    assert lab.docker("exec", "fol-runs", "cat", "/etc/f") == "layer"
    assert (state(lab, "fol-runs"), state(lab, "fol-stopped")) == ("running always", "created no")
    back = lab.netdash("undo", "--yes")
    assert back.returncode == 0, back.stderr
    for name in before:
        assert lab.docker("inspect", "-f", "{{.Id}}", name) == before[name]
    assert until(lambda: state(lab, "fol-runs") == "running always")
    assert namespace(lab, "fol-runs") == namespace(lab, owner)
    assert "netdash-" not in lab.docker("ps", "-a", "--format", "{{.Names}}")


def test_who_follows_a_follower_and_who_is_no_container(lab: Lab, owner: str) -> None:
    """The settings of the first name another container than the owner; the second has no settings."""
    lab.docker("run", "-d", "--name", "fol-chain", *AT_ONCE, "--network", "container:fol-runs", IMAGE, "sleep", "1000")
    lab.serve_in(owner, "http", "127.0.0.1", 7699)
    try:
        plan = lab.netdash("publish", owner, "7602:80", "--mode", "recreate", "--dry-run").stdout
        assert f"make fol-chain, fol-runs, fol-stopped anew in the network namespace of the new {owner}" in plan
        assert re.search(rf"warning: \S+ \(pid \d+\) in the network of {owner}, but of no container", plan)
        for words in (("publish", owner, "7602:80", "--mode", "recreate", "--yes"), ("undo", "--yes")):
            done = lab.netdash(*words)
            assert done.returncode == 0, done.stderr
            assert namespace(lab, "fol-chain") == namespace(lab, "fol-runs") == namespace(lab, owner)
    finally:
        lab.docker("rm", "-f", "fol-chain")


def test_who_is_left_behind_has_no_way_until_it_is_restarted(lab: Lab, owner: str) -> None:
    lab.docker("restart", "-t", "0", owner)
    assert namespace(lab, "fol-runs") != namespace(lab, owner)
    assert lab.docker("exec", "fol-runs", "ip", "route") == ""
    assert left_behind(lab) == ["fol-runs"]
    done = lab.netdash("drift", "--json")
    assert done.returncode == 1
    told = [one["rule"]["text"] for one in json.loads(done.stdout)["drift"] if one["kind"] == "left behind"]
    assert told == [f"fol-runs in the network of {owner}"]
    assert {cell["reaches"] for cell in row(lab, "fol-runs")} == {False}
    trace = lab.netdash("trace", "fol-runs", "8.8.8.8:53", "--proto", "udp")
    assert trace.returncode == 1
    assert "fol-runs was left behind" in trace.stdout
    lab.docker("restart", "-t", "0", "fol-runs")
    assert left_behind(lab) == row(lab, "fol-runs") == []
    assert "left behind" not in lab.netdash("drift").stdout


def left_behind(lab: Lab) -> list[str]:
    found: Any = lab.json("containers")
    return [one["name"] for one in found["containers"] if one["left_behind"]]


def row(lab: Lab, name: str) -> list[dict[str, Any]]:
    """The cells of the matrix for senders of its class."""
    matrix: Any = lab.json("reach")
    names = [one["name"] for one in matrix["senders"]]
    classes = matrix["classes"]
    rows = zip(classes["senders"], classes["cells"], strict=True)
    return [cell for members, cells in rows for cell in cells if cell and name in (names[one] for one in members)]
