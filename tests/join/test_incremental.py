"""What did not change is not computed again, and what is kept equals what would be computed anew."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import fields, replace
from random import Random
from typing import Any

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model import belonging
from netdash.model.belonging import containers_of, related
from netdash.model.engine_state import Drift
from netdash.model.host import Container, Host, Ref, Ruleset
from netdash.model.packet import Packet
from netdash.model.relations import ref_of
from netdash.trace.nat_rules import DestinationNat, Found
from netdash.view.views import BY_NAME
from tests.bench.changes import stop
from tests.bench.many import FIRST_PORT, many
from tests.conftest import RECORDINGS

NAMES = sorted(path.name for path in RECORDINGS.iterdir() if (path / "ip").is_dir())
PARTS = tuple(field.name for field in fields(Host))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_answers_give_the_same_objects(name: str) -> None:
    recording = load(RECORDINGS / name)
    builder = Builder()
    first = builder.build(recording)
    second = builder.build(replace(recording, answers=dict(recording.answers)))
    kept = (
        "containers",
        "networks",
        "links",
        "routes",
        "ruleset",
        "proxies",
        "listeners",
        "ports",
        "drift",
        "bridging",
    )
    assert [part for part in kept if getattr(first, part) is not getattr(second, part)] == []


@pytest.mark.parametrize("oldest_first", [False, True], ids=["docker", "podman"])
def test_rows_stand_as_the_engine_lists_them_also_one_that_came_after(oldest_first: bool) -> None:
    recording = load(RECORDINGS / "docker28.5-nft-full")
    inspected = json.loads(json.dumps(recording.json("docker/inspect.json")))
    listed: Any = [*recording.json("docker/containers.json")][:: -1 if oldest_first else 1]  # type: ignore[misc]
    newest = listed.pop(-1 if oldest_first else 0)
    answers = {**recording.answers, "docker/containers.json": listed, "docker/inspect.json": inspected}
    containers = Builder().build(replace(recording, answers=answers)).containers or ()
    names = [raw["Id"] for raw in listed]
    assert [one.id for one in containers] == ([*names, newest["Id"]] if oldest_first else [newest["Id"], *names])


@pytest.mark.parametrize("oldest_first", [False, True], ids=["docker", "podman"])
@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize("age", [None, 10**400], ids=["untold", "absurd"])
def test_a_container_whose_age_is_not_told_changes_no_order_of_the_others(
    oldest_first: bool, place: int, age: int | None
) -> None:
    recording = load(RECORDINGS / "docker28.5-nft-full")
    listed: Any = json.loads(json.dumps(recording.json("docker/containers.json")))[:: -1 if oldest_first else 1]
    unknown = listed[place]
    unknown["Created"] = age
    answers = {**recording.answers, "docker/containers.json": listed, "docker/inspect.json": []}
    containers = Builder().build(replace(recording, answers=answers)).containers or ()
    others = [raw["Id"] for raw in listed if raw is not unknown]
    assert [one.id for one in containers] == [*others, unknown["Id"]]


# --- a sequence of random changes -------------------------------------------------------------------------------------

INSPECTS, RULES, LINKS = "docker/inspect.json", "rules/iptables-legacy-save.txt", "ip/addr.json"
NAMESPACES = "ip/netns.json"
_Answers = dict[str, Any]


def _entry(random: Random, listed: list[Any]) -> Any:
    """One of them, replaced by a copy that may be changed: an answer is never changed in its place."""
    at = random.randrange(len(listed))
    listed[at] = copy.deepcopy(listed[at])
    return listed[at]


def _state(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    state = _entry(random, answers[INSPECTS])["State"]
    state["Status"] = random.choice(("running", "exited", "paused", "removing", "restarting", "running"))


def _health(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    _entry(random, answers[INSPECTS])["State"]["Health"] = {"Status": random.choice(("healthy", "unhealthy"))}


def _binding(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    ports = _entry(random, answers[INSPECTS])["NetworkSettings"]["Ports"]
    host = random.choice(("0.0.0.0", "127.0.0.1", "::"))
    ports["80/tcp"] = random.choice(([{"HostIp": host, "HostPort": str(random.randrange(20_000, 20_009))}], None))


def _name(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    _entry(random, answers[INSPECTS])["Name"] = f"/named{random.randrange(100)}"


def _address(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    networks = _entry(random, answers[INSPECTS])["NetworkSettings"]["Networks"]
    for network in networks.values():
        network["IPAddress"] = f"172.17.1.{random.randrange(1, 9)}"


def _sharer(random: Random, answers: _Answers) -> None:
    answers[INSPECTS] = list(answers[INSPECTS])
    owner = random.choice(answers[INSPECTS])["Id"]
    _entry(random, answers[INSPECTS])["HostConfig"]["NetworkMode"] = f"container:{owner}"


def _lose(path: str) -> Callable[[Random, _Answers], None]:
    def lose(random: Random, answers: _Answers) -> None:
        listed = list(answers[path])
        listed.pop(random.randrange(len(listed)))
        answers[path] = listed

    return lose


def _line(random: Random, answers: _Answers) -> None:
    """A line of a text is lost, doubled or moved."""
    path = random.choice((RULES, RULES, RULES, "host/docker-proxy.txt", "host/listeners.txt"))
    lines = answers[path].splitlines()
    rules = [at for at, line in enumerate(lines) if " -A " in line or path != RULES]
    at = random.choice(rules)
    line = lines[at]
    change = random.randrange(3)
    if change != 1:
        lines.pop(at)
    if change != 0:
        lines.insert(random.choice([other for other in rules if other < len(lines) and abs(other - at) < 4]), line)
    answers[path] = "\n".join(lines) + "\n"


def _counters(random: Random, answers: _Answers) -> None:
    answers[RULES] = answers[RULES].replace("[0:0] -A", f"[{random.randrange(9)}:0] -A", random.randrange(40))


def _foreign(random: Random, answers: _Answers) -> None:
    """Somebody's rule at the head of a chain."""
    chain, rule = random.choice((
        ("DOCKER ! -i", f"-A DOCKER -p tcp -m tcp --dport {random.randrange(20_000, 20_009)} -j RETURN"),
        ("DOCKER ! -i", "-A DOCKER -p tcp -m tcp --dport 20001 -j DNAT --to-destination 172.17.1.3:80"),
        ("FORWARD", "-A FORWARD -d 172.17.1.0/29 -j DROP"),
        ("POSTROUTING", "-A POSTROUTING -s 172.17.1.2/32 -j ACCEPT"),
    ))  # fmt: skip
    lines = answers[RULES].splitlines()
    at = next((at for at, line in enumerate(lines) if f"-A {chain}" in line), None)
    if at is not None:
        lines.insert(at, f"[0:0] {rule}")
    answers[RULES] = "\n".join(lines) + "\n"


def _namespaces(random: Random, answers: _Answers) -> None:
    """A container's process is in another namespace, or a veth leads to another: also to one that another leads to."""
    if random.randrange(2):
        answers[NAMESPACES] = {
            **answers[NAMESPACES],
            str(1_000_000 + random.randrange(8)): 10_000 + random.randrange(8),
        }
        return
    answers[LINKS] = list(answers[LINKS])
    veths = [at for at, link in enumerate(answers[LINKS]) if "link_netnsid" in link]
    at = random.choice(veths)
    answers[LINKS][at] = {**answers[LINKS][at], "link_netnsid": 10_000 + random.randrange(8)}


def _proxies(random: Random, answers: _Answers) -> None:
    """Their memory, and which of them are stopped."""
    pids = [2_000_000 + number for number in range(1, 8, 2)]
    answers["host/memory.txt"] = "".join(f"{pid} {random.randrange(3)}\n" for pid in pids)
    answers["host/stopped.txt"] = "".join(f"{pid}\n" for pid in pids if random.random() < 0.3)


def _inside(random: Random, answers: _Answers) -> None:
    files = sorted(path for path in answers if path.startswith("containers/"))
    if files:
        del answers[random.choice(files)]


def _source(random: Random, answers: _Answers) -> None:
    answers.pop(random.choice((RULES, LINKS, "host/docker-proxy.txt", "host/listeners.txt", "docker/networks.json")))


_CHANGES = (
    *(
        _state,
        _health,
        _binding,
        _name,
        _address,
        _sharer,
        _lose(INSPECTS),
        _lose(LINKS),
        _lose("docker/networks.json"),
    ),
    *(_line, _line, _line, _counters, _foreign, _foreign, _inside, _namespaces, _namespaces, _proxies),
)


def _differences(one: Host, other: Host) -> list[str]:
    return [part for part in PARTS if _comparable(getattr(one, part)) != _comparable(getattr(other, part))]


def _comparable(part: Any) -> Any:
    """Rulesets are compared by identity: here by what is in them, without what they were read from."""
    if isinstance(part, Ruleset):
        return part.chains, part.sets, part.notes, part.unread, part.tables, part.objects
    if isinstance(part, tuple) and part and isinstance(part[0], Container):
        within = [container.inside for container in part]
        bare = [replace(container, inside=None) for container in part]
        return bare, [
            (inside and replace(inside, ruleset=None), inside and _comparable(inside.ruleset)) for inside in within
        ]
    if isinstance(part, tuple) and part and isinstance(part[0], Drift):
        return [replace(drift, rule=None) for drift in part]  # whose counters may be old
    return part


def _belonging(host: Host) -> dict[Ref, tuple[frozenset[Ref], tuple[str, ...]]]:
    rules = host.ruleset.rules if host.ruleset else ()
    parts = (host.containers, host.networks, host.ports, host.links, host.routes, host.proxies, rules)
    refs = {ref_of(thing) for things in parts for thing in things or ()}
    return {ref: (related(host, ref), containers_of(host, ref)) for ref in refs}


@pytest.mark.parametrize("seed", range(6))
def test_after_any_change_the_host_is_what_a_fresh_builder_makes_of_it(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    older: dict[str, Any] = {}
    random = Random(seed)
    whole = many(8)
    networks = [json.loads(json.dumps(raw)) for raw in whole.answers["docker/networks.json"]]  # type: ignore[attr-defined]
    namespaces = {str(1_000_000 + number): 10_000 + number for number in range(8)}
    whole = replace(whole, answers={**whole.answers, "docker/networks.json": networks, NAMESPACES: namespaces})
    builder, recording = Builder(), whole
    for step in range(40):
        if step % 10 == 9:
            recording = whole
        answers = dict(recording.answers)
        for change in random.sample(_CHANGES, random.choice((1, 1, 2))):
            if change is _source or all(path in answers for path in (INSPECTS, RULES, LINKS)):
                change(random, answers)
        recording = replace(recording, answers=answers)
        given = recording
        if random.random() < 0.1:
            lacking = dict(answers)
            _source(random, lacking)
            given = replace(recording, answers=lacking)
        host, fresh = builder.build(given), Builder().build(given)
        assert _differences(host, fresh) == [], f"after step {step}"
        monkeypatch.setattr(belonging, "_newest", older)
        kept = _belonging(host)
        monkeypatch.setattr(belonging, "_newest", {})
        assert kept == _belonging(fresh), f"after step {step}"


def test_a_builder_is_given_another_host() -> None:
    builder = Builder()
    for name in NAMES:
        recording: Recording = load(RECORDINGS / name)
        assert _differences(builder.build(recording), Builder().build(recording)) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_containers_needs_nothing_of_what_is_within_them(name: str) -> None:
    bundle = RECORDINGS / name
    whole, part = Builder().build(load(bundle)), Builder(compare=False).build(load(bundle, ("netns.txt",)))
    view = BY_NAME["containers"]
    assert [row.cells for row in view.rows(part)] == [row.cells for row in view.rows(whole)]


def test_of_a_container_that_stops_only_its_own_port_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    find = DestinationNat.find

    def counted(self: DestinationNat, packet: Packet, output: bool = False) -> Found:
        asked.append(packet.dport)
        return find(self, packet, output)

    builder, recording = Builder(), many(20)
    builder.build(recording)
    monkeypatch.setattr(DestinationNat, "find", counted)
    fewer = stop(recording, 5)
    host = builder.build(fewer)
    assert set(asked) <= {FIRST_PORT + 5}
    assert _differences(host, Builder().build(fewer)) == []
