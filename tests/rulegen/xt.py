"""A ruleset for iptables-restore or ip6tables-restore, made at random, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from netdash.model.host import Effect, Match, Net, Target, Verb
from tests.rulegen import xt_conditions as conditions
from tests.rulegen.dice import Dice
from tests.rulegen.wanted import Part, Wanted, WantedChain
from tests.rulegen.xt_conditions import Make

FULL = 0xFFFFFFFF
PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
SECURITY_OF_NFT = 150
TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
USERS = ("u-plain", "DOCKER-USER", "ufw_before", "A" * 28)
"""Chains that no rule of a base chain leads to: their rules may use what some hooks refuse."""


# --- targets ----------------------------------------------------------------------------------------------------------


def _plain(words: str, verb: Verb) -> Make:
    return lambda dice: Part(words, target=Target(verb))


def _jump(option: str, verb: Verb) -> Make:
    def make(dice: Dice) -> Part:
        chain = f"leaf-{dice.number(1, 3)}"
        return Part(f"{option} {chain}", target=Target(verb, chain=chain))

    return make


def _reject(dice: Dice) -> Part:
    four = ("icmp-port-unreachable", "icmp-host-unreachable", "icmp-admin-prohibited", "icmp-net-prohibited")
    six = ("icmp6-port-unreachable", "icmp6-no-route", "icmp6-adm-prohibited")
    kind = dice.pick(six if dice.v6 else four)
    return Part(f"-j REJECT --reject-with {kind}", target=Target(Verb.REJECT, detail=kind))


def _going_on(words: str, *effects: Effect) -> Part:
    return Part(f"-j {words}", target=Target(Verb.CONTINUE), effects=effects)


def _log(dice: Dice) -> Part:
    prefix = dice.word()[:28]
    quoted = prefix.replace("\\", "\\\\").replace('"', '\\"')
    if dice.chance(0.5):
        return _going_on(f'NFLOG --nflog-prefix "{quoted}"', Effect("nflog", detail=f"--nflog-prefix {prefix}"))
    return _going_on(f'LOG --log-prefix "{quoted}"', Effect("log", detail=f"--log-prefix {prefix}"))


def _marks(dice: Dice) -> Part:
    kind = dice.pick(("mark", "connmark"))
    value, mask = dice.mark(), dice.mask()
    said, keep, xor = dice.pick(
        (
            (f"--set-xmark {value:#x}/{mask:#x}", ~mask, value),
            (f"--set-mark {value:#x}/{mask:#x}", ~(mask | value), value),
            (f"--set-mark {value:#x}", 0, value),
            (f"--and-mark {value:#x}", value, 0),
            (f"--or-mark {value:#x}", ~value, value),
            (f"--xor-mark {value:#x}", FULL, value),
        )
    )
    return _going_on(f"{kind.upper()} {said}", Effect(kind, keep & FULL, xor))


def _copied(dice: Dice) -> Part:
    nfmask, ctmask = dice.mask(), dice.mask()
    if dice.chance(0.5):
        effect = Effect("connmark", ~ctmask & FULL, other_keep=nfmask)
        return _going_on(f"CONNMARK --save-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}", effect)
    effect = Effect("mark", ~nfmask & FULL, other_keep=ctmask)
    return _going_on(f"CONNMARK --restore-mark --nfmask {nfmask:#x} --ctmask {ctmask:#x}", effect)


def _simple(words: str, kind: str) -> Make:
    return lambda dice: _going_on(words, Effect(kind))


def _socket(dice: Dice) -> tuple[str, dict[str, Any]]:
    """(text, fields) of an address to translate to, with or without a range and ports."""
    low, high, _ = dice.span()
    ends = dice.pick(((low, None), (low, None), (low, high)))
    ports = dice.ports() if dice.chance(0.7) else None
    left = "-".join(str(one) for one in ends if one)
    fields: dict[str, Any] = {"address": ends[0], "address_to": ends[1], "ports": ports}
    if ports is None:
        return left, fields
    right = f"{ports[0]}" if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"
    return (f"[{left}]:{right}" if dice.v6 else f"{left}:{right}"), fields


def _mss(_dice: Dice) -> Part:
    """It is refused in rules that do not ask for SYN."""
    syn = Match("tcp_flags", ("rst,syn/syn",))
    words = "-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1400"
    return Part(words, (syn,), Target(Verb.CONTINUE), (Effect("mss"),))


_FLAGS = ("", "", "random", "persistent", "random persistent")


def _nat(verb: Verb, option: str) -> Make:
    def make(dice: Dice) -> Part:
        text, fields = _socket(dice)
        flags = dice.pick(_FLAGS)
        ports = fields["ports"]
        if verb is Verb.DNAT and ports and ports[0] < ports[1] and dice.chance(0.5):
            fields["base_port"] = dice.port()
            text += f"/{fields['base_port']}"
        said = " ".join((f"-j {verb.name} {option} {text}", *(f"--{flag}" for flag in flags.split())))
        return Part(said, target=Target(verb, detail=flags, **fields))

    return make


def _by_ports(verb: Verb) -> Make:
    def make(dice: Dice) -> Part:
        if dice.chance(0.4):
            flags = dice.pick(("", "random"))
            return Part(f"-j {verb.name}{' --random' if flags else ''}", target=Target(verb, detail=flags))
        low, high = dice.ports()
        said = f"{low}" if low == high else f"{low}-{high}"
        return Part(f"-j {verb.name} --to-ports {said}", target=Target(verb, ports=(low, high)))

    return make


def _netmap(dice: Dice) -> Part:
    net: Net = dice.net()
    while net.num_addresses == 1:
        net = dice.net()
    return Part(f"-j NETMAP --to {net}", target=Target(Verb.OTHER, detail="NETMAP", net=net))


def _other(words: str) -> Make:
    return lambda dice: Part(f"-j {words}", target=Target(Verb.OTHER, detail=words.split()[0]), unread=(f"-j {words}",))


EVERYWHERE: dict[str, Make] = {
    "accept": _plain("-j ACCEPT", Verb.ACCEPT),
    "return": _plain("-j RETURN", Verb.RETURN),
    "jump": _jump("-j", Verb.JUMP),
    "goto": _jump("-g", Verb.GOTO),
    "count": _plain("", Verb.CONTINUE),
    "log": _log,
    "marks": _marks,
    "copied": _copied,
}
TARGETS: dict[str, dict[str, Make]] = {
    "raw": {
        "drop": _plain("-j DROP", Verb.DROP),
        "notrack": _simple("CT --notrack", "notrack"),
        "zone": _simple("CT --zone 5", "zone"),
        "trace": _simple("TRACE", "trace"),
    },
    "mangle": {
        "drop": _plain("-j DROP", Verb.DROP),
        "dscp": _simple("DSCP --set-dscp 0x0a", "dscp"),
        "checksum": _simple("CHECKSUM --checksum-fill", "CHECKSUM"),
    },
    "nat": {},
    "filter": {
        "drop": _plain("-j DROP", Verb.DROP),
        "reject": _reject,
        "queue": _other("NFQUEUE --queue-num 5"),
    },
    "security": {"drop": _plain("-j DROP", Verb.DROP)},
}
HOOKED: dict[tuple[str, str], dict[str, Make]] = {
    ("nat", "PREROUTING"): {
        "dnat": _nat(Verb.DNAT, "--to-destination"),
        "redirect": _by_ports(Verb.REDIRECT),
        "netmap": _netmap,
    },
    ("nat", "OUTPUT"): {"dnat out": _nat(Verb.DNAT, "--to-destination")},
    ("nat", "POSTROUTING"): {
        "snat": _nat(Verb.SNAT, "--to-source"),
        "masquerade": _by_ports(Verb.MASQUERADE),
        "netmap out": _netmap,
    },
    ("nat", "INPUT"): {"snat in": _nat(Verb.SNAT, "--to-source")},
    ("mangle", "PREROUTING"): {"ttl": _simple("TTL --ttl-set 5", "ttl")},
    ("mangle", "POSTROUTING"): {"classify": _simple("CLASSIFY --set-class 0001:0002", "priority")},
    ("mangle", "FORWARD"): {"tee": _simple("TEE --gateway 10.0.0.9", "dup")},
}
NEEDS_TCP: dict[str, dict[str, Make]] = {
    "mangle": {"mss": _mss},
    "filter": {
        "reset": lambda dice: Part("-j REJECT --reject-with tcp-reset", target=Target(Verb.REJECT, detail="tcp-reset"))
    },
}

# --- what may stand where ---------------------------------------------------------------------------------------------


def _conditions(table: str, chain: str, v6: bool) -> dict[str, Make]:
    found = conditions.ANYWHERE | (conditions.ONLY_6 if v6 else conditions.ONLY_4)
    if chain in ("PREROUTING", "INPUT", "FORWARD"):
        found |= conditions.IN | conditions.COMES_IN
    if chain in ("OUTPUT", "FORWARD", "POSTROUTING"):
        found |= conditions.OUT
    if chain in ("OUTPUT", "POSTROUTING"):
        found |= conditions.SENT
    if chain == "FORWARD":
        found |= conditions.FORWARDED
    if chain == "PREROUTING" and table in ("raw", "mangle"):
        found |= conditions.FIRST
    return found if chain in TABLES[table] else found | conditions.IN | conditions.OUT


def _targets(table: str, chain: str, proto: str, v6: bool) -> dict[str, Make]:
    found = EVERYWHERE | TARGETS[table] | HOOKED.get((table, chain), {})
    if proto == "tcp":
        found |= NEEDS_TCP.get(table, {})
    return {name: make for name, make in found.items() if not (v6 and name in ("ttl", "tee"))}


_PORTED = ("tcp", "udp", "sctp", "dccp")


@dataclass(frozen=True, slots=True)
class Feature:
    """One condition or target in the plainest rule that has it, to ask whether this kernel and tool take it."""

    key: tuple[str, str]  # (condition or target, name)
    table: str
    chain: str
    line: str


def features(dice: Dice) -> Iterable[Feature]:
    for table, chains in TABLES.items():
        for chain in chains:
            for name, make in _conditions(table, chain, dice.v6).items():
                yield Feature(("condition", name), table, chain, f"-A {chain} {make(dice).words} -j ACCEPT")
            for name, make in _targets(table, chain, "tcp", dice.v6).items():
                yield Feature(("target", name), table, chain, f"-A {chain} -p tcp {make(dice).words}")
    for proto, makes in _protocols(dice.v6).items():
        for name, make in makes.items():
            yield Feature(("condition", name), "filter", "INPUT", f"-A INPUT -p {proto} {make(dice).words} -j ACCEPT")


def _protocols(v6: bool) -> dict[str, dict[str, Make]]:
    return {name: makes for name, makes in conditions.OF_PROTO.items() if name != ("icmp" if v6 else "ipv6-icmp")}


Taken = Callable[[str, str], bool]
"""(condition or target, name) -> whether this kernel and tool take it."""


def rule(dice: Dice, table: str, chain: str, taken: Taken) -> Wanted:
    proto = dice.pick(("", "", "tcp", "tcp", "udp", "sctp", "dccp", "ipv6-icmp" if dice.v6 else "icmp", "gre"))
    matches: list[Match] = []
    plain: list[str] = []
    parts: list[Part] = []
    if proto:
        negated = proto == "gre" and dice.chance(0.5)
        plain.append(f"{'! ' if negated else ''}-p {proto}")
        matches.append(Match("proto", (proto,), negated))
    pool = _conditions(table, chain, dice.v6)
    names = [name for name in pool if taken("condition", name)]
    parts += [pool[name](dice) for name in dice.some(names, 0, 4)]
    targets = _targets(table, chain, proto, dice.v6)
    target = targets[dice.pick([name for name in targets if taken("target", name)])](dice)
    parts += _of_proto(dice, proto, taken, bool(target.matches))
    comment = dice.word() if dice.chance(0.3) else None
    if comment is not None:
        quoted = comment.replace("\\", "\\\\").replace('"', '\\"')
        parts.append(Part(f'-m comment --comment "{quoted}"'))
    if target.target and (target.target.ports or target.target.base_port) and proto not in _PORTED[:2]:
        target = Part("-j ACCEPT", target=Target(Verb.ACCEPT))  # ports need a protocol that has them
    said = [*plain, *(part.words for part in parts), target.words]
    return Wanted(
        " ".join(one for one in said if one),
        (*matches, *(match for part in (*parts, target) for match in part.matches)),
        replace(target.target or Target(Verb.CONTINUE), effects=target.effects),
        comment,
        tuple(words for part in (*parts, target) for words in part.unread),
    )


def _of_proto(dice: Dice, proto: str, taken: Taken, flagged: bool) -> list[Part]:
    """`flagged`: flags are asked for already, and iptables-nft prints only one such condition of a rule."""
    special = conditions.OF_PROTO.get(proto, {})
    fitting = [name for name in special if taken("condition", name)]
    chosen = dice.some(fitting, 0, 2) if fitting else []
    if flagged or {"syn", "flags"} <= set(chosen):
        chosen = [name for name in chosen if name not in ("syn", "flags")]
    return [special[name](dice) for name in chosen]


def ruleset(dice: Dice, count: int, taken: Taken, legacy: bool) -> tuple[str, list[WantedChain]]:
    """(what to give to iptables-restore, its chains with what they mean)."""
    family = "ip6" if dice.v6 else "ip"
    lines: list[str] = []
    chains: list[WantedChain] = []
    for table, bases in TABLES.items():
        here: list[WantedChain] = []
        for base in bases:
            policy = dice.pick(("accept", "drop")) if table in ("filter", "mangle") else "accept"
            hook = base.lower()
            nat = -100 if hook in ("prerouting", "output") else 100
            kind = "nat" if table == "nat" else "route" if (table, hook) == ("mangle", "output") else "filter"
            priority = nat if table == "nat" else PRIORITIES[table]
            if table == "security" and not legacy:
                priority = SECURITY_OF_NFT
            here.append(WantedChain(family, table, base, [], kind, hook, priority, policy))
        here += [WantedChain(family, table, name) for name in (*USERS, "leaf-1", "leaf-2", "leaf-3")]
        for _ in range(max(1, count // len(TABLES))):
            chain = dice.pick(here[: len(bases) + len(USERS)])
            chain.rules.append(rule(dice, table, chain.name, taken))
        lines.append(f"*{table}")
        lines += [f":{one.name} {(one.policy or '-').upper()} [0:0]" for one in here]
        lines += [f"-A {one.name} {wanted.words}" for one in here for wanted in one.rules]
        lines.append("COMMIT")
        chains += here
    return "\n".join(lines) + "\n", chains
