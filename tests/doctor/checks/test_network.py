"""Names, IPv6, large packets, shapers, addresses that two have."""

from __future__ import annotations

import pytest

from netdash.bundle.storage import load
from netdash.doctor.checks import candidates, ports
from netdash.model.finding import Finding, Severity
from tests.doctor.checks.stage import RECORDINGS, container, found, made, recorded
from tests.support.fleets import fleet
from tests.support.trace_hosts import DB, LINKS, WEB, table

RESOLVER = "udp UNCONN 0 0 127.0.0.11:40084 0.0.0.0:*\ntcp LISTEN 0 9 *:80 *:*\n"
EMPTY = "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-N DOCKER_OUTPUT\n"
LED = EMPTY + "-A DOCKER_OUTPUT -d 127.0.0.11/32 -p udp -m udp --dport 53 -j DNAT --to-destination 127.0.0.11:40084\n"


@pytest.mark.parametrize(
    ("listeners", "nat", "flushed"),
    [
        (RESOLVER, EMPTY, True),
        (RESOLVER, LED, False),
        ("tcp LISTEN 0 9 *:80 *:*\n", EMPTY, False),
        (RESOLVER, "", False),
    ],
)
def test_rules_that_lead_to_the_engines_resolver(listeners: str, nat: str, flushed: bool) -> None:
    on = made({"containers/web/listeners.txt": listeners, "containers/web/nat.txt": nat})
    assert bool(found(on, "dns-rules-flushed")) is flushed


def test_native_rules_are_not_missed_in_a_list_of_iptables() -> None:
    info = {"ServerVersion": "29.7.2", "FirewallBackend": {"Driver": "nftables"}}
    more = {"containers/web/listeners.txt": RESOLVER, "containers/web/nat.txt": EMPTY, "docker/info.json": info}
    assert not found(made(more), "dns-rules-flushed")
    chain = {"family": "ip", "table": "own", "name": "out", "handle": 2, "type": "filter", "hook": "output", "prio": 0}
    listed = [{"table": {"family": "ip", "name": "own", "handle": 1}}, {"chain": {**chain, "policy": "drop"}}]
    assert found(made({**more, "containers/web/nft.json": {"nftables": listed}}), "dns-rules-flushed")


@pytest.mark.parametrize(
    ("conf", "alarm"),
    [("nameserver 127.0.0.53\n", True), ("nameserver 127.0.0.53\nnameserver 9.9.9.9\n", False), ("", False)],
)
def test_a_server_at_loopback_where_nobody_listens(conf: str, alarm: bool) -> None:
    assert bool(found(made({"containers/web/resolv.conf": conf}), "dns-loopback-server")) is alarm


SIX = [{"family": "inet6", "local": "2001:db8::2", "prefixlen": 64}]
UPLINK = [{**one, "addr_info": [*one["addr_info"], *SIX]} if one["ifname"] == "eth0" else one for one in LINKS]  # type: ignore[misc]
SWITCHES = {"net.ipv6.conf.all.forwarding": "1", "net.ipv6.conf.eth0.accept_ra": "1"}
DEFAULT = [{"dst": "default", "gateway": "fe80::1", "dev": "eth0"}]


@pytest.mark.parametrize(
    ("sysctls", "routes", "lost"),
    [
        (SWITCHES, [], True),
        ({**SWITCHES, "net.ipv6.conf.eth0.accept_ra": "2"}, [], False),
        ({**SWITCHES, "net.ipv6.conf.all.forwarding": "0"}, [], False),
        (SWITCHES, DEFAULT, False),
        (SWITCHES, None, False),
    ],
)
def test_a_host_that_forwards_ignores_its_router(sysctls: dict[str, str], routes: object, lost: bool) -> None:
    more = {"ip/addr.json": UPLINK, **({} if routes is None else {"ip/route6.json": routes})}
    assert bool(found(made(more, sysctls=sysctls), "v6-ra-lost")) is lost


@pytest.mark.parametrize(
    ("rule", "bound", "severity"),
    [
        ("-A PREROUTING -p tcp -m tcp --dport 8080", ("0.0.0.0",), Severity.INFO),
        ("-A PREROUTING -p tcp -m tcp --dport 8080", ("0.0.0.0", "::"), Severity.MEDIUM),
        ("-A PREROUTING ! -i docker0 -p tcp -m tcp --dport 8080", ("0.0.0.0", "::"), None),  # a proxy is to take it
    ],
)
def test_a_port_that_ipv6_clients_cannot_reach(rule: str, bound: tuple[str, ...], severity: Severity | None) -> None:
    web = container("web", WEB, PortBindings={"80/tcp": [{"HostIp": "", "HostPort": "8080"}]})
    ports = {"80/tcp": [{"HostIp": ip, "HostPort": "8080"} for ip in bound]}
    web["NetworkSettings"] = {**web["NetworkSettings"], "Ports": ports}  # type: ignore[dict-item]
    more = {"ip/addr.json": UPLINK, "docker/inspect.json": [web, container("db", DB)]}
    on = made(more, legacy=table("nat", f"{rule} -j DNAT --to-destination {WEB}:80"))
    assert [one.severity for one in found(on, "v6-proxy-off")] == ([severity] if severity is not None else [])


def sized(uplink: int, bridge: int) -> list[dict[str, object]]:
    sizes = {"eth0": uplink, "docker0": bridge}
    return [{**one, "mtu": sizes.get(str(one["ifname"]), 1500)} for one in LINKS]


SILENT = table("filter", "-A OUTPUT -p icmp -m icmp --icmp-type 3/4 -j DROP")
CLAMPED = table("mangle", "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu")


@pytest.mark.parametrize(
    ("uplink", "rules", "code", "severity"),
    [
        (1400, "", "mtu-risk", Severity.INFO),
        (1400, SILENT, "mtu-blackhole", Severity.HIGH),
        (1400, SILENT + CLAMPED, "mtu-risk", Severity.INFO),
        (1500, SILENT, "mtu-blackhole", None),
    ],
)
def test_large_packets(uplink: int, rules: str, code: str, severity: Severity | None) -> None:
    findings = found(made({"ip/addr.json": sized(uplink, 1500)}, legacy=rules or None), code)
    assert [one.severity for one in findings] == ([severity] if severity is not None else [])


def test_a_device_inside_that_is_wider_than_its_bridge() -> None:
    inside = [{"ifindex": 2, "ifname": "eth0", "flags": ["UP"], "mtu": 1500}]
    inside[0]["addr_info"] = [{"family": "inet", "local": WEB, "prefixlen": 16}]
    more = {"ip/addr.json": sized(1500, 1400), "containers/web/addr.json": inside}
    assert [one.severity for one in found(made(more), "mtu-mismatch")] == [Severity.MEDIUM]
    assert not found(made({**more, "ip/addr.json": sized(1500, 1500)}), "mtu-mismatch")


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("qdisc tbf 8001: dev vweb root refcnt 2 rate 8bit burst 10b lat 0us", Severity.HIGH),
        ("qdisc netem 8001: dev vweb root refcnt 2 limit 1000 loss 100%", Severity.HIGH),
        ("qdisc tbf 8001: dev vweb root refcnt 2 rate 100Mbit burst 10Kb lat 50ms", Severity.INFO),
        ("qdisc noqueue 0: dev vweb root refcnt 2", None),
    ],
)
def test_shapers(line: str, severity: Severity | None) -> None:
    findings = found(made({"rules/tc.txt": line + "\n"}), "tc-drop")
    assert [one.severity for one in findings] == ([severity] if severity is not None else [])


def test_an_address_that_two_have() -> None:
    twice = [{"ifindex": 2, "ifname": "eth0", "flags": ["UP"]}]
    twice[0]["addr_info"] = [{"family": "inet", "local": ip, "prefixlen": 16} for ip in (DB, WEB)]
    (finding,) = found(made({"containers/db/addr.json": twice}), "duplicate-ip")
    assert "web and db both answer for 172.17.0.2" in finding.sentence
    assert not found(made({}), "duplicate-ip")


def test_a_mac_that_two_have() -> None:
    def macs(*pair: str) -> dict[str, object]:
        both = [container("web", WEB), container("db", DB)]
        for one, mac in zip(both, pair, strict=True):
            one["NetworkSettings"]["Networks"]["bridge"]["MacAddress"] = mac  # type: ignore[index]
        return {"docker/inspect.json": both}

    assert len(found(made(macs("02:42:ac:11:00:02", "02:42:ac:11:00:02")), "duplicate-mac")) == 1
    assert not found(made(macs("02:42:ac:11:00:02", "02:42:ac:11:00:03")), "duplicate-mac")
    assert not found(made(macs("", "")), "duplicate-mac")


@pytest.mark.parametrize("shim", [False, True])
def test_a_host_with_a_device_beside_its_macvlan_containers_reaches_them(shim: bool) -> None:
    answers = load(RECORDINGS / "macvlan-host").answers
    device: dict[str, object] = {
        "ifindex": 9,
        "ifname": "shim0",
        "link": "eth0",
        "flags": ["UP", "LOWER_UP"],
        "operstate": "UP",
        "address": "6a:0e:5a:77:0c:84",
        "linkinfo": {"info_kind": "macvlan", "info_data": {"mode": "bridge"}},
    }
    own = {"family": "inet", "local": "203.0.113.31", "prefixlen": 32, "scope": "global"}
    added: dict[str, list[dict[str, object]]] = {
        "ip/link.json": [device],
        "ip/addr.json": [{**device, "addr_info": [own]}],
        "ip/route4.json": [
            {"dst": "203.0.113.64", "dev": "shim0", "scope": "link"},
            {"type": "local", "dst": "203.0.113.31", "dev": "shim0", "table": "local", "prefsrc": "203.0.113.31"},
        ],
    }
    more = {path: [*answers[path], *rows] for path, rows in added.items()}  # type: ignore[misc]
    found = {one.finding.code for one in candidates(recorded("macvlan-host", more if shim else None))}
    assert ("macvlan-host" in found) is not shim


def test_ports_that_are_exposed_and_not_published_are_one_finding_where_that_is_the_habit() -> None:
    def told(count: int) -> list[Finding]:
        return [one.finding for one in ports.check_unpublished(fleet(count))]

    assert [len(finding.hits) for finding in told(8)] == [1, 1, 1]
    (all_of_them,) = told(30)
    assert len(all_of_them.hits) == 14
    assert all_of_them.sentence.startswith("no port is published: job0, job10, job12 and 11 more expose ports")
