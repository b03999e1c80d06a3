"""One nft rule's JSON -> its conditions and its target. A part that is not interpreted stays in `not_understood`."""

from __future__ import annotations

from collections.abc import Callable

from netdash.core.decode import Json, items, mapping
from netdash.core.decode import text as word
from netdash.core.iptables_target import translation
from netdash.core.model import Target, Verb
from netdash.core.nft_match import ADDRESS, META, Draft, Elements, Sets, add, element_text, read_match
from netdash.core.nft_text import expression, statement
from netdash.core.rule_parts import limit_match

_CONTINUE = Target(Verb.CONTINUE)


def read_rule(rule: Json, sets: Sets) -> Draft:
    """`rule` is the object under "rule". Never raises."""
    exprs = items(rule.get("expr"))
    draft = Draft(sets, exprs, word(rule.get("comment")))
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
    draft.counter = mapping(value)
    return True


def _nat(verb: Verb) -> Callable[[Draft, object], bool]:
    def take(draft: Draft, value: object) -> bool:
        parts = mapping(value)
        flags = parts.get("flags")
        detail = expression(flags) if flags else ""
        draft.target = Target(verb, detail=detail)
        ips, ports = parts.get("addr"), parts.get("port")
        if ips is None and ports is None:
            return verb in (Verb.MASQUERADE, Verb.REDIRECT)
        ip, port = ("" if one is None else element_text(one) for one in (ips, ports))
        if ip is None or port is None:
            return False
        made = _translation(verb, ip, port, detail)
        draft.target = made or draft.target
        return made is not None

    return take


def _translation(verb: Verb, ip: str, port: str, detail: str) -> Target | None:
    if verb in (Verb.MASQUERADE, Verb.REDIRECT):
        return translation(verb, port, detail)
    if ":" in ip and port:
        ip = "-".join(f"[{one}]" for one in ip.split("-"))
    return translation(verb, f"{ip}:{port}" if port else ip, detail)


def _reject(draft: Draft, value: object) -> bool:
    draft.target = Target(
        Verb.REJECT, detail=statement({"reject": value}).removeprefix("reject").removeprefix(" with ")
    )
    return True


def _detail(name: str) -> Callable[[Draft, object], bool]:
    """Statements after which the next rule is tried."""

    def take(draft: Draft, value: object) -> bool:
        if draft.target is None:
            draft.target = Target(Verb.CONTINUE, detail=statement({name: value}))
        return True

    return take


def _limit(draft: Draft, value: object) -> bool:
    parts = mapping(value)
    rate, per, burst = parts.get("rate"), parts.get("per"), parts.get("burst", 5)
    if parts.get("inv") or parts.get("rate_unit", "packets") != "packets" or type(rate) is not int:
        return False
    return add(draft, limit_match(str(rate), str(per), str(burst)))


def _vmap(draft: Draft, value: object) -> bool:
    """The key's name goes to `detail`; elements: a chain to jump to, "goto CHAIN", or a verdict."""
    parts = mapping(value)
    key, data = _vmap_key(parts.get("key")), parts.get("data")
    draft.target = Target(Verb.VMAP, detail=key or "")
    if isinstance(data, str) and data.startswith("@"):
        elements = draft.named(data)
    else:
        elements = map_elements(mapping(data).get("set"))
    if elements is None or any(verdict is None for _, verdict in elements):
        return False
    known = tuple((name, verdict) for name, verdict in elements if verdict is not None)
    draft.target = Target(Verb.VMAP, elements=known, detail=key or "")
    return key is not None


def _vmap_key(key: object) -> str | None:
    if not isinstance(key, dict) or len(key) != 1:
        return None
    kind, what = next(iter(key.items()))
    name = mapping(what).get("key") if kind == "meta" else mapping(what).get("field")
    if kind == "payload" and mapping(what).get("protocol") == "th" and name in ("sport", "dport"):
        return str(name)
    known = {"meta": {**META, "l4proto": "proto"}, "payload": {**ADDRESS, "protocol": "proto", "nexthdr": "proto"}}
    return known.get(kind, {}).get(name) if isinstance(name, str) else None


def map_elements(value: object) -> Elements:
    """[[key, value], …] of a map, [key, …] of a set, as text; what has no text is shown in nft's words."""
    return tuple(_element(one) for one in items(value))


def _element(value: object) -> tuple[str, str | None]:
    if isinstance(value, list) and len(value) == 2:
        return element_text(value[0]) or expression(value[0]), _verdict_text(value[1])
    return element_text(value) or expression(value), None


def _verdict_text(value: object) -> str:
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        chain = word(mapping(inner).get("target"))
        if name == "jump" and chain:
            return chain
        return f"goto {chain}" if name == "goto" and chain else name if inner is None else expression(value)
    return element_text(value) or expression(value)


_XT_VERBS = {"DNAT": Verb.DNAT, "SNAT": Verb.SNAT, "MASQUERADE": Verb.MASQUERADE, "REDIRECT": Verb.REDIRECT} | {
    "REJECT": Verb.REJECT, "LOG": Verb.CONTINUE, "MARK": Verb.CONTINUE, "NFLOG": Verb.CONTINUE
}  # fmt: skip


def _xt(draft: Draft, value: object) -> bool:
    """nft names an xt part and says nothing else of it."""
    parts = mapping(value)
    name = parts.get("name")
    if isinstance(name, str) and parts.get("type") == "target":
        draft.target_name = name
        draft.target = Target(_XT_VERBS.get(name, Verb.OTHER), detail="" if name in _XT_VERBS else name)
    elif isinstance(name, str) and parts.get("type") == "match":
        draft.modules.append(name)
    return False


_STATEMENTS: dict[str, Callable[[Draft, object], bool]] = {
    "match": read_match,
    "counter": _counter,
    "accept": _decide(Target(Verb.ACCEPT)),
    "drop": _decide(Target(Verb.DROP)),
    "return": _decide(Target(Verb.RETURN)),
    "continue": _decide(_CONTINUE),
    "jump": _go(Verb.JUMP),
    "goto": _go(Verb.GOTO),
    "dnat": _nat(Verb.DNAT),
    "snat": _nat(Verb.SNAT),
    "masquerade": _nat(Verb.MASQUERADE),
    "redirect": _nat(Verb.REDIRECT),
    "reject": _reject,
    "log": _detail("log"),
    "mangle": _detail("mangle"),
    "notrack": _detail("notrack"),
    "limit": _limit,
    "vmap": _vmap,
    "xt": _xt,
}
