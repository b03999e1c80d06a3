"""Random changes of random hosts: the model after the change against the host that is read after it was really made."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import chain
from random import Random

from netdash.change.apply import CannotModel, apply
from netdash.change.difference import read_command
from netdash.change.rules import meaning
from netdash.join.host import Builder
from netdash.model.host import Host, Link, Port, Route, Rule
from netdash.trace.model import Verdict
from tests.fuzz import make, make_scenery, make_xt
from tests.fuzz.judge import ask
from tests.fuzz.namespaces import CommandError, renew, run
from tests.fuzz.pool import BRIDGE_PORTS, DEVICES, chance
from tests.fuzz.recorded import record
from tests.fuzz.scenario import Lines
from tests.fuzz.scenario import apply as put_in
from tests.fuzz.world import World

_A_HOST, _PROBES = 20, 4
_SETTLE = 1.2  # seconds: the kernel tells of a carrier once a second (linkwatch)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`word`: equal, refused (by tool and model), not modelled, wrong. `text`: what differs."""

    command: str
    word: str
    text: str = ""


def campaign(seed: int, count: int) -> int:
    tally: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    begun = time.monotonic()
    hosts = 0
    while tally.total() < count:
        for outcome in _host(seed, min(_A_HOST, count - tally.total())):
            tally[outcome.word] += 1
            if outcome.word == "wrong":
                print(f"seed {seed}: {outcome.command}: {outcome.text}", flush=True)
            elif outcome.word == "not modelled":
                reasons[outcome.text] += 1
        seed, hosts = seed + 1, hosts + 1
    words = ", ".join(f"{number} {word}" for word, number in sorted(tally.items()))
    print(f"{tally.total()} changes on {hosts} hosts: {words}. {time.monotonic() - begun:.0f} s")
    for reason, number in reasons.most_common():
        print(f"  not modelled {number} times: {reason}")
    return 1 if tally["wrong"] else 0


def _host(seed: int, count: int) -> Iterator[Outcome]:
    renew()
    r = Random(f"changes {seed}")
    with closing(World()) as world:
        try:
            lines = put_in(make.scenario(seed), world.entered)
        except CommandError:
            return
        host = Builder().build(record(world))
        probes = make.probes(seed, _PROBES)
        for _ in range(count):
            command = _command(r, lines, host)
            planned, why = _planned(host, command)
            try:
                run(*shlex.split(command))
            except CommandError as error:
                refused = planned is None
                yield Outcome(command, "refused" if refused else "wrong", f"the tool says {str(error)[-120:]}")
                continue
            time.sleep(_SETTLE if " link set " in command else 0)
            after = Builder().build(record(world))
            if planned is None:
                yield Outcome(command, "not modelled", why)
            else:
                differs = next(chain(_differences(planned, after), _traces(planned, after, probes)), "")
                yield Outcome(command, "wrong" if differs else "equal", differs)
            host = after


def _planned(host: Host, command: str) -> tuple[Host | None, str]:
    try:
        return apply(host, read_command(host, command)), ""
    except CannotModel as error:
        return None, error.message


# --- what differs -----------------------------------------------------------------------------------------------------


def _differences(planned: Host, after: Host) -> Iterator[str]:
    yield from _rules(planned, after)
    for name, ours, theirs in (
        ("routes", _routes(planned.routes), _routes(after.routes)),
        ("policy", {*(planned.policy or ())}, {*(after.policy or ())}),
        ("devices", {*map(_device, planned.links or ())}, {*map(_device, after.links or ())}),
        ("sysctls", _sysctls(planned), _sysctls(after)),
        ("ports", {*map(_port, planned.ports or ())}, {*map(_port, after.ports or ())}),
    ):
        if ours != theirs:
            more, less = (sorted(map(str, one))[:3] for one in (ours - theirs, theirs - ours))
            yield f"{name}: only on the model {more}, only read {less}"
    for one in after.containers or ():
        same = next(other for other in planned.containers or () if other.id == one.id)
        ours = {*map(_device, (same.inside and same.inside.links) or ())}
        theirs = {*map(_device, (one.inside and one.inside.links) or ())}
        if ours != theirs:
            yield f"devices in {one.name}: {sorted(map(str, ours - theirs))}, read {sorted(map(str, theirs - ours))}"


def _traces(planned: Host, after: Host, probes: list[make.Probe]) -> Iterator[str]:
    for probe in probes:
        one, other = ask(planned, probe), ask(after, probe)
        if Verdict.UNKNOWN in (one.verdict, other.verdict):
            continue
        ours, theirs = ((each.verdict, [step.place for step in each.steps]) for each in (one, other))
        if ours != theirs:
            yield f"a trace says {ours}, not {theirs}"


def _sysctls(host: Host) -> set[tuple[str, str]]:
    return {pair for pair in (host.sysctls or {}).items() if pair[0] != "net.netfilter.nf_conntrack_count"}


def _rules(planned: Host, after: Host) -> Iterator[str]:
    assert planned.ruleset is not None
    assert after.ruleset is not None
    ours, theirs = (
        {
            (chain.family, chain.table, chain.name, chain.backend == "iptables-legacy"): chain
            for chain in ruleset.chains
            if chain.rules or chain.hook is None or chain.policy != "accept"
        }
        for ruleset in (planned.ruleset, after.ruleset)
    )
    for key in ours.keys() ^ theirs.keys():
        yield f"chain {key} is {'on the model only' if key in ours else 'not on the model'}"
    for key in ours.keys() & theirs.keys():
        one, other = ours[key], theirs[key]
        if one.policy != other.policy:
            yield f"policy of {key}: {one.policy}, read {other.policy}"
        if len(one.rules) != len(other.rules) or not all(map(_same, one.rules, other.rules)):
            yield f"rules of {key}: {[rule.text for rule in one.rules]}, read {[rule.text for rule in other.rules]}"
        if [rule.position for rule in one.rules] != [rule.position for rule in other.rules]:
            yield f"positions of {key}"


def _same(planned: Rule, read: Rule) -> bool:
    """A rule of nft's in a table of iptables: iptables-save leaves the table out, and less is read of its rules."""
    return bool(planned.not_understood or read.not_understood) or meaning(planned) == meaning(read)


_MADE_LATER = (ip_network("fe80::/10"), ip_network("ff00::/8"))
"""Of IPv6: a device that comes up gets these by itself, after a while; and a router has an anycast address of each
network, which is not modelled."""


def _routes(routes: tuple[Route, ...] | None) -> set[tuple[object, ...]]:
    return {
        (
            route.family,
            route.table,
            route.kind,
            route.dst,
            route.gateway,
            route.dev,
            route.metric,
            route.prefsrc,
            route.linkdown,
        )
        for route in routes or ()
        if route.family == 4
        or not (
            route.kind == "anycast" or any(route.dst.subnet_of(net) for net in _MADE_LATER)  # type: ignore[arg-type]
        )
    }


def _device(link: Link) -> tuple[object, ...]:
    own = frozenset(one for one in link.addresses if not one.ip.is_link_local)
    return link.name, link.up, link.state in ("UP", "UNKNOWN"), link.master, link.port and link.port.state, own


def _port(port: Port) -> tuple[object, ...]:
    """Without the counters of its rules."""
    rules = tuple(rule.place for rule in (port.dnat, *port.unsure) if rule)
    own = (port.proto, port.host_ip, port.host_port, port.target_ip, port.container_port, port.scope)
    return *own, rules, port.listening, port.holder and port.holder.kind, port.dnat_from_here, port.device


# --- commands ---------------------------------------------------------------------------------------------------------

_TOOLS = {
    "iptables": "iptables-nft",
    "ip6tables": "ip6tables-nft",
    "iptables-legacy": "iptables-legacy",
    "ip6tables-legacy": "ip6tables-legacy",
}


def _command(r: Random, lines: Lines, host: Host) -> str:
    kinds = [_route, _policy, _link, _sysctl]
    tools = [line.tool for line in lines if line.tool in _TOOLS]
    kinds += [_xt] * 5 if tools else []
    kinds += [_nft] * 4 if any(line.tool == "nft" for line in lines) else []
    return r.choice(kinds)(r, lines, host)


def _xt(r: Random, lines: Lines, host: Host) -> str:
    tool = r.choice([line.tool for line in lines if line.tool in _TOOLS])
    ours = [line.text.split(" ", 1) for line in lines if line.tool == tool]
    table = r.choice(ours)[0]
    chains = [text[1:].split()[0] for name, text in ours if name == table and text.startswith(":")]
    known = [text for name, text in ours if name == table and text.startswith("-A ")]
    chain = r.choice(chains)
    hook = next((name for name in _BASES if name[:4] == chain[:4]), "FORWARD")
    v = 6 if tool.startswith("ip6") else 4
    rule = make_xt._rule(r, table, chain, hook, [], v).removeprefix(f"-A {chain} ")
    forms = {
        f"-A {chain} {rule}": 4,
        f"-I {chain} {rule}": 3,
        f"-I {chain} {r.randint(1, 4)} {rule}": 3,
        f"-D {chain} {r.randint(1, 3)}": 3,
        f"-R {chain} {r.randint(1, 3)} {rule}": 2,
        f"-F {chain}": 1,
        f"-P {chain} {r.choice(('DROP', 'ACCEPT'))}": 1,
        f"-N new{r.randint(1, 2)}": 1,
        f"-X {r.choice((*chains, 'new1', 'new2'))}": 1,
        f"-A {chain} -j new1": 1,
        "-F": 0.2,
    }
    if known:
        forms[f"-D {r.choice(known)[3:]}"] = 4
    made = r.choices(tuple(forms), tuple(forms.values()))[0]
    return f"{_TOOLS[tool]} {'' if table == 'filter' else f'-t {table} '}{made}"


_BASES = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def _nft(r: Random, lines: Lines, host: Host) -> str:
    ours = [line.text for line in lines if line.tool == "nft"]
    rules = [text for text in ours if text.startswith("add rule ")]
    chains = [text.split()[2:5] for text in ours if text.startswith("add chain ")]
    if rules and chance(r, 0.75):
        words = r.choice(rules)
        return "nft " + shlex.quote(words if chance(r, 0.6) else words.replace("add rule", "insert rule", 1))
    family, table, chain = r.choice(chains)
    return (
        "nft "
        + r.choices(
            (
                f"flush chain {family} {table} {chain}",
                f"delete chain {family} {table} {chain}",
                f"add chain {family} {table} mine",
                f"add rule {family} {table} mine counter drop",
                f"add rule {family} {table} {chain} jump mine",
                f"delete table {family} {table}",
                "flush ruleset",
            ),
            (3, 2, 2, 2, 2, 0.5, 0.2),
        )[0]
    )


def _route(r: Random, lines: Lines, host: Host) -> str:
    known = [route for route in host.routes or () if route.table != "local" and route.dst.prefixlen != 128]
    if known and chance(r, 0.4):
        route = r.choice(known)
        six = "-6 " if route.family == 6 else ""
        kind = f"{route.kind} " if route.kind != "unicast" and chance(r, 0.5) else ""
        dst = "default" if route.default else str(route.dst)
        table = f" table {route.table}" if route.table != "main" else ""
        return f"ip {six}route del {kind}{dst}{table}"
    made = r.choice(
        [
            *make_scenery._routes(r),
            "route add 10.9.0.0/16 via 10.1.0.2",
            "route add 10.9.0.0/16 dev br1 metric 7",
            "route add 198.51.100.7 via 203.0.113.1 src 203.0.113.3",
            "-6 route add 2001:db8:f::/48 via 2001:db8:9::1",
            "-6 route add unreachable 2001:db8:f::9/128",
            "route add default via 192.0.2.1",
            "route add default via 10.77.0.1",
        ]
    )
    return "ip " + (made.replace("route add", "route replace") if chance(r, 0.3) else made)


def _policy(r: Random, lines: Lines, host: Host) -> str:
    rules = [rule for rule in host.policy or () if 0 < rule.priority < 32766]
    if rules and chance(r, 0.4):
        rule = r.choice(rules)
        return f"ip -{rule.family} rule del priority {rule.priority}"
    made = r.choice(make_scenery.policy(r))
    if chance(r, 0.5):
        made = " ".join(word for at, word in enumerate(made.split()) if at not in (3, 4))
    return "ip " + (made.replace("rule add", "rule del") if chance(r, 0.15) else made)


def _link(r: Random, lines: Lines, host: Host) -> str:
    device = r.choice((*DEVICES, *BRIDGE_PORTS, "nosuch"))
    up = next((link.up for link in host.links or () if link.name == device), True)
    wanted = "down" if up and chance(r, 0.9) else "up"
    return f"ip link set {'dev ' if chance(r, 0.5) else ''}{device} {wanted}"


def _sysctl(r: Random, lines: Lines, host: Host) -> str:
    name, value = r.choice(make_scenery._settings(r))
    if chance(r, 0.2):
        name, value = r.choice(
            (("ipv4/ip_forward", "0"), ("ipv4/conf/default/rp_filter", "1"), ("ipv6/conf/all/forwarding", "0"))
        )
    dotted = f"net.{name.replace('/', '.')}"
    return f"sysctl -w {dotted if chance(r, 0.7) else f'net/{name}'}={value}"
