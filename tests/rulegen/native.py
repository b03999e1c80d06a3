"""A ruleset for `nft -f`, made at random, and what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from netdash.model.host import Effect, Match, Target, Verb
from tests.rulegen import native_conditions as conditions
from tests.rulegen.dice import Dice
from tests.rulegen.native_conditions import FULL, Make, braces, ip, only, span_text
from tests.rulegen.wanted import Part, Wanted, WantedChain

Taken = Callable[[str], bool]
"""Whether this kernel and this nft take the condition or target of that name."""

# --- verdicts and effects ---------------------------------------------------------------------------------------------


def _plain(text: str, verb: Verb) -> Make:
    return lambda dice: Part(text, target=Target(verb))


def _go(word: str, verb: Verb) -> Make:
    def make(dice: Dice) -> Part:
        chain = f"leaf-{dice.number(1, 2)}"
        return Part(f"{word} {chain}", target=Target(verb, chain=chain))

    return make


def _reject(dice: Dice) -> Part:
    four = ("icmp host-unreachable", "icmp admin-prohibited")
    six = ("icmpv6 no-route", "icmpv6 addr-unreachable")
    both = ("icmpx admin-prohibited", "icmpx no-route") if dice.wide else ()
    kind = dice.pick((*both, *(six if dice.v6 else four)))
    said = kind.replace(" ", " type ")
    return Part(f"reject with {said}", () if "icmpx" in kind else only(dice), Target(Verb.REJECT, detail=kind))


def _verdicts(dice: Dice) -> Part:
    """A verdict map by device, address or both."""
    arms: list[tuple[str, tuple[Match, ...]]]
    kind = dice.number(1, 3)
    if kind == 1:
        key = "iifname"
        arms = [(f'"{name}"', (Match("iif", (name,)),)) for name in dice.some(("eth0", "docker0", "br-1"), 1, 3)]
    elif kind == 2:
        key = f"{ip(dice)} daddr"
        arms = [(str(net), (Match("dst", (net,)),)) for net in dice.nets(3)]
    else:
        key = f"iifname . {ip(dice)} daddr"
        arms = [(f'"eth0" . {net}', (Match("iif", ("eth0",)), Match("dst", (net,)))) for net in dice.nets(3)]
    cases, texts = [], []
    for text, matches in arms:
        word, target = dice.pick(
            (
                ("accept", Target(Verb.ACCEPT)),
                ("drop", Target(Verb.DROP)),
                ("return", Target(Verb.RETURN)),
                ("jump leaf-1", Target(Verb.JUMP, chain="leaf-1")),
                ("goto leaf-2", Target(Verb.GOTO, chain="leaf-2")),
            )
        )
        texts.append(f"{text} : {word}")
        cases.append((matches, target))
    return Part(
        f"{key} vmap {braces(texts)}", only(dice) if kind > 1 else (), target=Target(Verb.VMAP, cases=tuple(cases))
    )


VERDICTS: dict[str, Make] = {
    "accept": _plain("accept", Verb.ACCEPT),
    "drop": _plain("drop", Verb.DROP),
    "return": _plain("return", Verb.RETURN),
    "continue": _plain("continue", Verb.CONTINUE),
    "none": _plain("", Verb.CONTINUE),
    "jump": _go("jump", Verb.JUMP),
    "goto": _go("goto", Verb.GOTO),
    "vmap": _verdicts,
}
REJECTS: dict[str, Make] = {
    "reject": _reject,
    "reset": lambda dice: Part(
        "reject with tcp reset", (Match("proto", ("tcp",)),), Target(Verb.REJECT, detail="tcp reset")
    ),
}


def _set_mark(dice: Dice) -> Part:
    side, kind, other = dice.pick((("meta mark", "mark", "ct mark"), ("ct mark", "connmark", "meta mark")))
    value, mask = dice.mark(), dice.mask()
    said, keep, other_keep, xor = dice.pick(
        (
            (f"{value:#x}", 0, 0, value),
            (f"{side} | {value:#x}", ~value, 0, value),
            (f"{side} & {mask:#x}", mask, 0, 0),
            (f"{side} ^ {value:#x}", FULL, 0, value),
            (f"{side} & {mask:#x} | {value:#x}", mask & ~value, 0, value),
            (f"{side} & {mask:#x} ^ {value:#x}", mask, 0, value),
            (other, 0, FULL, 0),
            (f"{other} & {mask:#x}", 0, mask, 0),
            (f"{other} & {mask:#x} | {value:#x}", 0, mask & ~value, value),
        )
    )
    return Part(f"{side} set {said}", effects=(Effect(kind, keep & FULL, xor, other_keep & FULL),))


def _log(dice: Dice) -> Part:
    prefix = dice.pick(("web", "a b", "[BLOCK] ", "it's"))
    return Part(f'log prefix "{prefix}"', effects=(Effect("log", detail=f'prefix "{prefix}"'),))


EFFECTS: dict[str, Make] = {
    "counter": lambda dice: Part("counter"),
    "mark": _set_mark,
    "log": _log,
    "nflog": lambda dice: Part("log group 5", effects=(Effect("nflog", detail="group 5"),)),
    "trace": lambda dice: Part("meta nftrace set 1", effects=(Effect("trace"),)),
    "add": lambda dice: Part(f"add @dyn{6 if dice.v6 else 4} {{ {ip(dice)} saddr }}", effects=(Effect("set"),)),
}
RAW: dict[str, Make] = {"notrack": lambda dice: Part("notrack", effects=(Effect("notrack"),))}

# --- translations -----------------------------------------------------------------------------------------------------


def _nat(word: str, verb: Verb) -> Make:
    """Ports need a protocol: the rule is one of tcp."""

    def make(dice: Dice) -> Part:
        low, high, _ = dice.span()
        last = high if dice.chance(0.3) else None
        ports = dice.ports() if dice.chance(0.7) else None
        shown = f"{low}-{last}" if last else f"{low}"
        if ports:
            shown = (f"[{low}]-[{last}]" if last else f"[{low}]") if dice.v6 else shown
            shown += f":{span_text(ports)}"
        flag = dice.pick(("", "", "random", "persistent"))
        target = Target(verb, address=low, address_to=last, ports=ports, detail=flag)
        return Part(f"{word} {ip(dice)} to {shown} {flag}".strip(), target=target)

    return make


def _by_map(dice: Dice) -> Part:
    ports = dice.random.sample(range(1, 60000), 3)
    goals = [(port, dice.address(), dice.port()) for port in ports]
    with_ports = dice.chance(0.5)
    texts = [f"{port} : {goal}{f' . {to}' if with_ports else ''}" for port, goal, to in goals]
    cases = tuple(
        ((Match("dport", ((port, port),)),), Target(Verb.DNAT, address=goal, ports=(to, to) if with_ports else None))
        for port, goal, to in goals
    )
    said = f"dnat {ip(dice)} to tcp dport map {braces(texts)}"
    return Part(said, target=Target(Verb.DNAT, cases=cases))


def _redirect(word: str, verb: Verb) -> Make:
    def make(dice: Dice) -> Part:
        if dice.chance(0.3):
            return Part(word, target=Target(verb))
        ports = dice.ports()
        return Part(f"{word} to :{span_text(ports)}", target=Target(verb, ports=ports))

    return make


NAT: dict[str, dict[str, Make]] = {
    "prerouting": {
        "dnat": _nat("dnat", Verb.DNAT),
        "dnat map": _by_map,
        "redirect": _redirect("redirect", Verb.REDIRECT),
    },
    "postrouting": {
        "snat": _nat("snat", Verb.SNAT),
        "masquerade": _redirect("masquerade", Verb.MASQUERADE),
    },
}

# --- rules and tables -------------------------------------------------------------------------------------------------


_SENT = ("output", "postrouting")
_NOT_IN = {
    "iifname": ("output",),
    "named devices": ("output",),
    "fib type of device": _SENT,
    "reverse": ("input", "forward", *_SENT),
}
"""Conditions that the kernel refuses at some hooks, or that make no sense there."""


def _pool(family: str, hook: str, v6: bool) -> dict[str, Make]:
    found = conditions.GENERAL | conditions.of_version(v6, family == "inet") | conditions.HOOKED.get(hook, {})
    return {name: make for name, make in found.items() if hook not in _NOT_IN.get(name, ())}


def features(dice: Dice) -> Iterator[tuple[str, str]]:
    """(name, a ruleset with nothing else in it)."""
    dice.wide = True
    for v6 in (False, True):
        dice.v6 = v6
        for hook, kind in (("prerouting", "filter"), ("forward", "filter"), ("output", "filter")):
            for name, make in _pool("inet", hook, v6).items():
                yield name, _alone(kind, hook, f"{make(dice).words} accept")
        for makes in conditions.OF_PROTO.values():
            for name, make in makes.items():
                yield name, _alone("filter", "forward", f"{make(dice).words} accept")
        for name, make in (VERDICTS | REJECTS | EFFECTS).items():
            yield name, _alone("filter", "forward", make(dice).words)
        for name, make in RAW.items():
            yield name, _alone("filter", "prerouting", make(dice).words)
        for hook, makes in NAT.items():
            for name, make in makes.items():
                yield name, _alone("nat", hook, f"meta l4proto tcp {make(dice).words}")


def _alone(kind: str, hook: str, words: str) -> str:
    base = f"type {kind} hook {hook} priority 0"
    return "\n".join(_table("inet", "t", [("leaf-1", "", []), ("leaf-2", "", []), ("c", base, [words])]))


def _table(family: str, name: str, chains: list[tuple[str, str, list[str]]]) -> list[str]:
    lines = [f"table {family} {name} {{"]
    for one, (definition, _) in conditions.SETS.items():
        lines += [f"set {one} {{", *definition.split("; "), "}"]
    for version in (4, 6):
        lines += [f"set dyn{version} {{", f"type ipv{version}_addr", "size 65535", "flags dynamic", "}"]
    for chain, base, rules in chains:
        lines += [f"chain {chain} {{", *([base] if base else []), *rules, "}"]
    return [*lines, "}"]


def rule(dice: Dice, family: str, kind: str, hook: str, taken: Taken) -> Wanted:
    dice.wide = family == "inet"
    if dice.wide:
        dice.v6 = dice.chance(0.4)
    parts: list[Part] = []
    nat = NAT.get(hook, {}) if kind == "nat" else {}
    verdicts = VERDICTS | nat | (REJECTS if kind == "filter" and hook in ("input", "forward", "output") else {})
    verdict = verdicts[dice.pick([name for name in verdicts if taken(name)])](dice)
    proto = dice.pick(("", "", "tcp", "udp", "sctp", "icmpv6" if dice.v6 else "icmp"))
    if verdict.words == "reject with tcp reset":
        proto = "tcp" if proto else ""
    if verdict.target and verdict.target.verb in (Verb.DNAT, Verb.SNAT, Verb.REDIRECT, Verb.MASQUERADE):
        proto = "tcp"
        parts.append(Part("meta l4proto tcp", (Match("proto", ("tcp",)),)))
    pool = _pool(family, hook, dice.v6)
    told = proto or "reset" in verdict.words
    names = [name for name in pool if taken(name) and not (told and name in ("l4proto", "concat"))]
    chosen = _one_compared(dice.some(names, 0, 4))
    parts += [pool[name](dice) for name in chosen if not (name == "l4proto" and "concat" in chosen)]
    special = conditions.OF_PROTO.get(proto, {})
    fitting = [name for name in special if taken(name)]
    if any(name in _COMPARED for name in chosen):
        fitting = [name for name in fitting if name not in _COMPARED]
    parts += [special[name](dice) for name in (dice.some(fitting, 0, 2) if fitting else ())]
    effects = EFFECTS | (RAW if (kind, hook) == ("filter", "prerouting") else {})
    done = [effects[name](dice) for name in dice.some([one for one in effects if taken(one)], 0, 3)]
    comment = dice.pick(("web", "a b", "it's", "x" * 20)) if dice.chance(0.3) else None
    return _wanted(parts, done, verdict, comment)


def half_shown(dice: Dice) -> Wanted:
    """A rule of which iptables-save prints a part as if it were the whole, and does not mind."""
    sources = dice.nets(4)
    parts = [Part(f"ip saddr {braces(map(str, sources))}", (Match("src", tuple(sources)),))]
    if dice.chance(0.5):
        spans = dice.port_list()
        said = f"ip protocol tcp tcp dport {braces(map(span_text, spans))}"
        parts.append(Part(said, (Match("proto", ("tcp",)), Match("dport", tuple(spans)))))
    if dice.chance(0.5):
        devices = dice.some(("eth0", "docker0", "br-1"), 2, 3)
        parts.append(Part(f"iifname {braces(devices)}", (Match("iif", tuple(devices)),)))
    verdict = dice.pick(("accept", "drop", "return"))
    return _wanted(parts, [Part("counter")], VERDICTS[verdict](dice), None)


_COMPARED = ("length bound", "ip hops", "ip6 hops", "tcp bound", "udp bound", "sctp bound")
"""One of them a rule: nft 1.0.6 lists `tcp sport >= 5 tcp dport <= 100` as `tcp dport 5-100`."""


def _one_compared(names: list[str]) -> list[str]:
    """The names without all comparisons but the first."""
    first = next((name for name in names if name in _COMPARED), None)
    return [name for name in names if name == first or name not in _COMPARED]


def _wanted(parts: list[Part], done: list[Part], verdict: Part, comment: str | None) -> Wanted:
    target = verdict.target or Target(Verb.CONTINUE)
    matches = tuple(match for part in parts for match in part.matches)
    late = target.verb is not Verb.REJECT and not set(verdict.matches) <= set(matches)
    after = len(matches) if late else None  # only the translation is for one version's packets
    effects = tuple(replace(effect, after=after) for part in done for effect in part.effects)
    cases = tuple((matches, replace(case, effects=effects)) for matches, case in target.cases)
    said = [part.words for part in (*parts, *done, verdict) if part.words] or ["counter"]
    if comment:
        said.append(f'comment "{comment}"')
    return Wanted(
        " ".join(said),
        (*matches, *verdict.matches),
        replace(target, effects=effects, cases=cases),
        comment,
        tuple(words for part in parts for words in part.unread),
    )


_HOOKS = {
    "filter": ("prerouting", "input", "forward", "output", "postrouting"),
    "nat": ("prerouting", "postrouting"),
    "route": ("output",),
}


def ruleset(dice: Dice, count: int, taken: Taken) -> tuple[str, list[WantedChain]]:
    """(what to give to nft, its chains with what they mean)."""
    lines: list[str] = []
    chains: list[WantedChain] = []
    for family in ("inet", "ip", "ip6"):
        dice.v6 = family == "ip6"
        here = []
        for kind, hooks in _HOOKS.items():
            for hook in hooks:
                priority = dice.random.randint(1, 90) if kind == "nat" else dice.random.randint(-190, 190)
                policy = dice.pick(("accept", "drop")) if kind == "filter" else "accept"
                here.append(WantedChain(family, "made", f"{kind}-{hook}", [], kind, hook, priority, policy))
        for _ in range(count // 3):
            chain = dice.pick(here)
            chain.rules.append(rule(dice, family, chain.kind or "", chain.hook or "", taken))
        here = [WantedChain(family, "made", "leaf-1"), WantedChain(family, "made", "leaf-2"), *here]
        lines += _table(family, "made", [(one.name, _base(one), [made.words for made in one.rules]) for one in here])
        chains += here
    return "\n".join(lines) + "\n", chains


def _base(chain: WantedChain) -> str:
    if chain.hook is None:
        return ""
    return f"type {chain.kind} hook {chain.hook} priority {chain.priority}; policy {chain.policy};"
