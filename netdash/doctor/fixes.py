"""Commands that mend, and the changes that they make."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from netdash.change.model import (
    AddressChange,
    AttachmentChange,
    ChainPlace,
    Change,
    ContainerChange,
    ContainerEdit,
    EngineRestart,
    HairpinChange,
    LinkChange,
    MasterChange,
    NetworkRemoval,
    PolicyChange,
    PolicyRuleChange,
    ProcessEnd,
    QdiscRemoval,
    RouteChange,
    RuleChange,
    RuleEdit,
    SysctlChange,
    TrackedRemoval,
)
from netdash.model.finding import Fix, Lasts
from netdash.model.host import Container, Host, Interface, Match, Net, Network, PolicyRule, Route, Rule, Target, Verb
from netdash.model.records import replace
from netdash.rules.iptables_rule import parse_line

Fixed = tuple[tuple[Fix, ...], tuple[Change, ...]]
NOTHING: Fixed = ((), ())

_KERNEL = (Lasts.ENGINE, Lasts.FIREWALL)
_ALL = (Lasts.ENGINE, Lasts.FIREWALL, Lasts.BOOT)
_RULES = (Lasts.ENGINE,)


def both(*several: Fixed) -> Fixed:
    """One after the other."""
    return tuple(fix for fixes, _ in several for fix in fixes), tuple(
        change for _, changes in several for change in changes
    )


def place_of(rule: Rule) -> ChainPlace:
    return ChainPlace(rule.family, rule.table, rule.chain, rule.backend)


def delete_rule(rule: Rule) -> Fixed:
    """By what it says, so that a rule that moved is not mistaken for it."""
    change = RuleChange(place_of(rule), RuleEdit.DELETE, position=rule.position)
    if not rule.text.startswith("-A "):
        listed = ("nft", "-a", "list", "chain", rule.family, rule.table, rule.chain)
        gone = ("nft", "delete", "rule", rule.family, rule.table, rule.chain, "handle", "N")
        return (
            Fix(listed, f"changes nothing: shows the handle N of rule {rule.position}, {rule.text}"),
            Fix(gone, "removes that rule", _RULES),
        ), (change,)
    words = shlex.split(rule.text)
    command = (*iptables(rule.family, rule.backend), *_table(rule.table), "-D", *words[1:])
    return (Fix(command, f"removes {rule.place}", _RULES),), (change,)


def replace_rule(old: Rule, new: Rule) -> Fixed:
    words = shlex.split(new.text)
    command = (*iptables(old.family, old.backend), *_table(old.table), "-R", old.chain, str(old.position), *words[2:])
    change = RuleChange(place_of(old), RuleEdit.REPLACE, new, old.position)
    return (Fix(command, f"rewrites {old.place}", _RULES),), (change,)


def iptables(family: str, backend: str) -> tuple[str, ...]:
    name = "ip6tables" if family == "ip6" else "iptables"
    return (f"{name}-legacy" if backend == "iptables-legacy" else name,)


def _table(table: str) -> tuple[str, ...]:
    return () if table == "filter" else ("-t", table)


def policy(place: ChainPlace, backend: str) -> Fixed:
    """Of a base chain: accept."""
    change = PolicyChange(place, "accept")
    if backend == "nft":
        command: tuple[str, ...] = ("nft", "chain", place.family, place.table, place.chain, "{ policy accept; }")
    else:
        command = (*iptables(place.family, backend), *_table(place.table), "-P", place.chain, "ACCEPT")
    return (Fix(command, f"lets through what no rule of {place.table}/{place.chain} decides", _RULES),), (change,)


def accept_device(place: ChainPlace, devices: Iterable[str]) -> Fixed:
    """First in an nft chain: what comes from and goes to these bridges is left to the engine's own rules."""
    fixes, changes = [], []
    for device in devices:
        for key, word in (("iif", "iifname"), ("oif", "oifname")):
            command = ("nft", "insert", "rule", place.family, place.table, place.chain, word, device, "accept")
            text = f'{word} "{device}" accept'
            rule = Rule(
                *(place.family, place.table, place.chain, 1, text),
                (Match(key, (device,)),),
                Target(Verb.ACCEPT),
                *(0, 0, "nft"),
            )
            fixes.append(Fix(command, f"this table lets {word} {device} through; the engine's rules go on to decide"))
            changes.append(RuleChange(place, RuleEdit.INSERT, rule, 1))
    return tuple(fixes), tuple(changes)


def xt_rule(place: ChainPlace, text: str, backend: str, position: int = 1) -> Rule:
    """A rule of iptables by its words behind the chain's name."""
    line = f"-A {place.chain} {text}"
    body = parse_line(line)
    where = (place.family, place.table, place.chain, position)
    return Rule(*where, line, body.matches, body.target, 0, 0, backend, not_understood=body.not_understood)


def insert_accept(place: ChainPlace, backend: str, device: str, why: str) -> Fixed:
    """First in an iptables chain: what comes in by a bridge."""
    words = ("-i", device, "-j", "ACCEPT")
    rule = xt_rule(place, " ".join(words), backend)
    command = (*iptables(place.family, backend), *_table(place.table), "-I", place.chain, *words)
    return (Fix(command, why, _RULES),), (RuleChange(place, RuleEdit.INSERT, rule, 1),)


def insert_drop(place: ChainPlace, words: tuple[str, ...], why: str) -> Fixed:
    """First in an iptables chain; `words`: its conditions."""
    rule = xt_rule(place, " ".join((*words, "-j", "DROP")), place.backend)
    command = (*iptables(place.family, place.backend), *_table(place.table), "-I", place.chain, *words, "-j", "DROP")
    return (Fix(command, why, _RULES),), (RuleChange(place, RuleEdit.INSERT, rule, 1),)


def sysctl(name: str, value: str, why: str, container: Container | None = None) -> Fixed:
    command: tuple[str, ...] = ("sysctl", "-w", f"{name}={value}")
    if container is not None:
        command = (*_inside(container), *command)
    lasts = _KERNEL if container is None else (Lasts.ENGINE, Lasts.FIREWALL)
    change = SysctlChange(name, value, container.id if container is not None else None)
    return (Fix(command, f"{why}; for every boot, put it into /etc/sysctl.d", lasts),), (change,)


def _inside(container: Container) -> tuple[str, ...]:
    return ("nsenter", "-t", str(container.pid or "PID"), "-n")


def link_up(device: str) -> Fixed:
    return (Fix(("ip", "link", "set", device, "up"), f"sets {device} up", _KERNEL),), (LinkChange(device, True),)


def add_address(device: str, own: Interface, changes: str) -> Fixed:
    command = ("ip", "addr", "add", str(own), "dev", device)
    return (Fix(command, changes, _KERNEL),), (AddressChange(True, device, own),)


def given_up(device: str, own: Interface, changes: str, container: Container | None = None) -> Fixed:
    """An address that a device loses, of this host or of a container."""
    command: tuple[str, ...] = ("ip", "addr", "del", str(own), "dev", device)
    if container is not None:
        command = (*_inside(container), *command)
    change = AddressChange(False, device, own, container.id if container is not None else None)
    return (Fix(command, changes, _KERNEL),), (change,)


def master(device: str, bridge: str, changes: str) -> Fixed:
    command = ("ip", "link", "set", device, "master", bridge)
    return (Fix(command, changes, _KERNEL),), (MasterChange(device, bridge),)


def hairpin(device: str, changes: str) -> Fixed:
    command = ("bridge", "link", "set", "dev", device, "hairpin", "on")
    return (Fix(command, changes, _KERNEL),), (HairpinChange(device, True),)


def plain_queue(device: str, changes: str) -> Fixed:
    command = ("tc", "qdisc", "del", "dev", device, "root")
    return (Fix(command, changes, _KERNEL),), (QdiscRemoval(device),)


def forget(proto: str, port: int, changes: str) -> Fixed:
    """Entries of conntrack for a port of this host."""
    command = ("conntrack", "-D", "-p", proto, "--orig-port-dst", str(port))
    return (Fix(command, changes, _KERNEL),), (TrackedRemoval(proto, port),)


def kill(pid: int, changes: str) -> Fixed:
    return (Fix(("kill", str(pid)), changes, _KERNEL),), (ProcessEnd(pid),)


def start(container: Container, changes: str) -> Fixed:
    command = ("docker", "start", container.name)
    return (Fix(command, changes, _ALL),), (ContainerChange(container.id, ContainerEdit.START),)


def stop(container: Container, changes: str) -> Fixed:
    command = ("docker", "stop", container.name)
    return (Fix(command, changes, _KERNEL),), (ContainerChange(container.id, ContainerEdit.STOP),)


def disconnect(network: Network, container: Container, changes: str) -> Fixed:
    command = ("docker", "network", "disconnect", "-f", network.name, container.name)
    return (Fix(command, changes, _ALL),), (AttachmentChange(network.id, container.id, False),)


def remove_network(network: Network, changes: str) -> Fixed:
    command = ("docker", "network", "rm", network.name)
    return (Fix(command, changes, _ALL),), (NetworkRemoval(network.id),)


def restart(container: Container, why: str) -> Fixed:
    """Interrupts it."""
    change = ContainerChange(container.id, ContainerEdit.RESTART)
    lasts = (Lasts.ENGINE, Lasts.BOOT)
    return (Fix(("docker", "restart", container.name), f"{why}; {container.name} restarts", lasts),), (change,)


def engine_restart(host: Host, why: str) -> Fixed:
    """Without live-restore every container stops, and only those with a restart policy start again by themselves."""
    command, lasting = ("systemctl", "restart", "docker"), (Lasts.ENGINE, Lasts.BOOT)
    running = tuple(container.name for container in host.containers or () if container.running)
    goes_on = host.engine is not None and (host.engine.live_restore or host.engine.name == "podman")
    if goes_on or not running:
        return (Fix(command, why, lasting),), (EngineRestart(),)
    known = host.engine is not None and host.engine.live_restore is False
    stop = Fix(
        command, f"{why}; all containers stop: live-restore is {'off' if known else 'not known to be on'}", lasting
    )
    return (stop, Fix(("docker", "start", *running), "those that ran run again")), (EngineRestart(),)


def reload_podman() -> Fix:
    return Fix(("podman", "network", "reload", "--all"), "Podman writes the rules of all containers that run again")


def for_podman(fix: Fix) -> Fix:
    """It takes docker's commands, has no service that writes rules, and its host may have no docker."""
    if fix.command == ("systemctl", "restart", "docker"):
        return reload_podman()
    return replace(fix, command=("podman", *fix.command[1:])) if fix.command[:1] == ("docker",) else fix


def add_route(family: int, destination: Net, device: str, source: str) -> Fixed:
    command = ("ip", *_six(family), "route", "add", str(destination), "dev", device, "src", source)
    change = RouteChange(True, family, destination, device=device)
    return (Fix(command, f"leads {destination} to {device} again", _KERNEL),), (change,)


def delete_route(route: Route, why: str = "") -> Fixed:
    kind = () if route.kind == "unicast" else (route.kind,)
    by = ("dev", route.dev) if route.dev else ()
    table = ("table", route.table) if route.table != "main" else ()
    command = ("ip", *_six(route.family), "route", "del", *kind, str(route.dst), *by, *table)
    change = RouteChange(False, route.family, route.dst, device=route.dev, kind=route.kind, table=route.table)
    return (Fix(command, why or f"takes the route to {route.dst} away", _KERNEL),), (change,)


def rule_to_main(rule: PolicyRule, net: Net) -> Fixed:
    """Before a policy rule: what goes to a network is looked for in the main table."""
    priority = rule.priority - 1
    words = ("to", str(net), "lookup", "main")
    command = ("ip", *_six(rule.family), "rule", "add", "pref", str(priority), *words)
    made = PolicyRule(rule.family, priority, f"from all {' '.join(words)}", "main", (("dst", str(net)),))
    text = f"{net} is looked for in the main table first"
    return (Fix(command, text, _KERNEL),), (PolicyRuleChange(True, made),)


def delete_policy_rule(rule: PolicyRule) -> Fixed:
    command = ("ip", *_six(rule.family), "rule", "del", "pref", str(rule.priority))
    text = "containers take this host's own routes again"
    return (Fix(command, text, _KERNEL),), (PolicyRuleChange(False, rule),)


def _six(family: int) -> tuple[str, ...]:
    return ("-6",) if family == 6 else ()


def by_hand(command: tuple[str, ...], changes: str, survives: tuple[Lasts, ...] = ()) -> Fixed:
    """A command that no change models."""
    return (Fix(command, changes, survives),), ()
