"""Before every step of recreate, undo, finish and rollback somebody else removes, renames, stops or starts what it is
about, or dockerd is killed: the service is up at the end, or the refusal changed nothing; what is left is named.

A sample runs by default; NETDASH_LIVE_WHOLE=1 runs all 200."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from disturbed import LEFT, NAME, PHASES, VERBS
from lab import IMAGE, Lab, LabError, until

HERE = Path(__file__).parent
LABEL = "netdash.test=disturbed"
STEPS = ("hold", "stop", "commit", "create", "connect", "part", "name", "start", "verify", "release")
CASES = tuple(itertools.product(PHASES, STEPS, (*VERBS, "kill")))
WHOLE = os.environ.get("NETDASH_LIVE_WHOLE") == "1"


@pytest.fixture(scope="module")
def house(possible: None) -> Iterator[Lab]:
    with Lab() as lab:
        lab.docker("network", "create", "dist-net")
        yield lab


@pytest.fixture
def web(house: Lab) -> Iterator[Left]:
    script = "echo hi >/www/index.html; exec httpd -f -p 80 -h /www"
    house.docker(
        *("run", "-d", "--name", NAME, "--label", LABEL, "--stop-signal", "KILL", "--restart", "always"),
        *("-v", "/data", "--network", "dist-net", IMAGE, "sh", "-c", script),
    )
    house.docker("network", "connect", "bridge", NAME)
    assert until(lambda: ":80 " in house.inside(NAME, "ss", "-Hltn"))
    (made,) = containers(house)
    yield made
    found = house.docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    if found:
        house.docker("rm", "-fv", *found)
    shutil.rmtree(house.folder / "state", ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Left:
    """A container of the case, as it is at the end."""

    id: str
    name: str
    running: bool
    restart: str
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    address: str
    port: bool  # whether its settings publish the port


def containers(lab: Lab) -> list[Left]:
    found = lab.docker("ps", "-aq", "--no-trunc", "--filter", f"label={LABEL}").split()
    return [left(raw) for raw in json.loads(lab.docker("inspect", *found))] if found else []


def left(raw: dict[str, Any]) -> Left:
    networks = raw["NetworkSettings"]["Networks"]
    return Left(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        running=raw["State"]["Running"],
        restart=raw["HostConfig"]["RestartPolicy"]["Name"],
        networks=tuple(sorted(networks)),
        volumes=tuple(one["Name"] for one in raw["Mounts"]),
        address=networks.get("dist-net", {}).get("IPAddress", ""),
        port="80/tcp" in (raw["HostConfig"]["PortBindings"] or {}),
    )


def sample(at: int) -> bool:
    return WHOLE or at % 11 == 0


def serves(lab: Lab, address: str) -> bool:
    def answers() -> bool:
        with contextlib.suppress(LabError):
            return lab.on_host("curl", "-s", "--noproxy", "*", "--max-time", "2", f"http://{address}/") == "hi\n"
        return False

    return until(answers, 5)


@pytest.mark.parametrize(
    ("phase", "step", "action"),
    [
        pytest.param(*case, marks=pytest.mark.skipif(not sample(at), reason="NETDASH_LIVE_WHOLE=1 runs all 200"))
        for at, case in enumerate(CASES)
    ],
)
def test_somebody_acts_before_a_step(house: Lab, web: Left, phase: str, step: str, action: str) -> None:
    assert house.dockerd
    done = house.run_python("disturbed", phase, step, action, str(house.dockerd.pid))
    whole, code = done.stdout + done.stderr, done.returncode
    assert code in (0, 4), whole
    assert "Traceback" not in whole
    assert "somebody else: " in done.stderr, whole
    # what names the leftovers: the last message, and what the commands tell afterwards; not the steps before
    before, _, after = done.stderr.partition(f"{LEFT}\n")
    said = before.splitlines()[-1] + after + done.stdout.partition(LEFT)[2]
    way = "--rollback" if phase in ("undo", "rollback") else "--finish"
    if action == "kill":
        house.start_killed_engine()
        again = house.run_python("killed", "0", "netdash", "recover", way)
        told = [house.run_python("killed", "0", "netdash", word) for word in ("recover", "published")]
        said, code = "".join(one.stdout + one.stderr for one in told), again.returncode
        whole += again.stdout + again.stderr + said
        assert code == 0, whole
    open_port = way == "--finish" if code == 0 else None
    check(house, web, said, f"{containers(house)}\n{whole}", open_port)


def check(lab: Lab, web: Left, said: str, facts: str, open_port: bool | None) -> None:
    """`said`: what names the containers that are left. `open_port` None: the change failed, either will do."""
    after = containers(lab)
    up = [one for one in after if one.running]
    assert len(up) == 1, facts
    assert up[0].name in (NAME, f"{NAME}-else") or up[0].name in said, facts
    assert (up[0].networks, up[0].volumes) == (web.networks, web.volumes), facts
    assert open_port in (None, up[0].port), facts
    assert serves(lab, up[0].address), facts
    assert not up[0].port or serves(lab, "127.0.0.1:8098"), facts
    unfinished = "interrupted" in said.replace("nothing was interrupted", "")
    assert unfinished or up[0].restart == web.restart, facts
    for one in after:
        assert one.running or one.name in said, facts
