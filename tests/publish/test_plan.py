"""Requests as they are typed, and the plans and refusals that become of them on made-up hosts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from netdash.model.addresses import Spec, Wanted, parse_spec
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Binding, Chain, Engine, Holder, Host, Listener, PolicyRule, Route, Ruleset
from netdash.publish.checks import Details, Preflight
from netdash.publish.payload import Volume
from netdash.publish.plan import Plan, configured, plan, plan_without
from netdash.publish.plan_new import fresh_name, plan_new
from netdash.publish.request import Mode, Request, parse_duration, parse_lasting
from netdash.publish.statement import Kind, say
from netdash.view.changes import plain as lines
from netdash.view.statements import refusal, text
from tests.support.show_hosts import HOSTILE, WEB, blind, container, host, hostile, port

FACTS = Preflight(program="/usr/sbin/docker-proxy")
DETAILS = Details(changes=0, auto_remove=False, restart=("always", 0), health=False, stop_seconds=None)
LOCAL_ROUTE = Route(4, "local", "local", ip_network("172.25.34.8/32"), None, "eth0", None, 0, "kernel", "host")
NEAR_ROUTE = Route(4, "main", "unicast", ip_network("172.25.34.0/24"), None, "eth0", None, 0, "kernel", "link")
BRIDGE_ROUTE = Route(4, "main", "unicast", ip_network("172.17.0.0/16"), None, "docker0", None, 0, "kernel", "link")
LOOPBACK_ROUTE = Route(4, "local", "local", ip_network("127.0.0.0/8"), None, "lo", None, 0, "kernel", "host")
HTTPD = Listener("tcp", ip_address("0.0.0.0"), 80)


@pytest.mark.parametrize(
    ("text", "ports", "proto", "bind"),
    [
        ("80", ((80, None),), "tcp", None),
        ("8080:80", ((80, 8080),), "tcp", None),
        ("53:5353/udp", ((5353, 53),), "udp", None),
        ("8000-8002:9000-9002", ((9000, 8000), (9001, 8001), (9002, 8002)), "tcp", None),
        ("7000-7001", ((7000, None), (7001, None)), "tcp", None),
        ("127.0.0.1:8080:80", ((80, 8080),), "tcp", "127.0.0.1"),
        ("127.0.0.1::80/TCP", ((80, None),), "tcp", "127.0.0.1"),
        ("[::1]:8080:80", ((80, 8080),), "tcp", "::1"),
    ],
)
def test_what_can_be_typed(text: str, ports: tuple[tuple[int, int | None], ...], proto: str, bind: str | None) -> None:
    wanted = tuple(Wanted(*pair) for pair in ports)
    assert parse_spec(text) == Spec(wanted, proto, ip_address(bind) if bind else None)


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "65536", "80:", ":", "a", "80/sctp", "80/", "8000-8002:80-81", "9-8", "1-60000", "x:80:80", "²:80"),
        *("224.0.0.1:80:80", "fe80::1%eth0:80:80", "80 81", "-1:80", "8080:80:90:100"),
    ],
)
def test_what_cannot(text: str) -> None:
    with pytest.raises(NetdashError) as caught:
        parse_spec(text)
    assert caught.value.code == Exit.USAGE


def test_options_and_text_must_not_disagree() -> None:
    assert parse_spec("80", "udp", "::1") == Spec((Wanted(80, None),), "udp", ip_address("::1"))
    for words in (("80/udp", "tcp", None), ("127.0.0.1:8080:80", None, "::1"), ("80", None, "nonsense")):
        with pytest.raises(NetdashError):
            parse_spec(*words)


def test_durations() -> None:
    assert [parse_duration(one) for one in ("90", "45s", "30m", "2h", "1d")] == [90, 45, 1800, 7200, 86400]
    for wrong in ("", "m", "-1m", "1w", "1.5h"):
        with pytest.raises(NetdashError):
            parse_duration(wrong)
    assert (parse_duration("0"), parse_lasting("1s")) == (0, 1)
    for nothing in ("0", "0s", "0m", "00h", "0d"):
        with pytest.raises(NetdashError):
            parse_lasting(nothing)


# --- plans ------------------------------------------------------------------------------------------------------------


def routed(**changes: Any) -> Host:
    """A host whose own address and network are in its routes, as a kernel's always are."""
    plain = host(containers=(container(listeners=(HTTPD,)),), **changes)
    policy = (PolicyRule(4, 0, "from all lookup local", "local", ()), *(plain.policy or ()))
    return replace(
        plain,
        routes=(*(plain.routes or ()), LOOPBACK_ROUTE, LOCAL_ROUTE, NEAR_ROUTE, BRIDGE_ROUTE),
        policy=policy,
        live=True,
    )


def made(text: str = "8081:80", on: Host | None = None, facts: Preflight = FACTS, **more: Any) -> Plan:
    bind = more.pop("bind", None)
    on = on or routed()
    return plan(Request(WEB, parse_spec(text, bind=bind), **more), on, facts)


def refusals(plan: Plan) -> list[str]:
    return list(map(refusal, plan.refusals))


def test_a_forward_in_full() -> None:
    assert lines(made(seconds=1800.0)) == (
        "forward 8081 → web 80/tcp",
        "  1. /usr/sbin/docker-proxy at 0.0.0.0:8081/tcp → 172.17.0.3:80",
        "  2. a process of netdash's keeps it for 30 m, and follows web when its address changes",
        "  3. connect to port 8081 from this host: it must answer, or all is taken back",
        "downtime: none",
        "lost: nothing",
        "client address: web sees every client as 172.17.0.1",
        "reached from this host: yes, at 127.0.0.1",
        "reached from its network: yes, at 172.25.34.8",
        "reached from outside: yes, at 172.25.34.8, as far as this host decides",
        "undo: netdash unpublish web 8081: the process ends, nothing else was changed",
    )


def test_a_recreation_in_full() -> None:
    details = replace(DETAILS, changes=3, anonymous=(Volume("ab" * 32, "/data", ""),), fixed_addresses=False)
    told = lines(made("8081-8082:80-81", facts=replace(FACTS, details=details), mode=Mode.RECREATE))
    assert told == (
        "make web anew with 8081-8082 → web 80-81/tcp",
        "  1. hold the restart policy of web (always) meanwhile",
        "  2. stop web",
        "  3. keep what it wrote outside its volumes: commit it to an image (skipped where it wrote nothing)",
        "  4. create its equal with port 8081-8082, and connect the same networks",
        "  5. rename the old one to web.netdash-TIME, and the new one to web",
        "  6. start web; wait until it is running steadily",
        "  7. connect to port 8081-8082 from this host: what comes back is told",
        "  8. remove the old one after 10 m",
        "downtime: from its stop (killed after 10 s) until the new one has started: usually seconds; it is measured",
        "lost: what its processes hold in memory; its log, with the old container; its id f3f3f3f3f3f3, where others "
        "hold it",
        "client address: web sees the address of each client; those on this host as the bridge's gateway",
        "reached from this host: ?, the rules that the engine would write are not known: not all was read",
        "reached from its network: ?, the rules that the engine would write are not known: not all was read",
        "reached from outside: ?, the rules that the engine would write are not known: not all was read",
        "undo: within 10 m: netdash undo (the old web comes back as it was; what the new one wrote outside its volumes "
        "is lost)",
        "warning: nothing listens on tcp port 81 of web now; what listens: 80/tcp",
        "warning: bound to every address: Docker's rules come before ufw and firewalld zones, which do not filter it",
        "warning: 3 files and folders changed outside its volumes are kept: they become an image, which the new "
        "container starts from",
        "warning: anonymous volume abababababab stays at /data, from now on by its name",
        "warning: addresses that the engine chose may change",
    )


def test_losing_is_said_and_never_the_default() -> None:
    facts = replace(FACTS, details=replace(DETAILS, changes=3))
    kept = made(facts=facts, mode=Mode.RECREATE)
    lost = made(facts=facts, mode=Mode.RECREATE, discard=True)
    assert Kind.LOST_FILES not in {one.kind for one in kept.lost}
    assert lost.lost[0] == say(Kind.LOST_FILES, files=3)
    assert lost.lost[1:] == kept.lost
    assert Kind.COMMIT not in {step.kind for step in lost.steps}


def test_who_else_is_in_its_network_is_said() -> None:
    for sharers, said in (
        (None, ["which other processes use the network namespace of web could not be read"]),
        ((), []),
        (((4, "socat"),), ["socat (pid 4) in the network of web, but of no container in it: left with nothing but lo"]),
    ):
        plan = made(facts=replace(FACTS, details=replace(DETAILS, sharers=sharers)), mode=Mode.RECREATE)
        found = [text(one) for one in plan.warnings if one.kind in (Kind.SHARERS, Kind.SHARERS_UNREAD)]
        assert found == said


def test_compose_lines() -> None:
    on = host(containers=(container(compose="shop", service="front", listeners=(HTTPD,)),))
    found = made(on=on, facts=replace(FACTS, details=DETAILS), mode=Mode.RECREATE, bind="172.25.34.8")
    assert found.file == ("services:", "  front:", "    ports:", '      - "172.25.34.8:8081:80"')
    assert Kind.COMPOSE_PROJECT in {one.kind for one in found.warnings}


def test_a_port_of_netdashs_choice_is_free() -> None:
    ports = (port(8080), port(8081, live=False), port(8082, container_id=None, holder=Holder("process", 1, "x")))
    on = host(containers=(container(listeners=(HTTPD,)),), ports=ports)
    assert {one.host_port for one in made("80", on).ports} == {8083}
    assert {one.host_port for one in made("3000-3001", on).ports} == {3000, 3001}
    unknown = replace(on, listeners=None)
    assert refusals(made("80", unknown)) == ["no host port can be chosen: the host's sockets are not known; name it"]


ELSEWHERE = {"network_mode": "container:" + "9" * 64, "shares_with": "db", "endpoints": ()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": "exited"}, "web is exited, not running: docker start web"),
        ({"state": "paused"}, "web is paused, not running: docker unpause web"),
        ({"network_mode": "host"}, "uses the host's network"),
        ({"network_mode": "none", "endpoints": ()}, "has no network"),
        (ELSEWHERE, "web uses the network of db"),
        ({"endpoints": ()}, "web is on no network"),
    ],
)
def test_containers_that_have_nothing_to_publish(changes: dict[str, Any], reason: str) -> None:
    found = made(on=host(containers=(container(**changes),)))
    assert len(found.refusals) == 1
    assert reason in refusals(found)[0]
    assert found.steps == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"internal": True}, "network bridge is internal"),
        ({"driver": "macvlan", "bridge": None}, "this host has no bridge to it"),
        ({"bridge": "br-gone"}, "the engine is in another network namespace"),
    ],
)
def test_networks_that_lead_nowhere(changes: dict[str, Any], reason: str) -> None:
    plain = host(containers=(container(),))
    network = replace((plain.networks or ())[0], **changes)
    assert reason in refusals(made(on=replace(plain, networks=(network,))))[0]


@pytest.mark.parametrize(
    ("entry", "bind", "reason"),
    [
        (port(8081), None, "tcp 0.0.0.0:8081 is held by container web, docker-proxy pid 2672"),
        (port(8081, "127.0.0.1"), None, "tcp 127.0.0.1:8081 is held by"),
        (port(8081, "127.0.0.1"), "172.25.34.8", ""),
        (port(8081, "::", dual=True, container_id=None, holder=Holder("process", 5, "x")), "172.25.34.8", "x pid 5"),
        (port(8081, "::"), "172.25.34.8", ""),
        (port(8081, proto="udp"), None, ""),
        (port(8081, holder=Holder("rule"), container_id=None), None, "is held by rule nat/DOCKER #3"),
        (port(8081, holder=Holder("process"), container_id=None), None, "a process that only root sees"),
        (port(8081, live=False, holder=Holder("nobody")), None, "is wanted by container web, which is not running"),
    ],
)
def test_who_has_the_port(entry: Any, bind: str | None, reason: str) -> None:
    on = host(containers=(container(listeners=(HTTPD,)),), ports=(entry,))
    found = refusals(made(on=on, bind=bind))
    assert found == [] if not reason else reason in found[0]


def test_a_stopped_containers_port_can_be_forced() -> None:
    on = host(containers=(container(listeners=(HTTPD,)),), ports=(port(8081, live=False, holder=Holder("nobody")),))
    found = made(on=on, force=True)
    assert found.refusals == ()
    assert list(map(text, found.warnings)) == [
        "tcp 0.0.0.0:8081 is wanted by container web, which is not running: it cannot start again",
    ]


def test_the_port_of_a_forward_that_waits_is_refused_and_can_be_forced() -> None:
    waits = port(8081, live=False, holder=Holder("nobody"), waiting=True)
    on = host(containers=(container(listeners=(HTTPD,)),), ports=(waits,))
    assert refusals(made(on=on)) == [
        "tcp 0.0.0.0:8081 is wanted by netdash's forward to web, which waits (--force does it all the same)"
    ]
    assert list(map(text, made(on=on, force=True).warnings)) == [
        "tcp 0.0.0.0:8081 is wanted by netdash's forward to web, which waits: it cannot open again"
    ]


def test_what_was_not_read_of_the_hosts_port_is_the_first_warning() -> None:
    unread = replace(routed(), ruleset=None)
    for found in (
        made(on=unread),
        made(on=unread, facts=replace(FACTS, details=DETAILS), mode=Mode.RECREATE),
        plan_new("nginx", "fresh", (parse_spec("8081:80"),), unread, FACTS),
    ):
        assert found.warnings[0].kind is Kind.HOST_RULES_UNREAD
    assert made(on=replace(routed(), listeners=None)).warnings[0].kind is Kind.HOST_SOCKETS_UNREAD


def test_rights_and_addresses() -> None:
    poor = replace(FACTS, lowest_port=1024)
    assert "ports below 1024 are privileged" in refusals(made("80:80", facts=poor))[0]
    assert made("8081:80", facts=poor).refusals == ()
    engine = Engine("docker", "28", True, None, None)
    rootless = host(
        containers=(container(listeners=(HTTPD,)),),
        engine=engine,
        sysctls={"net.ipv4.ip_unprivileged_port_start": "1024"},
    )
    facts = replace(poor, details=DETAILS)
    assert made("80:80", facts=facts, mode=Mode.RECREATE).refusals == ()  # the engine binds it, and is root
    assert "privileged" in refusals(made("80:80", rootless, facts=facts, mode=Mode.RECREATE))[0]
    assert refusals(made(bind="9.9.9.9")) == ["9.9.9.9 is not an address of this host"]
    assert made(bind="127.0.0.5").refusals == ()
    away = replace(FACTS, engine_here=False)
    assert "another network namespace" in refusals(made(facts=away))[0]
    unable = say(Kind.ENGINE_ERROR, message="no permission", hint="use sudo")
    assert refusals(made(facts=Preflight(unable=unable))) == ["no permission (use sudo)"]


LOCAL = Listener("tcp", ip_address("127.0.0.1"), 80)
SIX = Listener("tcp", ip_address("::"), 80, dual=True)


@pytest.mark.parametrize(
    ("listeners", "warning", "answers"),
    [
        ((HTTPD,), "", True),
        ((SIX,), "", True),
        ((LOCAL,), "web listens on tcp port 80 only at 127.0.0.1: not reached", False),
        ((), "nothing listens on tcp port 80 of web now; what listens: nothing", False),
        (None, "whether anything listens on tcp port 80 of web could not be read", None),
    ],
)
def test_who_listens_inside(listeners: Any, warning: str, answers: bool | None) -> None:
    found = made(on=host(containers=(container(listeners=listeners),)))
    assert found.refusals == ()
    assert list(map(text, found.warnings)) == ([warning] if warning else [])
    assert found.answers is answers


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auto_remove": True}, "was started with --rm"),
        ({"changes": None}, "could not be counted"),
        ({"missing": ("donor",)}, "takes volumes from donor, which does not exist any more"),
        ({"swarm_service": "shop_web"}, "docker service update --publish-add … shop_web"),
        ({"dependents": (say(Kind.LINKED, container="web", user="db"),)}, "would lead to the old one (--force does it"),
    ],
)
def test_containers_that_are_not_made_anew(changes: dict[str, Any], reason: str) -> None:
    facts = replace(FACTS, details=replace(DETAILS, **changes))
    assert reason in refusals(made(facts=facts, mode=Mode.RECREATE))[0]
    assert made(facts=facts).refusals == ()  # a forward does not touch it


def test_filtered_hosts_are_not_called_reachable() -> None:
    plain = routed()
    wall = Chain("ip", "filter", "INPUT", "iptables-nft", (), kind="filter", hook="input", policy="drop")
    verdicts = {
        None: (None, "could not be read"),
        Ruleset(()): (True, "at 172.25.34.8"),
        Ruleset((wall,)): (False, "dropped: filter/INPUT policy"),
    }
    for ruleset, (yes, why) in verdicts.items():
        near = made(on=replace(plain, ruleset=ruleset)).reach[1]
        assert near.yes is yes
        assert why in text(near.why)
    nobody = made("8081:99").reach
    assert [one.yes for one in nobody] == [False, False, False]
    assert "no listener" in text(nobody[1].why)
    lost = made(on=replace(plain, routes=tuple(one for one in plain.routes or () if one is not BRIDGE_ROUTE))).reach
    assert [one.yes for one in lost] == [False, False, False]
    assert "the routes lead elsewhere" in text(lost[0].why)
    near, far = made(bind="127.0.0.1").reach[1:]
    assert (near.yes, far.yes) == (False, False)


def test_unread_and_hostile_hosts_are_refused_or_said() -> None:
    assert refusals(made(on=blind())) == ["the container is gone"]
    unread = replace(host(containers=(container(listeners=(HTTPD,)),)), listeners=None)
    assert Kind.HOST_SOCKETS_UNREAD in {one.kind for one in made(on=unread).warnings}
    told = lines(made(on=hostile()))
    assert any(HOSTILE[:5] in one for one in told)


# --- the other plans --------------------------------------------------------------------------------------------------


def test_taking_a_port_of_the_engine_back() -> None:
    binding = Binding("tcp", 80, None, 8080)
    web = container(configured=(binding,))
    request = Request(WEB, parse_spec("8080"), Mode.RECREATE)
    facts = replace(FACTS, details=DETAILS)
    assert [one.host_port for one in configured(web, request.spec)] == [8080]
    assert plan_without(request, facts, web).refusals == ()
    other = replace(request, spec=parse_spec("8080-8081"))
    assert refusals(plan_without(other, facts, web)) == ["web does not publish port 8081/tcp"]
    assert plan_without(request, facts, replace(web, state="exited")).refusals != ()


def test_a_new_container() -> None:
    on = host(containers=(container(),), ports=(port(8080),))
    facts = replace(FACTS, image_here=False)
    found = plan_new("shop/web:2", "fresh", (parse_spec("8081:80"), parse_spec("81")), on, facts)
    assert found.refusals == ()
    assert text(found.steps[0]) == "pull shop/web:2"
    assert [(one.host_port, one.container_port) for one in found.ports] == [(8081, 80), (8082, 81)]
    bad = plan_new("x", "web", (parse_spec("8080:80"), parse_spec("9:9"), parse_spec("9:9")), on, facts)
    assert [one.split(",")[0] for one in refusals(bad)] == [
        "there is a container web already",
        "tcp 0.0.0.0:8080 is held by container web",
        "tcp port 9 is asked for twice",
    ]
    assert refusals(plan_new("x", "bad name", (), on, facts)) == ["'bad name' is not a name that Docker takes"]
    assert fresh_name("reg:5000/a/web:2@sha256:1", "ff") == "web-ff"
    assert fresh_name("@", "ff") == "container-ff"
