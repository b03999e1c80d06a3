"""Hosts as people have them, and questions that are asked with data: second uplinks, policy rules, ports of bridges,
rules for first packets, ARP rules, rules and routes inside a container, entries of conntrack, neighbours, proxy_arp."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from random import Random

from tests.fuzz.make_nft import nft
from tests.fuzz.make_scenery import policy
from tests.fuzz.make_xt import xtables
from tests.fuzz.oracle import FIRST_PORT
from tests.fuzz.pool import CONTAINERS, HOST, OUTSIDE, chance
from tests.fuzz.scenario import Line, Lines
from tests.fuzz.talk import Ask
from tests.fuzz.world import BY_NAME, LISTENING, PEERS

_ASKED = (80, 80, 80, 8080, 8080, 5001, 81)
_STALE = FIRST_PORT + 15000  # source port of conntrack's own entries
_INNER = ("a", "b", "c", "d")
_SIDES = {"br0": ("a", "b"), "br1": ("c", "d")}


def host(seed: int) -> Lines:
    """What an engine writes, and one to three peculiarities."""
    r = Random(f"talk {seed}")
    found = _settings(r) + _routes() + _published()
    for make in r.sample(_KINDS, r.choices((1, 2, 3), (4, 4, 2))[0]):
        found += make(r)
    if chance(r, 0.25):
        found += nft(r) if chance(r, 0.4) else xtables(r, "iptables")
    return found


def usual() -> Lines:
    """Without peculiarities."""
    return (*_lines("sysctl", "ipv4/ip_forward 1", "ipv6/conf/all/forwarding 1"), *_routes(), *_published())


def asks(seed: int, count: int) -> list[Ask]:
    r = Random(f"asks {seed}")
    return [_ask(r, FIRST_PORT + at) for at in range(count)]


def _ask(r: Random, sport: int) -> Ask:
    v = 4 if chance(r, 0.88) else 6
    sender = r.choices(("host", *(peer.name for peer in PEERS)), (4, 6, 3, 4, 2, 2, 1))[0]
    own = ("203.0.113.2", "10.1.0.1") if sender == "host" else BY_NAME[sender].addresses + BY_NAME[sender].more
    own = (*own, *BEYOND) if sender in ("out", "lan") else own
    there = (*CONTAINERS[v], *HOST[v], *HOST[v], *OUTSIDE[v], *(_MORE if v == 4 else ()))
    target = r.choice([one for one in there if one not in own])
    dport = r.choice(LISTENING if target in OUTSIDE[v] else _ASKED)
    proto = r.choices(("tcp", "udp"), (7, 3))[0]
    src = _source(r, sender, v)
    if proto == "udp" and chance(r, 0.2):
        sport = _STALE
    return Ask(sender, proto, ip_address(target), dport, sport, ip_address(src) if src else None)


_MORE = ("10.1.0.77",)
BEYOND = ("198.51.100.1", "2001:db8:f::1")  # whoever is outside has it


def _source(r: Random, sender: str, v: int) -> str | None:
    """Of another machine always told: its own routes are not the host's."""
    if sender == "host":
        return r.choice(HOST[v]) if chance(r, 0.15) else None
    peer = BY_NAME[sender]
    own = [
        one for one in (*peer.addresses, *(("198.51.100.7",) if sender == "out" else ())) if (":" in one) == (v == 6)
    ]
    return None if peer.container else r.choice(own)


# --- what every host has ----------------------------------------------------------------------------------------------


def _lines(tool: str, *texts: str) -> Lines:
    return tuple(Line(tool, text) for text in texts)


def _settings(r: Random) -> Lines:
    on = int(chance(r, 0.6))
    found = ["ipv4/ip_forward 1", "ipv6/conf/all/forwarding 1"]
    found += [f"bridge/bridge-nf-call-{name} {on}" for name in ("iptables", "ip6tables", "arptables")]
    return _lines("sysctl", *found)


def _routes() -> Lines:
    return _lines(
        "ip",
        "route add default via 203.0.113.1 dev up0",
        "-6 route add default via 2001:db8::1 dev up0",
        "route add default via 192.0.2.1 dev up1 table 100",
        "route add 198.51.100.0/24 via 192.0.2.1 dev up1 table 101",
    )


def _published() -> Lines:
    """As Docker writes them: 8080 is a's, 81 is c's."""
    found = [
        f"nat -A POSTROUTING -s {net} ! -o {bridge} -j MASQUERADE"
        for net, bridge in (("10.1.0.0/24", "br0"), ("10.2.0.0/24", "br1"))
    ]
    found += [
        f"nat -A PREROUTING -p tcp --dport {port} -m addrtype --dst-type LOCAL -j DNAT --to-destination {to}"
        for port, to in ((8080, "10.1.0.2:80"), (81, "10.2.0.2:80"))
    ]
    return _lines("iptables", "nat :PREROUTING ACCEPT [0:0]", "nat :POSTROUTING ACCEPT [0:0]", *found)


# --- peculiarities ----------------------------------------------------------------------------------------------------


def _uplinks(r: Random) -> Lines:
    found = [
        "route add default via 192.0.2.1 dev up1 metric 50",
        "route add 198.51.100.0/25 via 192.0.2.1 dev up1",
        "route replace default nexthop via 203.0.113.1 dev up0 nexthop via 192.0.2.1 dev up1",
        "rule add from 192.0.2.2 lookup 100 priority 900",
        "rule add iif br1 lookup 100 priority 910",
    ]
    strict = [f"ipv4/conf/{r.choice(('all', 'up0', 'up1'))}/rp_filter {r.choice('12')}"] if chance(r, 0.5) else []
    return _lines("ip", *r.sample(found, r.choice((1, 1, 2)))) + _lines("sysctl", *strict)


def _policy(r: Random) -> Lines:
    return _lines("ip", *policy(r))


def _ports(r: Random) -> Lines:
    side = r.choice(("br0", "br1"))
    ports = [f"v{name}" for name in _SIDES[side]]
    found = [
        *(Line("bridge", f"link set dev {port} isolated on") for port in r.sample(ports, r.choice((1, 2)))),
        *(Line("bridge", f"link set dev {port} hairpin on") for port in ports),
        Line("ip", f"link set {side} type bridge nf_call_iptables 1"),
        Line("ip", f"link set {side} type bridge nf_call_arptables 1"),
        Line("nft", f"add table bridge own\nadd chain bridge own between {_FORWARD}\n{_bridge_rule(r)}"),
    ]
    return tuple(r.sample(found, r.choice((1, 2))))


_FORWARD = "{ type filter hook forward priority 0; policy accept; }"


def _bridge_rule(r: Random) -> str:
    what = r.choice(("ether type arp drop", "ip daddr 10.1.0.3 drop", "ip protocol udp drop", 'iifname "va" drop'))
    return f"add rule bridge own between {what}"


def _first_packets(r: Random) -> Lines:
    """Rules that let first packets pass and not the others, or the other way."""
    hook = r.choice(("FORWARD", "FORWARD", "INPUT", "OUTPUT"))
    new = r.choice(
        (
            "-m conntrack --ctstate NEW",
            "-p tcp --syn",
            "-p tcp ! --syn",
            "-m conntrack --ctstate ESTABLISHED",
            "-m conntrack --ctstate INVALID",
            "-m conntrack --ctstate RELATED,ESTABLISHED",
            "-m conntrack --ctdir REPLY",
            "-m conntrack --ctstate NEW,ESTABLISHED",
        )
    )
    policy, verdict = r.choice((("DROP", "ACCEPT"), ("ACCEPT", "DROP"), ("ACCEPT", "REJECT")))
    device = r.choice(("", "", "-i br0", "-i up0")) if hook != "OUTPUT" else ""
    return _lines("iptables", f"filter :{hook} {policy} [0:0]", f"filter -A {hook} {device} {new} -j {verdict}")


def _arp(r: Random) -> Lines:
    hook = r.choice(("input", "output"))
    what = r.choice(
        (
            "arp operation request drop",
            "arp operation reply drop",
            'iifname "br0" drop' if hook == "input" else 'oifname "br0" drop',
            f"arp saddr ip {r.choice(CONTAINERS[4])} drop",
            f"arp daddr ip {r.choice(HOST[4])} drop",
        )
    )
    chain = f"{{ type filter hook {hook} priority 0; policy accept; }}"
    return _lines("nft", f"add table arp own\nadd chain arp own {hook} {chain}\nadd rule arp own {hook} {what}")


def _inner_rules(r: Random) -> Lines:
    name = r.choice(_INNER)
    filters = (
        "tcp dport 80 drop",
        "udp dport 80 reject",
        "ct state new drop",
        "ct state established drop",
        f"ip saddr {r.choice((*CONTAINERS[4], *OUTSIDE[4]))} drop",
        "tcp flags syn / syn,ack drop",
    )
    if chance(r, 0.6):
        hook = r.choice(("input", "output"))
        chain = f"{{ type filter hook {hook} priority 0; policy accept; }}"
        text = f"add chain ip own {hook} {chain}\nadd rule ip own {hook} {r.choice(filters)}"
    else:
        hook, to = r.choice((("prerouting", "redirect to :80"), ("prerouting", "dnat to 10.1.0.3:80")))
        chain = f"{{ type nat hook {hook} priority -100; policy accept; }}"
        text = f"add chain ip own {hook} {chain}\nadd rule ip own {hook} tcp dport {r.choice((80, 5001))} {to}"
    return _lines("nft in", f"{name} add table ip own\n{text}")


def _inner_routes(r: Random) -> Lines:
    side = r.choice(("br0", "br1"))
    name, other = r.sample(_SIDES[side], 2)
    by = BY_NAME[other].addresses[0]
    found = [
        f"{name} route add 198.51.100.0/24 via {by}",
        f"{name} route replace default via {by}",
        f"{name} route add {r.choice(('blackhole', 'unreachable'))} {r.choice(OUTSIDE[4])}",
        "a addr add 10.1.0.77/24 dev eth0",
        f"{name} addr add 10.77.0.1/32 dev lo",
        f"{name} rule add to 198.51.100.0/24 blackhole",
        f"{name} link set lo down",
    ]
    inner = [f"{other} ipv4/ip_forward {r.choice('011')}"]
    inner += [f"{name} ipv4/conf/all/rp_filter {r.choice('12')}"] if chance(r, 0.3) else []
    return _lines("ip in", *r.sample(found, r.choice((1, 1, 2)))) + _lines("sysctl in", *inner)


def _stale(r: Random) -> Lines:
    """An entry of conntrack from the time of other rules."""
    src, dst, port = r.choice(OUTSIDE[4]), r.choice(HOST[4]), r.choice((80, 5001, 8080))
    to, old = r.choice((dst, "10.1.0.3", "10.1.0.9")), r.choice((port, 80))
    nat = "" if (to, old) == (dst, port) else f" --dst-nat {to}:{old}"  # without it the kernel translates nothing
    return _lines("flow", f"-p udp -s {src} -d {dst} --sport {_STALE} --dport {port} -t 300{nat}")


def _neighbours(r: Random) -> Lines:
    """Of another machine no recording can hold which MAC is the right one, nor that it asks for none."""
    peer = r.choice(PEERS)
    ip, side = peer.addresses[0], peer.bridge or peer.device
    mac = r.choice((peer.mac, "02:00:00:00:00:99", "02:00:00:00:00:0b")) if peer.container else peer.mac
    silent = (
        Line("ip in", f"{peer.name} link set eth0 arp off"),
        Line("ip", f"neigh replace {ip} dev {side} nud failed"),
    )
    kept = _lines("ip", f"neigh replace {ip} lladdr {mac} dev {side} nud permanent")
    return silent if peer.container and chance(r, 0.5) else kept


def _proxy_arp(r: Random) -> Lines:
    """A container that takes others for neighbours: with proxy_arp the host answers for them."""
    side = r.choice(("br0", "br1"))
    name = r.choice(_SIDES[side])
    net = r.choice(("10.2.0.0/24" if side == "br0" else "10.1.0.0/24", "198.51.100.0/24", "192.0.2.0/24"))
    found = [f"ipv4/conf/{r.choice((side, 'all'))}/proxy_arp 1"] if chance(r, 0.7) else []
    return _lines("sysctl", *found) + _lines("ip in", f"{name} route add {net} dev eth0")


def _zones(r: Random) -> Lines:
    """Of conntrack: by what comes in, or what this host sends."""
    hook, device = r.choice(
        (("PREROUTING", f"-i {r.choice(('br0', 'br1', 'up0', 'up1'))} "), ("PREROUTING", ""), ("OUTPUT", ""))
    )
    side = r.choice(("", "-orig", "-reply"))
    if chance(r, 0.5):
        return _lines("iptables", f"raw :{hook} ACCEPT [0:0]", f"raw -A {hook} {device}-j CT --zone{side} 1")
    word = {"": "", "-orig": "original ", "-reply": "reply "}[side]
    asked = f'iifname "{device.split()[1]}" ' if device else ""
    chain = f"{{ type filter hook {hook.lower()} priority -300; policy accept; }}"
    return _lines(
        "nft", f"add table ip zone\nadd chain ip zone raw {chain}\nadd rule ip zone raw {asked}ct {word}zone set 1"
    )


def _switches(r: Random) -> Lines:
    side = r.choice(("br0", "br1", "up0"))
    found = [
        f"ipv4/conf/{side}/forwarding 0",
        f"ipv4/conf/{side}/arp_ignore {r.choice('128')}",
        f"ipv4/conf/{r.choice(('all', side))}/arp_filter 1",
        f"ipv4/conf/{r.choice(('all', side))}/rp_filter {r.choice('12')}",
        f"ipv4/conf/{side}/route_localnet 1",
    ]
    return _lines("sysctl", r.choice(found))


def _marked(r: Random) -> Lines:
    """Connections that keep to the uplink where they came in, by their mark."""
    device, table = r.choice((("up1", 100), ("up0", 101), ("br1", 100)))
    new = r.choice(("-m conntrack --ctstate NEW ", "", "-m connmark --mark 0 "))
    found = [f"mangle -A PREROUTING -i {device} {new}-j CONNMARK --set-mark 0x2"]
    found += r.sample(
        (
            f"mangle -A PREROUTING {r.choice(('', '-i br0 ', '-i br1 '))}-j CONNMARK --restore-mark",
            "mangle -A OUTPUT -j CONNMARK --restore-mark",
            f"mangle -A PREROUTING -i {r.choice(('br0', 'br1'))} -p {r.choice(('tcp', 'udp'))} -j MARK --set-mark 0x2",
            "mangle -A OUTPUT -p udp -j MARK --set-mark 0x2",
        ),
        r.choice((1, 2, 2)),
    )
    switches = [f"ipv4/conf/all/rp_filter {r.choice('12')}"] if chance(r, 0.4) else []
    switches += ["ipv4/conf/all/src_valid_mark 1"] if chance(r, 0.4) else []
    return (
        *_lines("iptables", "mangle :PREROUTING ACCEPT [0:0]", "mangle :OUTPUT ACCEPT [0:0]", *found),
        *_lines("ip", f"rule add fwmark 0x2 lookup {table} priority 800"),
        *_lines("sysctl", *switches),
    )


def _untracked(r: Random) -> Lines:
    """Packets of one direction, or of one kind, that conntrack does not see."""
    hook, device = r.choice((("PREROUTING", ""), ("PREROUTING", "-i up0 "), ("PREROUTING", "-i br0 "), ("OUTPUT", "")))
    what = r.choice(
        ("", "-p tcp ", "-p udp ", "-p tcp --syn ", "-p tcp ! --syn ", "-p tcp --dport 80 ", "-p tcp --sport 80 ")
    )
    loose = _lines("sysctl", "netfilter/nf_conntrack_tcp_loose 0") if chance(r, 0.3) else ()
    return (*loose, *_lines("iptables", f"raw :{hook} ACCEPT [0:0]", f"raw -A {hook} {device}{what}-j CT --notrack"))


def _translated(r: Random) -> Lines:
    """Sources that somebody's own rules give, and destinations for what this host sends."""
    source = f"POSTROUTING {r.choice(('', '-o up0 ', '-o up1 ', '-o br0 ', '-s 10.1.0.0/24 '))}"
    to = r.choice((*HOST[4], "203.0.113.9", "10.1.0.9"))
    udp = r.choice(("REDIRECT --to-ports 80", "DNAT --to-destination 10.2.0.2:80"))
    found = (
        f"nat -I {source}-j SNAT --to-source {to}",
        f"nat -I {source}-j MASQUERADE",
        f"nat -I {source}-j ACCEPT",
        f"nat -A OUTPUT -p tcp --dport {r.choice((80, 8080))} -j DNAT --to-destination {r.choice(CONTAINERS[4])}:80",
        f"nat -A PREROUTING -p udp --dport 8080 -j {udp}",
    )
    return _lines("iptables", "nat :OUTPUT ACCEPT [0:0]", *r.sample(found, r.choice((1, 2))))


_KINDS: tuple[Callable[[Random], Lines], ...] = (
    _uplinks,
    _policy,
    _ports,
    _first_packets,
    _arp,
    _inner_rules,
    _inner_routes,
    _stale,
    _neighbours,
    _proxy_arp,
    _zones,
    _switches,
    _marked,
    _untracked,
    _translated,
)
