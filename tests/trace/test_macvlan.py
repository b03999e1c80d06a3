"""macvlan and ipvlan: their containers share a device's wire beside this host's IP, and never hear the host itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from netdash.model.host import Container, Endpoint, Host
from netdash.trace.model import Trace, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from tests.conftest import matrix

MAC = "203.0.113.64"  # of the container; the host's eth0 has 203.0.113.2/24


@pytest.fixture(name="recorded")
def _recorded(host: Callable[[str], Host]) -> Callable[[str], Host]:
    return host


@pytest.fixture(name="macvlan")
def _macvlan(recorded: Callable[[str], Host]) -> Host:
    return recorded("macvlan-host")


def ask(host: Host, sender: str, target: str) -> Trace:
    return trace(host, question(host, sender, target, Asked())[0])


def sibling_of(one: Container, ip: str) -> Container:
    end: Endpoint = replace(one.endpoints[0], mac=None, addresses=(ip_interface(f"{ip}/24"),))
    return replace(one, id="5" * 64, name="sibling", endpoints=(end,), inside=None)


def with_mode(host: Host, mode: str, driver: str = "macvlan") -> Host:
    networks = tuple(
        replace(one, mode=mode, driver=driver) if one.driver == "macvlan" else one for one in host.networks or ()
    )
    web = (host.containers or ())[0]
    containers = (web, sibling_of(web, "203.0.113.65"))
    return replace(host, networks=networks, containers=containers, live=True)


def test_the_answer_from_outside_meets_none_of_this_host_s_rules(macvlan: Host) -> None:
    answer = ask(macvlan, "web", "1.1.1.1:443")
    assert answer.verdict is Verdict.FORWARDED
    assert answer.reply is not None
    assert answer.reply.verdict is Verdict.DELIVERED
    assert (answer.steps, answer.reply.steps) == ((), ())


def test_outside_reaches_it_by_the_wire(macvlan: Host) -> None:
    answer = ask(macvlan, "outside", f"{MAC}:80")
    assert answer.verdict is Verdict.DELIVERED
    assert answer.steps == ()
    assert answer.reply is not None
    assert answer.reply.verdict is Verdict.FORWARDED


def test_container_and_host_do_not_hear_each_other(macvlan: Host) -> None:
    assert ask(macvlan, "web", "203.0.113.2:22").verdict is Verdict.NO_ROUTE
    towards = ask(macvlan, "host", f"{MAC}:80")
    assert towards.verdict is Verdict.NO_ROUTE
    assert towards.decided_by is not None
    assert "macvlan keeps web from its own host" in towards.decided_by.text


@pytest.mark.parametrize(
    ("mode", "driver", "verdict"),
    [
        ("", "macvlan", Verdict.DELIVERED),
        ("bridge", "macvlan", Verdict.DELIVERED),
        ("vepa", "macvlan", Verdict.UNKNOWN),
        ("private", "macvlan", Verdict.NO_ROUTE),
        ("l2", "ipvlan", Verdict.DELIVERED),
        ("l3", "ipvlan", Verdict.UNKNOWN),
        ("l3s", "ipvlan", Verdict.UNKNOWN),
    ],
)
def test_two_on_one_device(macvlan: Host, mode: str, driver: str, verdict: Verdict) -> None:
    answer = ask(with_mode(macvlan, mode, driver), "web", "203.0.113.65:80")
    assert answer.verdict is verdict
    assert answer.steps == ()


def test_a_device_of_the_host_s_own_on_that_wire_joins_them(macvlan: Host) -> None:
    links = macvlan.links or ()
    wire = next(one for one in links if one.name == "eth0")
    shim = replace(
        wire,
        index=99,
        name="shim",
        kind="macvlan",
        peer_index=wire.index,
        peer_netns=None,
        addresses=(ip_interface("203.0.113.99/32"),),
    )
    routes = tuple(macvlan.routes or ())
    by_shim = replace(
        next(one for one in routes if str(one.dst) == "203.0.113.0/24"),
        dev="shim",
        dst=ip_interface(f"{MAC}/32").network,
    )
    by_name = replace(shim, peer_index=None, lower="eth0", mode="bridge")
    told = ask(replace(macvlan, links=(*links, by_name), routes=(*routes, by_shim)), "host", f"{MAC}:80")
    assert told.verdict is Verdict.DELIVERED
    apart = ask(
        replace(macvlan, links=(*links, replace(by_name, mode="private")), routes=(*routes, by_shim)),
        "host",
        f"{MAC}:80",
    )
    assert apart.verdict is not Verdict.DELIVERED
    joined = replace(macvlan, links=(*links, shim), routes=(*routes, by_shim))
    answer = ask(joined, "host", f"{MAC}:80")  # which mode the device is in is not read
    assert answer.verdict is Verdict.UNKNOWN
    assert {end.verdict for end in answer.ends} == {Verdict.DELIVERED, Verdict.FORWARDED}


def test_that_device_answers_for_all_addresses_of_the_host(macvlan: Host) -> None:
    """arp_process answers on a device for what another one has."""
    links = macvlan.links or ()
    wire = next(one for one in links if one.name == "eth0")
    own = (ip_interface("203.0.113.99/32"),)
    shim = replace(wire, index=99, name="shim", kind="macvlan", lower="eth0", mode="bridge", addresses=own)
    shim = replace(shim, peer_index=None, peer_netns=None)
    route = next(one for one in macvlan.routes or () if str(one.dst) == "203.0.113.0/24")
    back = replace(route, dev="shim", dst=ip_interface(f"{MAC}/32").network)
    joined = replace(macvlan, links=(*links, shim), routes=(*(macvlan.routes or ()), back))
    assert ask(joined, "web", "203.0.113.2:22").verdict is Verdict.NO_LISTENER
    silent = {**(macvlan.sysctls or {}), "net.ipv4.conf.all.arp_ignore": "1"}
    assert ask(replace(joined, sysctls=silent), "web", "203.0.113.2:22").verdict is Verdict.NO_ROUTE


def test_of_ports_behind_a_router_reach_says_that_it_cannot_tell(recorded: Callable[[str], Host]) -> None:
    full = recorded("docker28.5-nft-full")  # c-mac: 10.71.0.2, its gateway another machine
    answer = ask(full, "c-mac", "203.0.113.2:22")
    assert answer.verdict is Verdict.FORWARDED
    assert any("10.71.0.1 routes it here" in one for one in answer.assumed)
    found = matrix("docker28.5-nft-full")
    at = next(at for at, one in enumerate(found.senders) if one.name == "c-mac")
    aims = [n for n, one in enumerate(found.aims) if one.ip == ip_address("203.0.113.2") and one.kind == "published"]
    assert aims
    assert {found.rows()[at][n].reaches for n in aims} == {None}
