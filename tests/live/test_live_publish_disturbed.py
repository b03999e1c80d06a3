"""Before every step of recreate, undo, finish and rollback somebody else removes, renames, stops or starts what it is
about, or dockerd is killed: the service is up at the end, or the refusal changed nothing; what is left is named.

A sample runs by default; NETDASH_LIVE_WHOLE=1 runs all 200."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disturbed import NAME, PHASES, VERBS
from lab import IMAGE, Lab, until

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
def web(house: Lab) -> Iterator[str]:
    script = "echo hi >/www/index.html; exec httpd -f -p 80 -h /www"
    identity = house.docker(
        *("run", "-d", "--name", NAME, "--label", LABEL, "--stop-signal", "KILL", "--restart", "always"),
        *("-v", "/data", "--network", "dist-net", IMAGE, "sh", "-c", script),
    )
    house.docker("network", "connect", "bridge", NAME)
    assert until(lambda: ":80 " in house.inside(NAME, "ss", "-Hltn"), 10)
    yield identity
    found = house.docker("ps", "-aq", "--filter", f"label={LABEL}").split()
    if found:
        house.docker("rm", "-fv", *found)
    shutil.rmtree(house.folder / "state", ignore_errors=True)


def program(lab: Lab, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    argv = ["nsenter", f"--net=/run/netns/{lab.host_ns}", sys.executable, str(HERE / name), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=lab.environment, cwd=lab.folder)


def containers(lab: Lab) -> dict[str, tuple[str, str]]:
    """By id: name and state."""
    form = "{{.ID}} {{.Names}} {{.State}}"
    listed = lab.docker("ps", "-a", "--no-trunc", "--filter", f"label={LABEL}", "--format", form)
    return {identity: (name, state) for identity, name, state in map(str.split, listed.splitlines())}


def sample(at: int) -> bool:
    return WHOLE or at % 11 == 0


@pytest.mark.parametrize(
    ("phase", "step", "action"),
    [
        pytest.param(*case, marks=pytest.mark.skipif(not sample(at), reason="NETDASH_LIVE_WHOLE=1 runs all 200"))
        for at, case in enumerate(CASES)
    ],
)
def test_somebody_acts_before_a_step(house: Lab, web: str, phase: str, step: str, action: str) -> None:
    assert house.dockerd
    done = program(house, "disturbed.py", phase, step, action, str(house.dockerd.pid))
    assert done.returncode in (0, 4), done.stderr
    assert "Traceback" not in done.stderr
    assert "--- disturbed" in done.stdout
    said = done.stdout + done.stderr
    if action == "kill" and house.dockerd.poll() is not None:
        house.start_killed_engine()
        way = "--rollback" if phase in ("undo", "rollback") else "--finish"
        again = program(house, "killed.py", "0", "netdash", "recover", way)
        assert again.returncode == 0, again.stderr
        said += again.stdout + again.stderr
    after = containers(house)
    up = [name for name, state in after.values() if state == "running"]
    if not up:
        assert done.returncode == 4, said
        assert web in after or len(after) <= 1, (after, said)
    for name, state in after.values():
        assert (name in up and len(up) == 1) or name in said, (name, state, said)
