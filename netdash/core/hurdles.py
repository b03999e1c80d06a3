"""What on a packet's way is plainly not as it must be: devices that are down, routes that lead elsewhere, forwarding
switched off. Says only what the kernel's state proves; evaluates no filter rule."""

from __future__ import annotations

import re
from functools import lru_cache

from netdash.core.model import IP, Container, Host, Link, Network, Port, Rule, Ruleset, Scope
from netdash.core.routing import OUTSIDE, Lookup, entrance, look_up, stops


def device(link: Link | None) -> str:
    """Why nothing passes the device: "down" (ip link set down), "no carrier" (its other end is down); "" otherwise."""
    if link is None:
        return ""
    if not link.up:
        return "down"
    return "no carrier" if link.state in ("DOWN", "LOWERLAYERDOWN", "NOTPRESENT") else ""


def veth(link: Link | None, bridge: str | None) -> str:
    """The same of a veth, that must also be a port of its bridge."""
    if link is not None and bridge and link.master != bridge:
        return f"not in {bridge}"
    return device(link)


def at_the_bridge(end: Link | None, bridge: Link | None) -> str:
    """Why a container's packets do not even get to this host's routes; "" where they do, or where that is not known."""
    if bridge is not None and not bridge.up:
        return f"its bridge {bridge.name} is down"
    trouble = veth(end, bridge.name if bridge else None)
    return f"{end.name}: {trouble}" if end and trouble else ""


def queue_drops(queue: str, size: int) -> bool:
    """Whether a queue, as tc tells it, lets no frame of `size` bytes pass: tbf_enqueue drops what is larger than its
    burst, netem_enqueue what it is told to lose."""
    kind, _, options = queue.partition(" ")
    burst = _BURST.search(options)
    if kind == "tbf" and burst is not None:
        return int(burst[1]) < size
    return kind == "netem" and "loss 100%" in options


_BURST = re.compile(r"\bburst (\d{1,9})b\b")  # larger ones are told in Kb


def forwards(host: Host, family: int, name: str | None) -> bool:
    """False only when the kernel says so. IPv4: net.ipv4.conf.IF.forwarding of the device that packets come in by;
    IPv6: net.ipv6.conf.all.forwarding, which is the switch for routing between devices."""
    sysctls = host.sysctls or {}
    names = (f"net.ipv4.conf.{name}.forwarding", "net.ipv4.ip_forward")
    if family == 6:
        names = ("net.ipv6.conf.all.forwarding", "")
    value = next((sysctls[one] for one in names if one in sysctls), None)
    return value != "0"


@lru_cache(maxsize=2)  # the host on screen and the one that comes
def _told(_: Host) -> dict[object, tuple[str, ...]]:
    """What was said about this host: a container may publish thousands of ports that go the same way."""
    return {}


def on_the_way_in(host: Host, container: Container, port: Port, bridge: str | None) -> tuple[str, ...]:
    """Sentences about a published port that a rule translates; none where nothing is known to be wrong."""
    told = _told(host)
    key = (container.id, port.host_ip, port.target_ip, bridge, port.dnat is None)
    if key not in told:
        told[key] = _on_the_way_in(host, container, port, bridge)
    return told[key]


def _on_the_way_in(host: Host, container: Container, port: Port, bridge: str | None) -> tuple[str, ...]:
    said: list[str] = []
    if not port.host_ip.is_unspecified and _is_not_here(host, port.host_ip):
        said.append(f"no device of this host has {port.host_ip}: nothing is received for it")
    if port.dnat is None or port.target_ip is None:
        return tuple(said)
    if all(one.ip != port.target_ip for end in container.endpoints for one in end.addresses):
        return (*said, f"{port.target_ip} is no address of {container.name}: another rule takes its port")
    if port.scope is Scope.LOOPBACK:
        return tuple(said)
    entry, _ = entrance(port.host_ip.version, host.links, host.routes)
    if entry and not forwards(host, port.target_ip.version, entry):
        said.append(f"this host does not forward what comes in by {entry}")
    said.append(misrouted(host, port.target_ip, bridge, entry))
    said.append(_other_mac(host, container, port.target_ip))
    return tuple(filter(None, said))


def _other_mac(host: Host, container: Container, ip: IP) -> str:
    """Whether somebody else answered for the address just now (NUD_REACHABLE: confirmed, not only remembered)."""
    given = next((end.mac for end in container.endpoints for one in end.addresses if one.ip == ip), None)
    heard = next((one.mac for one in host.neighbours or () if one.ip == ip and one.state == "REACHABLE"), None)
    if not given or not heard or given.lower() == heard.lower():
        return ""
    return f"{heard} answers for {ip}, the engine gave {container.name} {given}"


def misrouted(host: Host, ip: IP, bridge: str | None, entry: str | None) -> str:
    """Why a packet for a container's address that came in by `entry` does not get to its bridge; "" where it does, or
    where that cannot be told."""
    if bridge is None or entry is None or host.routes is None or all(one.name != bridge for one in host.links or ()):
        return ""
    found = look_up(ip, OUTSIDE[ip.version], entry, host.routes, host.policy)
    return "" if found.unsure else _astray(ip, bridge, found)


def _astray(ip: IP, bridge: str, found: Lookup) -> str:
    route = found.route
    if route is None:
        return f"this host has no route to {ip}"
    if stops(route):
        return f"a {route.kind} route refuses {ip}"
    if route.kind == "unicast" and route.dev not in (None, bridge):
        return f"the route to {ip} leads to {route.dev}, not to {bridge}"
    return ""


def _is_not_here(host: Host, ip: IP) -> bool:
    """Whether the kernel would not take a packet for it as its own (the routes of kind `local` decide)."""
    if ip.is_loopback or not host.routes or not host.links:
        return False
    local = [route for route in host.routes if route.kind == "local" and route.family == ip.version]
    return bool(local) and all(ip not in route.dst for route in local)


def _named(rules: tuple[Rule, ...]) -> str:
    """The first rule; with those of the other backend, which has chains of the same names, where there are both."""
    kinds = {rule.backend: rule for rule in reversed(rules)}
    if "iptables-legacy" not in kinds or len(kinds) == 1:
        return rules[0].place
    return " or ".join(f"{rule.place} ({backend})" for backend, rule in sorted(kinds.items()))


def proxy_when(port: Port) -> str:
    """When packets take the proxy instead of the rule; "" without a proxy."""
    if port.proxy is None:
        return ""
    if port.unsure:
        return f"unless {_named(port.unsure)} decides otherwise, which cannot be told"
    if port.dnat is None:
        return "from this host only" if port.scope is Scope.LOOPBACK else "for every client: no DNAT rule applies"
    if port.dnat_from_here is not False:
        return "where DNAT does not apply"
    if port.scope is Scope.ALL:
        return "from this host by loopback, and where DNAT does not apply"
    return "from this host only" if port.scope is Scope.LOOPBACK else "from this host, and where DNAT does not apply"


def untranslated(network: Network, ruleset: Ruleset) -> str:
    """Why a network's packets leave with their own address."""
    if not ruleset.whole(4):
        return "no rule found, and not every rule could be read"
    if "routed" in network.gateway_modes:
        return "routed network: leaves with its own address, the way back needs a route"
    if not network.masquerade:
        return "masquerading is switched off: leaves with its own address"
    return "no MASQUERADE rule: leaves with its private address, the way back needs a route"
