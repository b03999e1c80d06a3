"""One nft rule's JSON -> its conditions and its target. A part that is not interpreted stays in `not_understood`."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.addresses import subnet
from netdash.model.host import Effect, Match, Target, Verb
from netdash.parse.json_values import Json, items, mapping
from netdash.parse.json_values import text as word
from netdash.rules import nft_effect
from netdash.rules.iptables_target import GO_ON, translation
from netdash.rules.nft_effect import arms, cases, elements_of, key_name, verdict
from netdash.rules.nft_match import CONTINUE, Draft, Sets, element_text, first, imply, read_match
from netdash.rules.nft_text import expression, statement
from netdash.rules.parts import limit_match, protocol_match, word_match

_WIDE = ("inet", "bridge", "netdev")


def read_rule(rule: Json, sets: Sets) -> Draft:
    """`rule` is the object under "rule". Never raises."""
    exprs = items(rule.get("expr"))
    draft = Draft(sets, exprs, word(rule.get("comment")), rule.get("family") in _WIDE)
    for expr in exprs:
        if isinstance(expr, dict) and len(expr) == 1:
            ((name, value),) = expr.items()
            take = _STATEMENTS.get(name)
            if take is not None and take(draft, value):
                continue
        draft.unread.append(expr)
    return draft


def counters(draft: Draft) -> tuple[int | None, int | None] | None:
    """(packets, bytes) as nft said; None for a rule that does not count."""
    if draft.counter is None:
        return None
    return _count(draft.counter.get("packets")), _count(draft.counter.get("bytes"))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _decide(target: Target) -> Callable[[Draft, object], bool]:
    def take(draft: Draft, value: object) -> bool:
        draft.target = target
        return value is None

    return take


def _go(verb: Verb) -> Callable[[Draft, object], bool]:
    def take(draft: Draft, value: object) -> bool:
        chain = word(mapping(value).get("target"))
        draft.target = Target(verb, chain=chain) if chain else Target(Verb.OTHER, detail=verb.value)
        return chain is not None

    return take


def _counter(draft: Draft, value: object) -> bool:
    draft.counter, draft.counted_behind = mapping(value), len(draft.matches)
    return True


def _counted(_draft: Draft, _value: object) -> bool:
    """When it was last met: no part of what it does."""
    return True


# --- translations -----------------------------------------------------------------------------------------------------


def _nat(verb: Verb) -> Callable[[Draft, object], bool]:
    def take(draft: Draft, value: object) -> bool:
        parts = mapping(value)
        flags = parts.get("flags")
        detail = expression(flags) if flags else ""
        draft.target = Target(verb, detail=detail)
        made = _target_of(draft, verb, parts, detail)
        draft.target = made or draft.target
        named = draft.target.address is not None or any(case.address for _, case in draft.target.cases)
        if not named:  # an address says it itself: the rule matches, and does nothing (nft_nat.c)
            _only_of(draft, parts.get("family"))
        return made is not None

    return take


def _only_of(draft: Draft, version: object) -> None:
    """In a table of both IP versions, what names one is passed over by packets of the other."""
    if draft.wide and isinstance(version, str) and version in _ONLY_OF:
        imply(draft, (word_match("family", _ONLY_OF[version]),))


_ONLY_OF = {"ip": "ipv4", "ip6": "ipv6", "icmp": "ipv4", "icmpv6": "ipv6"}
"""What a translation or an answer names -> the packets that can meet it."""


def _target_of(draft: Draft, verb: Verb, parts: Json, detail: str) -> Target | None:
    ips, ports = parts.get("addr"), parts.get("port")
    if ips is None and ports is None:
        return Target(verb, detail=detail) if verb in (Verb.MASQUERADE, Verb.REDIRECT) else None
    prefix = parts.get("type_flags") == "prefix" or "netmap" in detail
    one = ips if ports is None else ports if ips is None else None
    if isinstance(one, dict) and set(one) == {"map"}:
        return _by_map(draft, verb, one["map"], ports is not None, prefix, detail)
    ip, port = ("" if ip is None else element_text(ip) for ip in (ips, ports))
    if ip is None or port is None:
        return None
    return _prefix(verb, ip) if prefix else _translation(verb, ip, port, detail)


def _by_map(draft: Draft, verb: Verb, said: object, is_port: bool, prefix: bool, detail: str) -> Target | None:
    def make(text: str) -> Target | None:
        if prefix:
            return _prefix(verb, text)
        ip, _, port = ("", "", text) if is_port else text.partition(" . ")
        return _translation(verb, ip, port, detail)

    made = cases(arms(draft, mapping(said)), make)
    if made is None:
        return None
    return Target(Verb.OTHER, detail=f"{verb.value} prefix", cases=made) if prefix else Target(verb, cases=made)


def _prefix(verb: Verb, text: str) -> Target | None:
    net = subnet(text)
    return Target(Verb.OTHER, detail=f"{verb.value} prefix", net=net) if net else None


def _translation(verb: Verb, ip: str, port: str, detail: str) -> Target | None:
    if verb in (Verb.MASQUERADE, Verb.REDIRECT):
        return translation(verb, port, detail)
    if ":" in ip and port:
        ip = "-".join(f"[{text}]" for text in ip.split("-"))
    return translation(verb, f"{ip}:{port}" if port else ip, detail)


# --- other statements -------------------------------------------------------------------------------------------------


def _reject(draft: Draft, value: object) -> bool:
    draft.target = Target(
        Verb.REJECT, detail=statement({"reject": value}).removeprefix("reject").removeprefix(" with ")
    )
    kind = str(mapping(value).get("type"))
    version = _ONLY_OF.get(kind)
    if kind == "tcp reset":
        first(draft, protocol_match("proto", "tcp"))  # nft asks for these before all else, and may not list them
    elif draft.wide and version:
        first(draft, word_match("family", version))
    return True


def _limit(draft: Draft, value: object) -> bool:
    parts = mapping(value)
    if isinstance(value, str):
        draft.matches.append(Match("limit", (f"@{value}",)))
        return True
    rate, per, burst, over = parts.get("rate"), parts.get("per"), parts.get("burst", 5), bool(parts.get("inv"))
    if type(rate) is not int:
        return False
    units = [str(parts.get(name, "packets")) for name in ("rate_unit", "burst_unit")]
    shown = [
        f"{number} {unit}" if unit != "packets" else str(number)
        for number, unit in zip((rate, burst), units, strict=True)
    ]
    draft.matches.append(limit_match(shown[0], str(per), shown[1], over))
    return True


def _unsure(name: str, key: str) -> Callable[[Draft, object], bool]:
    """A statement after which the rule may end, by something that no listing tells."""

    def take(draft: Draft, value: object) -> bool:
        draft.matches.append(Match(key, (statement({name: value}).removeprefix(name).strip(),)))
        return True

    return take


def _dynamic(draft: Draft, value: object) -> bool:
    """`add @s { ip saddr }`; with a limit in it, it is a condition too."""
    if mapping(value).get("stmt"):
        draft.matches.append(Match("meter", (statement({"set": value}),)))
        return True
    return nft_effect.add_effect(draft, "set", statement({"set": value}))


def _vmap(draft: Draft, value: object) -> bool:
    """The key's name goes to `detail`; elements: a chain to jump to, "goto CHAIN", or a verdict."""
    parts = mapping(value)
    key, elements = key_name(draft, parts.get("key")), elements_of(draft, parts.get("data"))
    draft.target = Target(Verb.VMAP, detail=key or "")
    if elements is None or any(text is None for _, text in elements):
        return False
    known = tuple((name, text) for name, text in elements if text is not None)
    made = cases(arms(draft, parts), verdict)
    draft.target = Target(Verb.VMAP, elements=known, detail=key or "", cases=made or ())
    return made is not None


def _other(name: str) -> Callable[[Draft, object], bool]:
    """A verdict that netdash cannot follow: its rule stays marked."""

    def take(draft: Draft, _value: object) -> bool:
        draft.target = Target(Verb.OTHER, detail=name)
        return False

    return take


_XT_VERBS = {"DNAT": Verb.DNAT, "SNAT": Verb.SNAT, "MASQUERADE": Verb.MASQUERADE, "REDIRECT": Verb.REDIRECT} | {
    "REJECT": Verb.REJECT, **dict.fromkeys(GO_ON, Verb.CONTINUE)
}  # fmt: skip


_XT_EFFECTS = {"MARK": ("mark",), "CONNMARK": ("mark", "connmark"), "CT": ("notrack",)}


def _xt(draft: Draft, value: object) -> bool:
    """nft names an xt part and says nothing else of it."""
    parts = mapping(value)
    name = parts.get("name")
    if isinstance(name, str) and parts.get("type") == "target":
        draft.target_name = name
        draft.target = Target(_XT_VERBS.get(name, Verb.OTHER), detail="" if name in _XT_VERBS else name)
        draft.effects += [Effect(kind, None, after=len(draft.matches)) for kind in _XT_EFFECTS.get(name, ())]
    elif isinstance(name, str) and parts.get("type") == "match":
        draft.modules.append(name)
    return False


_STATEMENTS: dict[str, Callable[[Draft, object], bool]] = {
    "match": read_match,
    "counter": _counter,
    "accept": _decide(Target(Verb.ACCEPT)),
    "drop": _decide(Target(Verb.DROP)),
    "return": _decide(Target(Verb.RETURN)),
    "continue": _decide(CONTINUE),
    "jump": _go(Verb.JUMP),
    "goto": _go(Verb.GOTO),
    "dnat": _nat(Verb.DNAT),
    "snat": _nat(Verb.SNAT),
    "masquerade": _nat(Verb.MASQUERADE),
    "redirect": _nat(Verb.REDIRECT),
    "reject": _reject,
    "log": nft_effect.log,
    "mangle": nft_effect.mangle,
    "notrack": nft_effect.named_effect("notrack", "notrack"),
    "ct helper": nft_effect.named_effect("ct helper", "helper"),
    "ct timeout": nft_effect.named_effect("ct timeout", "CT"),
    "ct expectation": nft_effect.named_effect("ct expectation", "CT"),
    "secmark": nft_effect.named_effect("secmark", "secmark"),
    "dup": nft_effect.named_effect("dup", "dup"),
    "flow": nft_effect.named_effect("flow", "flow"),
    "set": _dynamic,
    "limit": _limit,
    "quota": _unsure("quota", "quota"),
    "ct count": _unsure("ct count", "connlimit"),
    "last": _counted,
    "vmap": _vmap,
    "queue": _other("queue"),
    "tproxy": _other("tproxy"),
    "fwd": _other("fwd"),
    "synproxy": _other("synproxy"),
    "xt": _xt,
}
