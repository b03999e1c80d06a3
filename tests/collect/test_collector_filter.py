"""The collector's filter: what it leaves out of the engine's answers, under each awk that hosts have."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess

import pytest

from netdash.collect.ssh import collector
from tests.collect.test_collector import INSPECTED

AWKS = [argv for argv in (["mawk"], ["gawk"], ["busybox", "awk"]) if shutil.which(argv[0])] or [["awk"]]


def _filter() -> str:
    return collector().partition("filter='")[2].partition("\n}'\n")[0] + "\n}"


_SECRET = frozenset(
    "Env Cmd Args Entrypoint Command Path Test Healthcheck LogConfig Mounts Binds Annotations HttpProxy HttpsProxy "
    "NoProxy RegistryConfig ClientInfo Plugins Runtimes RemoteManagers".split()
)
_KEPT = ("com.docker.compose.project", "com.docker.compose.service")


def _without(value: object) -> object:
    """What the filter is to make of a document."""
    if isinstance(value, list):
        return [_without(item) for item in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, object] = {}
    for key, inner in value.items():
        if key == "Labels":
            kept = (
                {name: _without(label) for name, label in inner.items() if name in _KEPT}
                if isinstance(inner, dict)
                else None
            )
            made[key] = kept if kept is None or len(kept) == len(inner) else {**kept, "": None}
        else:
            made[key] = None if key in _SECRET else _without(inner)
    return made


def _any(chance: random.Random, depth: int = 0) -> object:
    texts = ['"', "\\", 'a"b', "{", "}],", ":", 'x\\"', "é\u2028", "", "Env", '"Env":["', "\\\\", "a,b", " "]
    keys = [*texts, "Env", "Labels", "Cmd", "Id", "State", "Path", *_KEPT, "Networks"]
    kind = chance.randrange(8 if depth < 5 else 4)
    if kind > 5:
        return [_any(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind > 3:
        return {chance.choice(keys): _any(chance, depth + 1) for _ in range(chance.randrange(5))}
    return chance.choice([None, True, -1.5e3, 0, 12345, *texts])


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", " : ")], ids=["compact", "spaced"])
def test_the_filter_takes_out_just_what_it_should_of_any_document(awk: list[str], separators: tuple[str, str]) -> None:
    chance = random.Random(20)
    documents = [{"Config": _any(chance), "Labels": {"a": _any(chance)}} for _ in range(400)]
    documents += [INSPECTED, {"Labels": []}, {"Labels": {}}, {"Labels": {_KEPT[0]: "x"}}]
    lines = "".join(json.dumps(document, separators=separators, ensure_ascii=False) + "\n" for document in documents)
    done = subprocess.run(
        [*awk, _filter()], input=lines.encode(), capture_output=True, timeout=60, env={**os.environ, "LC_ALL": "C"}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    printed = [line[1:] for line in done.stdout.decode().split("\n") if line.startswith("J")]
    assert [json.loads(line) for line in printed] == [_without(document) for document in documents]


@pytest.mark.parametrize("awk", AWKS, ids=" ".join)
def test_the_filter_names_what_can_be_looked_into(awk: list[str]) -> None:
    state = {**INSPECTED, "State": {"Status": "running", "Health": {"Pid": 9}, "Pid": 4711}}
    hosted = {**state, "HostConfig": {"NetworkMode": "host"}}
    evil = {**state, "Name": "/x\nT ff 1 1 1 y"}
    two = {**state, "NetworkSettings": {"Ports": {"80/tcp": None}, "Networks": {"a": {}, "b": {}}}}
    lines = "".join(
        json.dumps(document) + "\n" for document in (state, INSPECTED, hosted, evil, two, {**state, "Id": "zz"})
    )
    done = subprocess.run([*awk, _filter()], input=lines, capture_output=True, text=True, timeout=30)
    identity = INSPECTED["Id"]
    assert [line for line in done.stdout.splitlines() if line.startswith("T")] == [
        f"T {identity} 4711 1 1 web",
        f"T {identity} 4711 0 2 web",
    ]
