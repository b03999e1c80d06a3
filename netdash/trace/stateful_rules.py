"""Rules whose answer the ruleset alone does not tell: sets that rules fill, recent lists, limits; and programs that
get packets: queues, transparent proxies.

Decides what a rule does with the first packet that meets it, and says where later ones may fare otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable

from netdash.model.addresses import only
from netdash.model.host import Effect, Match, Rule, Target
from netdash.model.records import replace
from netdash.rules.match import Answer, applies, condition
from netdash.trace.model import Step, Verdict
from netdash.trace.run import Ended, Run

_ADDED = re.compile(r"(add|update) @(\S+) \{ (ip6? [sd]addr)\b")
_KEYS = {"ip saddr": "src", "ip6 saddr": "src", "ip daddr": "dst", "ip6 daddr": "dst"}


def first_time(run: Run, rule: Rule) -> Answer:
    """Whether the rule matches, where it asks what rules remember: nothing yet but what this packet itself brought."""
    packet = run.packet
    plain = applies(rule, packet)
    if plain is Answer.YES or rule.not_understood:
        return plain
    if plain is Answer.NO and not (run.remembered and "@" in rule.text):
        return plain
    answer, limited = Answer.YES, False
    for match in rule.matches:
        held = condition(match, packet)
        decided = None if held is Answer.YES else _decided(run, rule, match)
        if decided is not None:
            held, limited = decided, limited or match.key in _LIMITS
        if held is Answer.NO:
            return held
        answer = held if held is Answer.UNSURE else answer
    if limited and answer is Answer.YES:
        run.assume(f"unless limited by {rule.place}")
    return answer


def remember(run: Run, rule: Rule, effect: Effect) -> None:
    """A set gains the packet's address (nft_dynset.c)."""
    found = _ADDED.match(effect.detail)
    if found:
        run.remembered.add((rule.table, found[2], found[3]))


def _decided(run: Run, rule: Rule, match: Match) -> Answer | None:
    decide = _LIMITS.get(match.key)
    if match.key == "recent":
        return _recent(run, str(match.values[0]))
    if decide is not None:
        held = decide(str(match.values[0]) if match.values else "")
        return None if held is None else _said(held is not match.negated)
    if match.key in ("src", "dst"):
        return _in_filled_set(run, rule, match)
    return None


def _in_filled_set(run: Run, rule: Rule, match: Match) -> Answer | None:
    """A set to which this very packet's address was added by a rule before."""
    for table, name, field in run.remembered:
        asks = re.search(rf"{field} (!= )?@{re.escape(name)}(?!\S)", rule.text)
        ip = getattr(run.packet, match.key)
        if asks and table == rule.table and _KEYS[field] == match.key and ip is not None:
            wider = replace(match, values=(*match.values, only(ip)))
            return condition(wider, run.packet)
    return None


def _recent(run: Run, words: str) -> Answer | None:
    """xt_recent.c: --set always matches and puts the address on the list; the others ask for it."""
    options = words.split()
    name = options[options.index("--name") + 1] if "--name" in options[:-1] else "DEFAULT"
    side = "dst" if "--rdest" in options else "src"
    known = ("recent", name, side) in run.remembered
    hits = options[options.index("--hitcount") + 1] if "--hitcount" in options[:-1] else "1"
    if "--set" in options:
        run.remembered.add(("recent", name, side))
        held = True
    else:
        held = known and hits == "1"
        if not held:
            run.assume(f"unless an address is on the list {name} of `recent` already")
    if "--remove" in options:
        run.remembered.discard(("recent", name, side))
    return _said(held is not ("!" in options))


def _said(held: bool) -> Answer:
    return Answer.YES if held else Answer.NO


def _limit(_: str) -> bool | None:
    return True  # the first packets are within every limit: it starts with its burst (xt_limit.c, nft_limit.c)


def _hashlimit(words: str) -> bool | None:
    return None if "!" in words else "--hashlimit-above" not in words


def _connlimit(words: str) -> bool | None:
    """The first connection counts too."""
    most = re.search(r"(?:above|upto|over|until|count) (\d+)", words)
    if "!" in words or most is None:
        return None if "!" in words else not ("above" in words or "over" in words)
    return (int(most[1]) < 1) is ("above" in words or "over" in words)


def _quota(words: str) -> bool | None:
    """nft prints how much is used; iptables does not."""
    found = re.fullmatch(r"(over )?(\d+) (\w+)(?: used (\d+) (\w+))?", words)
    if found is None:
        return not words.startswith(("over", "!"))
    over, size, unit, used, used_unit = found.groups()
    spent = int(used or 0) * _UNITS.get(used_unit or "", 1) >= int(size) * _UNITS.get(unit, 1)
    return spent is bool(over)


_UNITS = {"bytes": 1, "kbytes": 1 << 10, "mbytes": 1 << 20}
_LIMITS: dict[str, Callable[[str], bool | None]] = {
    "limit": _limit,
    "hashlimit": _hashlimit,
    "connlimit": _connlimit,
    "quota": _quota,
}


_QUEUES = ("NFQUEUE", "QUEUE", "queue")


def hand_over(run: Run, rule: Rule, target: Target, step: Step) -> None:
    """Returns when the packet passes."""
    if target.detail in _QUEUES:
        if run.choose(f"the program behind {rule.place} lets the packet pass"):
            return
        run.leave_open(rule)
        raise run.end(Verdict.DROPPED, step.place, "the program that reads the queue drops it", step)
    if target.detail == "TPROXY":
        _to_proxy(run, rule, target, step)
        return
    if target.detail == "SYNPROXY" and run.answered_before():
        run.assume(f"{step.place} opens the connection itself, then asks the receiver: conntrack shows that it answers")
        run.proven = True
        raise Ended(Verdict.DELIVERED, None)
    run.leave_open(rule)
    raise run.end(Verdict.UNKNOWN, step.place, f"what {target.detail or 'this rule'} does is not known", step)


def _to_proxy(run: Run, rule: Rule, target: Target, step: Step) -> None:
    """tproxy_tg4: the packet goes to a transparent socket on this port, and is dropped where there is none."""
    port, listeners = target.ports[0] if target.ports else run.packet.dport, run.net.listeners
    found = [listener for listener in listeners or () if (listener.proto, listener.port) == (run.packet.proto, port)]
    if listeners is not None and not found:
        run.stop(Verdict.DROPPED, step.place, f"TPROXY hands it to port {port}, where nothing listens", step)
        return
    run.leave_open(rule)
    who = found[0].program if found and found[0].program else "whatever listens"
    what = f"TPROXY hands it to {who} on port {port}: how that answers is not known"
    raise run.end(Verdict.UNKNOWN, step.place, what, step)
