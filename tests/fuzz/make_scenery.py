"""Random routes, policy rules and kernel settings of the host."""

from __future__ import annotations

from random import Random

from tests.fuzz.pool import CONTAINERS, DEVICES, OUTSIDE, PORTS, PREFIXES, chance
from tests.fuzz.scenario import Line, Lines

_REFUSALS = ("blackhole", "unreachable", "prohibit")


def scenery(r: Random) -> Lines:
    """What every host has, and a few things that are odd."""
    lines = [Line("sysctl", f"{name} {value}") for name, value in _settings(r)]
    lines += [Line("ip", text) for text in _routes(r)]
    if chance(r, 0.45):
        lines += [Line("ip", text) for text in policy(r)]
    return tuple(lines)


def _settings(r: Random) -> list[tuple[str, str]]:
    found = [("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]
    found += [(f"bridge/bridge-nf-call-{name}", str(int(chance(r, 0.6)))) for name in ("iptables", "ip6tables")]
    if chance(r, 0.05):
        found.append(("ipv4/ip_forward", "0"))
    if chance(r, 0.15):
        found.append((f"ipv4/conf/{r.choice(DEVICES)}/forwarding", "0"))
    for device in ("all", *DEVICES):
        strict = r.choices(("0", "1", "2"), (7, 2, 1))[0]
        found.append((f"ipv4/conf/{device}/rp_filter", strict))
    if chance(r, 0.3):
        found.append((f"ipv4/conf/{r.choice(('all', *DEVICES))}/route_localnet", "1"))
    if chance(r, 0.1):
        found.append((f"ipv4/conf/{r.choice(('all', *DEVICES))}/accept_local", "1"))
    return found


def _routes(r: Random) -> list[str]:
    found = ["route add default via 203.0.113.1 dev up0", "-6 route add default via 2001:db8::1 dev up0"]
    if chance(r, 0.06):
        found = []
    found += [
        "route add default via 192.0.2.1 dev up1 table 100",
        "-6 route add default via 2001:db8:9::1 dev up1 table 100",
    ]
    found.append("route add 198.51.100.0/24 via 192.0.2.1 dev up1 table 101")
    if chance(r, 0.1):
        found.append(f"route add {r.choice(_REFUSALS)} 10.2.0.2/32 table 100")
    if chance(r, 0.12):
        found.append(f"route add {r.choice(_REFUSALS)} {_target(r)}")
    if chance(r, 0.08):
        found.append("route add throw 198.51.100.0/24 table 100")
    if chance(r, 0.08):
        found.append("route add 198.51.100.1/32 via 192.0.2.1 dev up1")
    if chance(r, 0.05):
        found.append("route add local 10.7.0.0/24 dev lo")
    return found


def _target(r: Random) -> str:
    return r.choice(
        (r.choice(CONTAINERS[4]), "198.51.100.0/25", "198.51.100.1", "192.0.2.1", "10.1.0.0/25", "10.9.0.0/16")
    )


def policy(r: Random) -> list[str]:
    return [f"{family} {rule}" for family, rule in (_rule(r, 1000 + 10 * at) for at in range(r.randint(1, 4)))]


def _rule(r: Random, priority: int) -> tuple[str, str]:
    v = 4 if chance(r, 0.85) else 6
    family = "-4" if v == 4 else "-6"
    words = [f"rule add priority {priority}"]
    if chance(r, 0.1):
        words.append("not")
    words += [_selector(r, v) for _ in range(r.randint(1, 2))]
    words = list({word.split()[0]: word for word in words}.values())  # a selector comes once
    words.append(_action(r))
    return family, " ".join(words)


def _selector(r: Random, v: int) -> str:
    kind = r.choice(("fwmark", "fwmark", "from", "to", "iif", "oif", "ipproto", "dport", "sport"))
    if kind == "fwmark":
        return f"fwmark {r.choice(('0x1', '0x2', '0x1/0x1', '0x10/0xf0', '0x0/0xff'))}"
    if kind in ("from", "to"):
        return f"{kind} {r.choice(PREFIXES[v]) if chance(r, 0.6) else r.choice(CONTAINERS[v] + OUTSIDE[v])}"
    if kind in ("iif", "oif"):
        return f"{kind} {r.choice((*DEVICES, 'lo'))}"
    if kind == "ipproto":
        return f"ipproto {r.choice(('tcp', 'udp', 'icmp' if v == 4 else 'ipv6-icmp'))}"
    return f"{kind} {r.choice(PORTS) if kind == 'dport' else '40000-40020'}"


def _action(r: Random) -> str:
    kind = r.choices(("table", "suppress", *_REFUSALS), (10, 2, 1, 1, 1))[0]
    if kind == "table":
        return f"table {r.choice((100, 100, 101, 'main', 'default'))}"
    return f"table {r.choice(('main', 100))} suppress_prefixlength {r.choice((0, 16))}" if kind == "suppress" else kind
