"""Causes that are rules: somebody's that drops, a policy, or one of the engine's that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from netdash.change.model import ChainPlace
from netdash.doctor.cause import Cause, Failed, rule_evidence
from netdash.doctor.cause_engine_rules import evidence_of, lost_rules, missing_masquerade, missing_rule
from netdash.doctor.fixes import (
    NOTHING,
    Fixed,
    accept_device,
    both,
    by_hand,
    delete_rule,
    insert_accept,
    place_of,
    policy,
    replace_rule,
    xt_rule,
)
from netdash.doctor.owners import belongs, is_engines, is_users, owner, owner_of
from netdash.drift.expected.mode import LEGACY
from netdash.model.finding import Lasts, Severity
from netdash.model.host import Chain, Host, Net, Rule, Verb
from netdash.model.index import index_of
from netdash.model.records import replace
from netdash.trace.model import Origin, Step, Verdict
from netdash.trace.summary import answer


def of_rule(failed: Failed) -> Cause | None:
    """Where a rule, or the policy of a chain, ended it."""
    step = failed.decided_by.step
    if step is None:
        return None
    if step.inside:
        return _unnamed(failed, step)
    rule = step.source
    if rule is None:
        return lost_rules(failed) or missing_rule(failed) or _policy(failed, step)
    if found := missing_masquerade(failed) or _limit(failed, rule):
        return found
    if is_users(rule):
        return _docker_user(failed, rule)
    if step.hook == "input":
        return _input(failed, step)
    if step.family == "bridge":
        return _bridge_family(step)
    if owner_of(rule) == "firewalld":
        return _firewalld(failed, step)
    if (step.family, step.table, step.chain) == ("ip", "filter", "FORWARD") and not is_engines(rule):
        return _forward_rule(rule)
    return _unnamed(failed, step)


# --- policies ---------------------------------------------------------------------------------------------------------


def _policy(failed: Failed, step: Step) -> Cause:
    place = _place(step)
    if step.hook == "input":
        return _input(failed, step)
    if step.family == "bridge":
        return _bridge_family(step)
    name = f"{'' if step.family == 'ip' else f'{step.family} '}{step.table}/{step.chain}"
    whose = owner(step.table, step.chain)
    if step.backend == LEGACY and not _engine_is_legacy(failed.host):
        return Cause(
            "legacy-nft-mix",
            Severity.CRITICAL,
            place,
            f"{name} (iptables-legacy) drops what it does not know: the engine's rules are in nft, and both decide",
            (evidence_of(step),),
            *policy(place, LEGACY),
        )
    if not _is_iptables(step) and step.backend == "nft" and step.hook == "forward":
        native = failed.host.engine is not None and failed.host.engine.firewall == "nftables"
        bridges = _bridges(failed)
        return Cause(
            "v29-nft-second-table" if native else "forward-drop-ahead",
            Severity.CRITICAL,
            place,
            f"table {step.family} {step.table} drops what is forwarded ({step.chain}, policy drop), {belongs(whose)}: "
            "what the engine's table accepts is still dropped there",
            (evidence_of(step),),
            *accept_device(place, bridges),
        )
    return Cause(
        "dropped",
        Severity.HIGH,
        place,
        f"dropped by the policy of {name}: no rule before it lets the packet through",
        (evidence_of(step),),
        *policy(place, step.backend),
    )


def _place(step: Step) -> ChainPlace:
    return ChainPlace(step.family, step.table, step.chain, step.backend)


def _is_iptables(step: Step) -> bool:
    """Whether iptables-nft keeps the chain."""
    return step.backend == "iptables-nft" or (
        step.family in ("ip", "ip6")
        and step.table in ("filter", "nat", "mangle", "raw", "security")
        and step.chain.isupper()
    )


def _engine_is_legacy(host: Host) -> bool:
    return any(chain.name == "DOCKER" and chain.backend == LEGACY and chain.rules for chain in _chains(host))


def _bridges(failed: Failed) -> tuple[str, ...]:
    """Of the networks that the packet is about."""
    index = index_of(failed.host)
    ends = (
        end for container in (failed.receiver, failed.sender) if container is not None for end in container.endpoints
    )
    return tuple(dict.fromkeys(bridge for end in ends if (bridge := index.bridge(end))))


# --- somebody's rules -------------------------------------------------------------------------------------------------


def _limit(failed: Failed, rule: Rule) -> Cause | None:
    """A rule that lets some clients in and keeps others out: meant so."""
    if failed.asked.question.origin is not Origin.OUTSIDE or not any(map(_names_clients, _until(failed.host, rule))):
        return None
    clients = [net for other in _until(failed.host, rule) for net in _clients(other)]
    allowed = [net for net in clients if net.version == failed.asked.question.dst.version and _gets_in(failed, net)]
    listed = any(match.key in _LISTS for other in _until(failed.host, rule) for match in other.matches)
    if not allowed and not listed:
        return None
    whom = ", ".join(map(str, allowed[:3])) or "the clients of a list"
    text = f"{rule.place} limits who reaches published ports from outside: {whom} may"
    return Cause("docker-user-limit", Severity.INFO, rule.place, text, (rule_evidence(rule),))


_LISTS = ("set", "recent", "mac", "connmark", "mark", "policy")
"""Conditions that tell clients apart by what no sample address shows."""


def _names_clients(rule: Rule) -> bool:
    return any(match.key == "src" or match.key in _LISTS for match in rule.matches)


def _until(host: Host, rule: Rule) -> tuple[Rule, ...]:
    """The rules of its chain before it, and itself."""
    for chain in _chains(host):
        same = (chain.family, chain.table, chain.name, chain.backend)
        if same == (rule.family, rule.table, rule.chain, rule.backend):
            return chain.rules[: rule.position]
    return (rule,)


def _clients(rule: Rule) -> Iterator[Net]:
    for match in rule.matches:
        if match.key == "src":
            yield from (value for value in match.values if isinstance(value, IPv4Network | IPv6Network))


def _gets_in(failed: Failed, net: Net) -> bool:
    """Whether a client of this network gets its answer, or loses it at another place."""
    client = net.network_address + (1 if net.num_addresses > 2 else 0)
    found = answer(failed.host, replace(failed.asked.question, src=client))
    return found.verdict.arrives or (found.decided_by is not None and found.decided_by.place != failed.decided_by.place)


def _docker_user(failed: Failed, rule: Rule) -> Cause:
    """The engine's user drops it: by mistake where the port was meant to be allowed."""
    port = failed.asked.port
    allowed = _allows_host_port(failed, rule) if port is not None else None
    if allowed is not None and port is not None:
        sentence = (
            f"{rule.place} drops port {port.host_port}: {allowed.place} allows the host's port, but "
            f"there packets carry the container's port {port.container_port}"
        )
        return Cause(
            "docker-user-host-port",
            Severity.HIGH,
            (rule.place, port.host_port),
            sentence,
            (rule_evidence(allowed), rule_evidence(rule)),
            *_by_original_port(allowed, port.host_port, port.proto),
        )
    if failed.back and rule.text.startswith("-A "):
        return _answers_dropped(rule)
    closes = any(match.key == "ctorigdstport" and not match.negated for match in rule.matches)
    return Cause(
        "docker-user-drop",
        Severity.INFO if closes else Severity.HIGH,  # who names the published port as the client asked for it means it
        rule.place,
        f"{rule.place} {_does(rule)}{_of_what(rule)}",
        (rule_evidence(rule),),
        *delete_rule(rule),
    )


def _answers_dropped(rule: Rule) -> Cause:
    """A rule that was meant for clients from outside meets the answers to what containers send, too."""
    before, jump, target = rule.text.partition(" -j ")
    words = f"{before.removeprefix(f'-A {rule.chain}').strip()} -m conntrack --ctstate NEW{jump}{target}"
    return Cause(
        "docker-user-drop",
        Severity.HIGH,
        (rule.place, "answers"),
        f"{rule.place} drops answers to containers: it is not for new connections only",
        (rule_evidence(rule),),
        *replace_rule(rule, xt_rule(place_of(rule), words.strip(), rule.backend, rule.position)),
    )


def _allows_host_port(failed: Failed, rule: Rule) -> Rule | None:
    """A rule before it that lets the published port through, as if the destination were not translated yet."""
    port = failed.asked.port
    if port is None or port.container_port == port.host_port or failed.host.ruleset is None:
        return None
    for chain in failed.host.ruleset.chains:
        if (chain.family, chain.table, chain.name) == (rule.family, rule.table, rule.chain):
            for other in chain.rules[: rule.position - 1]:
                meant = any(
                    match.key in ("dport", "port")
                    and not match.negated
                    and any(isinstance(pair, tuple) and pair[0] <= port.host_port <= pair[1] for pair in match.values)
                    for match in other.matches
                )
                if meant and other.target.verb in (Verb.ACCEPT, Verb.RETURN):
                    return other
    return None


def _by_original_port(rule: Rule, port: int, proto: str) -> Fixed:
    """The rule asks conntrack for the port as the client asked for it."""
    verb = rule.target.verb.value.upper()
    conditions = f"-p {proto} -m conntrack --ctorigdstport {port} --ctdir ORIGINAL"
    return replace_rule(rule, xt_rule(place_of(rule), f"{conditions} -j {verb}", rule.backend, rule.position))


def _input(failed: Failed, step: Step) -> Cause:
    """What is meant for this host itself: from a container, or for a proxy, which takes what no DNAT translates."""
    if failed.asked.question.container is not None:
        return _to_this_host(failed, step)
    found = _unnamed(failed, step)
    if failed.asked.question.dst.version == 4 or found.code not in ("dropped", "rejected"):
        return found
    whose = owner(step.table, step.chain)
    text = (
        f"{whose or 'the firewall'} keeps outside from published ports by IPv6, which docker-proxy serves: {step.place}"
    )
    return Cause("input-drop-v6", Severity.INFO, step.place, text, found.evidence)


_DENIES = ("ufw", "firewalld", "csf", "Shorewall")
"""Firewalls that keep everybody from this host who is not allowed: so is a container, as they are meant to."""


def _chains(host: Host) -> tuple[Chain, ...]:
    return host.ruleset.chains if host.ruleset is not None else ()


def _to_this_host(failed: Failed, step: Step) -> Cause:
    bridge = next((hop.packet.iif for hop in failed.hops if hop.hook == "input" and hop.packet.iif), None)
    bridge = bridge or next(iter(_bridges(failed)), None) or "docker0"
    name = f"{'' if step.family == 'ip' else f'{step.family} '}{step.table}/{step.chain}"
    what = "policy" if step.source is None else f"#{step.rule}"
    place = _place(step)
    base = ChainPlace(step.family, step.table, "INPUT", step.backend)
    fix = (
        insert_accept(base, step.backend, bridge, f"containers on {bridge} reach this host's ports")
        if _is_iptables(step) or step.backend == LEGACY
        else accept_device(place, (bridge,))
    )
    kept = any(owner(chain.table, chain.name) in _DENIES for chain in _chains(failed.host))
    return Cause(
        "input-drop-container-to-host",
        Severity.INFO if kept else Severity.MEDIUM,
        (place, bridge),
        f"{name} {what} drops packets from {bridge}: containers there reach none of this host's ports, nor those that "
        "other containers publish",
        (evidence_of(step),),
        *fix,
    )


def _bridge_family(step: Step) -> Cause:
    whose = owner(step.table, step.chain)
    what = "policy drop" if step.source is None else f"#{step.rule}"
    place = ChainPlace("bridge", step.table, step.chain, "nft")
    fix = (
        by_hand(("nft", "delete", "table", "bridge", step.table), "removes the whole table")
        if step.source is None
        else delete_rule(step.source)
    )
    return Cause(
        "nft-bridge-drop",
        Severity.HIGH,
        (step.table, step.chain, step.rule),
        f"table bridge {step.table} ({step.chain}, {what}) drops packets between containers, {belongs(whose)}",
        (evidence_of(step),),
        *(policy(place, "nft") if step.source is None else fix),
    )


def _firewalld(failed: Failed, step: Step) -> Cause:
    bridges = _bridges(failed)
    commands = [
        by_hand(
            ("firewall-cmd", "--permanent", "--zone=docker", f"--add-interface={bridge}"),
            f"puts {bridge} into firewalld's zone docker, whose packets it lets through",
            (Lasts.FIREWALL, Lasts.ENGINE, Lasts.BOOT),
        )
        for bridge in bridges
    ]
    commands.append(by_hand(("firewall-cmd", "--reload"), "firewalld uses it"))
    place = ChainPlace(step.family, step.table, step.chain, "nft")
    fixes, _ = both(*commands)
    _, changes = accept_device(place, bridges)
    return Cause(
        "firewalld-reject",
        Severity.HIGH,
        (step.table, step.chain, step.rule),
        f"firewalld {_does_word(failed)} what containers send: {', '.join(bridges) or 'their bridge'} is in no zone "
        "that lets it through",
        (evidence_of(step),),
        fixes,
        changes,
    )


def _forward_rule(rule: Rule) -> Cause:
    return Cause(
        "forward-drop-ahead",
        Severity.CRITICAL,
        rule.place,
        f"{rule.place}, {belongs(owner_of(rule))}, {_does(rule)}{_of_what(rule)} before the engine's rules are asked",
        (rule_evidence(rule),),
        *delete_rule(rule),
    )


def _unnamed(failed: Failed, step: Step) -> Cause:
    """A cause that has no name yet: said by the rule and by whom it belongs to."""
    rule = step.source
    whose = owner(step.table, step.chain, (rule.comment if rule is not None else None) or "")
    code = "rejected" if failed.verdict is Verdict.REJECTED else "dropped"
    where = f"inside {step.inside} " if step.inside else ""
    family = "" if step.family == "ip" else f"{step.family} "
    what = f"rule {step.rule} of {where}{family}{step.table}/{step.chain}" if rule else f"the policy of {step.place}"
    fix = delete_rule(rule) if rule is not None and not step.inside and not is_engines(rule) else NOTHING
    return Cause(
        code,
        Severity.HIGH,
        (step.inside, step.place),
        f"{code} by {what}, {belongs(whose)}: {step.text}",
        (evidence_of(step),),
        *fix,
    )


def _does(rule: Rule) -> str:
    return "rejects" if rule.target.verb is Verb.REJECT else "drops"


def _does_word(failed: Failed) -> str:
    return "rejects" if failed.verdict is Verdict.REJECTED else "drops"


def _of_what(rule: Rule) -> str:
    """What it asks of a packet, in a few words: the device and the source."""
    devices = [
        str(value) for match in rule.matches if match.key == "iif" and not match.negated for value in match.values
    ]
    sources = [
        str(value) for match in rule.matches if match.key == "src" and not match.negated for value in match.values
    ]
    words = f" what comes in by {', '.join(devices)}" if devices else " what comes" if sources else ""
    plain = words + (f" from {', '.join(sources[:3])}" if sources else "")
    conditions = rule.text.removeprefix(f"-A {rule.chain} ").partition(" -j ")[0]
    return plain or (" every packet" if conditions.startswith("-j ") else f" what meets {conditions}")
