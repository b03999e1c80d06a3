"""A container with one peculiarity is told apart from those that are like it otherwise: what the matrix says of each
pair is what a trace of that pair alone says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_network

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Container, Host, Inside, Listener, Route, TrackedFlow
from netdash.model.kernel_state import BridgePort, Bridging, Ends, FdbEntry, IpsecPolicy, Neighbour, PolicyRule
from netdash.trace.model import Aim, Question, Reach
from netdash.trace.reachability import reach, reach_of
from netdash.trace.tracer import reaches
from tests.bench.many import many

ONE, OTHER, THIRD = "172.17.1.2", "172.17.1.4", "172.17.1.3"  # job1 and job3, who publish a port, and job2
MAC, VETH = "02:42:ac:11:01:02", "veth0000001"
RULES = "rules/iptables-legacy-save.txt"


@cache
def _recording() -> Recording:
    return many(4)


def _host(*rules: str) -> Host:
    """With these rules of DOCKER-USER."""
    given = _recording()
    lines = [f"[0:0] -A DOCKER-USER {rule}" for rule in rules]
    text = (given.text(RULES) or "").replace("[24:1948] -A DOCKER-USER -j RETURN", "\n".join(lines), 1)
    return Builder().build(replace(given, answers={**given.answers, RULES: text}))


def _wrong(host: Host) -> list[str]:
    """Where the matrix and a trace say different things, of the outside and the containers that are looked at."""
    matrix, found = reach(host), []
    looked_at = {one.id for one in host.containers or () if one.name in ("job1", "job2", "job3")}
    for sender, row in zip(matrix.senders, matrix.rows(), strict=True):
        for aim, cell in zip(matrix.aims, row, strict=True):
            if sender.container not in {None, *looked_at} or aim.container not in looked_at:
                continue
            asked = Question(sender.origin, aim.ip, aim.proto, aim.port, container=sender.container)
            alone = reach_of(reaches(host, asked))
            if (cell.reaches, cell.why) != _paused(host, aim, alone):
                found.append(f"{sender.name} → {aim.ip}:{aim.port}: {cell.why} instead of {alone.why}")
    return found


def _paused(host: Host, aim: Aim, alone: Reach) -> tuple[bool | None, str]:
    owner = next(one for one in host.containers or () if one.id == aim.container)
    if alone.reaches and owner.state == "paused":
        return False, f"{owner.name} is paused: its kernel answers, its processes do not"
    return alone.reaches, alone.why


def test_containers_that_are_alike_are_traced_once() -> None:
    host = _host("-j RETURN")
    assert _wrong(host) == []
    matrix = reach(host)
    jobs = {at for at, one in enumerate(matrix.senders) if one.name.startswith("job")}
    assert any(jobs <= set(members) for members in matrix.sender_classes)
    inside = {at for at, aim in enumerate(matrix.aims) if aim.kind == "container" and str(aim.ip) in (ONE, OTHER)}
    assert any(inside <= set(members) for members in matrix.aim_classes)


@pytest.mark.parametrize(
    "rules",
    [
        (f"-s {ONE}/32 -j DROP",),
        (f"-d {ONE}/32 -j DROP", f"-d {OTHER}/32 -j DROP"),
        (f"-d {ONE}/32 -j DROP", f"-d {ONE}/32 -j ACCEPT", f"-d {OTHER}/32 -j ACCEPT", f"-d {OTHER}/32 -j DROP"),
        (f"-s {ONE}/32 -d {OTHER}/32 -j DROP",),
        (f"-d {ONE}/32 -p tcp -m tcp --sport 80 -j DROP",),
        (f"-m mac --mac-source {MAC.upper()} -j DROP",),
        (f"-m physdev --physdev-in {VETH} -j DROP",),
        (f"-m physdev --physdev-in {VETH[:-1]}+ -j DROP",),
        (f"-m iprange --src-range {ONE}-{THIRD} -j DROP",),
        ("-p tcp -m tcp --dport 20001 -j DROP", "-p tcp -m conntrack --ctorigdstport 20003 -j DROP"),
        (f"-m bpf --bytecode '1,6 {ONE}' -j DROP",),
    ],
)
def test_by_rules(rules: tuple[str, ...]) -> None:
    host = _host(*rules, "-j RETURN")
    assert host.ruleset is not None
    assert _wrong(host) == []


def _of(host: Host, name: str, change: Callable[[Container], Container]) -> Host:
    return replace(host, containers=tuple(change(one) if one.name == name else one for one in host.containers or ()))


def _listening(host: Host, *listeners: Listener) -> Host:
    return _of(host, "job1", lambda one: replace(one, listeners=listeners))


def _inside(host: Host, **changes: object) -> Host:
    def changed(one: Container) -> Container:
        assert isinstance(one.inside, Inside)
        return replace(one, inside=replace(one.inside, **changes))

    return _of(host, "job1", changed)


def _isolated(host: Host) -> Host:
    ports = {"veth0000001", "veth0000003"}
    links = (replace(one, port=BridgePort(isolated=True)) if one.name in ports else one for one in host.links or ())
    return replace(host, links=tuple(links))


def _waiting(host: Host) -> Host:
    asked, answered = (
        Ends(ip_address(ONE), 40000, ip_address(OTHER), 80),
        Ends(ip_address(OTHER), 80, ip_address(ONE), 40000),
    )
    return replace(host, flows=(TrackedFlow("tcp", asked, answered, False, "SYN_SENT", 100),))


def _blackhole(ip: str) -> tuple[Route, ...]:
    return (Route(4, "main", "blackhole", ip_network(f"{ip}/32"), None, None, None, 0, None, None),)


def _route(host: Host) -> Host:
    return replace(host, routes=(*(host.routes or ()), *_blackhole(ONE)))


NETS = ip_network(f"{ONE}/32"), ip_network("0.0.0.0/0")


@pytest.mark.parametrize(
    "change",
    [
        lambda host: replace(
            host, policy=(PolicyRule(4, 100, f"from {ONE} prohibit", None, (("src", ONE),)), *(host.policy or ()))
        ),
        lambda host: replace(
            host, neighbours=(Neighbour(ip_address(ONE), "docker0", "02:00:00:00:00:09", "PERMANENT"),)
        ),
        _isolated,
        lambda host: replace(host, bridging=Bridging((FdbEntry(MAC, "veth0000003", True),), None)),
        _waiting,
        _route,
        lambda host: _inside(host, routes=(*_read(host).routes, *_blackhole(OTHER))),
        lambda host: _inside(host, ruleset=_host(f"-d {OTHER}/32 -j DROP").ruleset),
        lambda host: replace(host, ipsec=(IpsecPolicy("out", NETS[1], NETS[0], True),)),
        lambda host: _of(host, "job1", lambda one: replace(one, state="paused")),
        lambda host: _listening(host),
        lambda host: _listening(host, Listener("tcp", ip_address("127.0.0.1"), 80)),
        lambda host: _listening(host, Listener("tcp", ip_address("0.0.0.0"), 80, full=True)),
        lambda host: _inside(host, routes=()),
        lambda host: _inside(host, sysctls=(("net.ipv4.conf.all.arp_ignore", "8"),)),
        lambda host: _inside(
            host, neighbours=(Neighbour(ip_address(OTHER), "eth0", "02:00:00:00:00:09", "PERMANENT"),)
        ),
        lambda host: _inside(host, links=tuple(replace(one, up=False) for one in _read(host).links)),
        lambda host: _of(host, "job1", lambda one: replace(one, endpoints=_container(host, "job3").endpoints)),
    ],
)
def test_by_all_else(change: Callable[[Host], Host]) -> None:
    host = change(_host("-j RETURN"))
    assert _wrong(host) == []


def _container(host: Host, name: str) -> Container:
    return next(one for one in host.containers or () if one.name == name)


def _read(host: Host) -> Inside:
    inside = _container(host, "job1").inside
    assert inside is not None
    return inside
