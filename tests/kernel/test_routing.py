"""Routes are chosen as the kernel chooses them."""

from ipaddress import ip_address, ip_interface

import pytest

from netdash.kernel.routing import look_up, source_address, stops, uplink
from netdash.model.host import Link, Route
from netdash.parse.iproute import parse_links, parse_neighbours, parse_policy, parse_routes

OUT = ip_address("192.0.2.10")
SRC = ip_address("172.17.0.2")
MAIN = [
    {"dst": "default", "gateway": "203.0.113.1", "dev": "eth0", "flags": []},
    {"dst": "172.17.0.0/16", "dev": "docker0", "scope": "link", "prefsrc": "172.17.0.1", "flags": []},
]


def route(*extra: dict[str, object], rules: list[dict[str, object]] | None = None, iif: str | None = "docker0"):
    return look_up(OUT, SRC, iif, parse_routes([*MAIN, *extra], None), parse_policy(rules, None))


def test_longest_prefix_wins():
    assert route({"dst": "192.0.2.0/24", "dev": "tun0", "flags": []}).route.dev == "tun0"


def test_lower_metric_wins_and_a_dead_device_loses_but_not_one_without_carrier():
    wifi = {"dst": "default", "gateway": "10.0.0.1", "dev": "wlan0", "metric": 600, "flags": []}
    assert route(wifi).route.dev == "eth0"
    pulled = {"dst": "192.0.2.0/24", "dev": "tun0", "flags": ["linkdown"]}
    dead = {"dst": "192.0.2.0/24", "dev": "tun0", "flags": ["dead", "linkdown"]}
    live = {"dst": "192.0.2.0/24", "dev": "tun1", "metric": 9, "flags": []}
    assert route(dead, live).route.dev == "tun1"
    assert route(pulled, live).route.dev == "tun0"


def test_a_blackhole_is_an_answer():
    found = route({"type": "blackhole", "dst": "192.0.2.0/24", "flags": []}).route
    assert stops(found)


POLICY = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 100, "src": "172.17.0.0", "srclen": 16, "table": "52"},
    {"priority": 32766, "src": "all", "table": "main"},
]
TUNNEL = {"dst": "default", "dev": "tailscale0", "table": "52", "flags": []}


def test_a_policy_rule_by_source_leads_elsewhere():
    assert route(TUNNEL, rules=POLICY).route.dev == "tailscale0"
    assert look_up(OUT, ip_address("10.0.0.9"), None, parse_routes([*MAIN, TUNNEL], None),
                   parse_policy(POLICY, None)).route.dev == "eth0"  # fmt: skip


def test_marks_are_zero_and_unknown_selectors_are_told():
    marked = [{"priority": 5, "src": "all", "fwmark": "0x80000", "fwmask": "0xff0000", "table": "52"}, *POLICY[2:]]
    assert route(TUNNEL, rules=marked).route.dev == "eth0"
    inverted = [{**marked[0], "not": None}, *POLICY[2:]]
    assert route(TUNNEL, rules=inverted).route.dev == "tailscale0"
    by_user = [{"priority": 5, "src": "all", "uid_range": "0-99", "table": "52"}, *POLICY[2:]]
    found = route(TUNNEL, rules=by_user)
    assert found.route.dev == "eth0"
    assert [rule.priority for rule in found.unsure] == [5]


def test_suppressed_default_routes_are_passed_over():
    rules = [{"priority": 5, "src": "all", "table": "main", "suppress_prefixlen": 0},
             {"priority": 6, "src": "all", "table": "52"}]  # fmt: skip
    assert route(TUNNEL, rules=rules).route.dev == "tailscale0"


def test_a_rule_for_another_device_does_not_apply():
    rules = [{"priority": 5, "src": "all", "iif": "br-1", "table": "52"}, *POLICY[2:]]
    assert route(TUNNEL, rules=rules).route.dev == "eth0"
    assert route(TUNNEL, rules=rules, iif="br-1").route.dev == "tailscale0"


def test_no_route_is_an_answer():
    assert look_up(OUT, SRC, "docker0", (), ()).route is None


def link(*addresses: str) -> Link:
    return Link(2, "eth0", None, True, "UP", 1500, None, None, None, None, tuple(map(ip_interface, addresses)))


def test_masquerade_takes_the_address_near_the_next_hop():
    two = link("10.0.0.5/24", "203.0.113.2/24", "fe80::1/64", "2001:db8::2/64")
    assert source_address(two, ip_address("203.0.113.1"), 4) == ip_address("203.0.113.2")
    assert source_address(two, None, 4) == ip_address("10.0.0.5")
    assert source_address(two, None, 6) == ip_address("2001:db8::2")
    assert source_address(link(), None, 4) is None


@pytest.mark.parametrize("name", ["docker20.10-nft-full", "docker28.5-nft-full", "docker29.7-nftables-full"])
def test_recorded_uplinks(recording, name):
    answers = recording(name)
    links = parse_links(answers.json("ip/link.json"), answers.json("ip/addr.json"))
    routes = parse_routes(answers.json("ip/route4.json"), answers.json("ip/route6.json"))
    assert uplink(4, links, routes) == ("eth0", ip_address("203.0.113.2"))
    assert uplink(6, links, routes)[0] == "eth0"


def test_default_is_told_apart_by_family():
    routes = parse_routes([{"dst": "default", "dev": "ppp0"}], [{"dst": "default", "dev": "ppp0", "pref": "medium"}])
    assert [one.family for one in routes] == [4, 6]


def test_nonsense_is_left_out():
    assert parse_routes([1, {}, {"dst": "300.0.0.0/8"}], "x") == ()
    assert parse_links([{"ifindex": "two"}], None) == ()
    assert parse_neighbours([{"dst": "10.0.0.1"}, None]) == ()
    multipath = parse_routes([{"dst": "default", "nexthops": [{"gateway": "10.0.0.1", "dev": "a"}, 3]}], None)
    assert multipath[0].hops[0] == (ip_address("10.0.0.1"), "a")
    assert isinstance(multipath[0], Route)
