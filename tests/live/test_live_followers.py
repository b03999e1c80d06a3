"""Containers that share the network namespace of one that is made anew: they come along, and back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import IMAGE, Lab, until


@pytest.fixture
def owner(lab: Lab) -> Iterator[str]:
    name = "fol-owner"
    lab.httpd(name)
    for follower, options in (("fol-runs", ("--restart", "always")), ("fol-stopped", ())):
        lab.docker("run", "-d", "--name", follower, *options, "--network", f"container:{name}", IMAGE, "sleep", "1000")
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
    for name in before:
        assert lab.docker("inspect", "-f", "{{.Id}}", name) != before[name]
    assert namespace(lab, "fol-runs") == namespace(lab, owner)
    assert lab.docker("exec", "fol-runs", "cat", "/etc/f") == "layer"
    assert (state(lab, "fol-runs"), state(lab, "fol-stopped")) == ("running always", "created no")
    back = lab.netdash("undo", "--yes")
    assert back.returncode == 0, back.stderr
    for name in before:
        assert lab.docker("inspect", "-f", "{{.Id}}", name) == before[name]
    assert until(lambda: state(lab, "fol-runs") == "running always", 10)
    assert namespace(lab, "fol-runs") == namespace(lab, owner)
    assert "netdash-" not in lab.docker("ps", "-a", "--format", "{{.Names}}")
