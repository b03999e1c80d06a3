"""Routes and policy rules that are added, replaced or deleted, as iproute2 asks the kernel for it; sysctls that are
written, and the others that the kernel writes with them (devinet.c, addrconf.c)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from netdash.change.model import CannotModel, Change, PolicyRuleChange, RouteChange, SysctlChange
from netdash.kernel.routing import look_up, usual_rules
from netdash.model.host import IP, Host, Link, Net, PolicyRule, Route
from netdash.model.numbers import decimal
from netdash.model.records import replace

_ALL: dict[int, Net] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_WITHOUT_DEVICE = ("blackhole", "unreachable", "prohibit", "throw")
_METRIC_6 = 1024  # IP6_RT_PRIO_USER


def changed_routes(
    routes: tuple[Route, ...], links: tuple[Link, ...], policy: tuple[PolicyRule, ...] | None, change: RouteChange
) -> tuple[Route, ...]:
    """Raises CannotModel where the kernel would refuse."""
    return (
        _added(routes, _made(routes, links, policy, change), change.replace) if change.add else _deleted(routes, change)
    )


def _made(
    routes: tuple[Route, ...], links: tuple[Link, ...], policy: tuple[PolicyRule, ...] | None, change: RouteChange
) -> Route:
    device = None if change.kind in _WITHOUT_DEVICE else _device(routes, links, policy, change)
    metric = change.metric if change.metric is not None else _METRIC_6 if change.family == 6 else 0
    return Route(
        family=change.family,
        table=change.table,
        kind=change.kind,
        dst=change.destination or _ALL[change.family],
        gateway=change.gateway,
        dev="lo" if device is None and change.family == 6 else device.name if device else None,
        prefsrc=change.source,
        metric=metric,
        protocol="boot",
        scope="global" if change.gateway or device is None or change.family == 6 else "link",
        linkdown=device is not None and device.state in ("DOWN", "LOWERLAYERDOWN"),
    )


def _device(
    routes: tuple[Route, ...], links: tuple[Link, ...], policy: tuple[PolicyRule, ...] | None, change: RouteChange
) -> Link:
    """By which the route leads: the one that is named, or by which its gateway is reached (fib_check_nh)."""
    name = change.device
    if change.gateway is not None:
        name = _towards(change.gateway, routes, policy, name)
    if name is None:
        raise CannotModel("a route needs a gateway or a device")
    link = next((link for link in links if link.name == name), None)
    if link is None:
        raise CannotModel(f"there is no device {name}")
    if not link.up:
        raise CannotModel(f"the kernel takes no route by {name}: the device is down")
    if change.source is not None and all(change.source != address.ip for link in links for address in link.addresses):
        raise CannotModel(f"{change.source} is no address of the host")
    return link


def _towards(
    gateway: IP, routes: tuple[Route, ...], policy: tuple[PolicyRule, ...] | None, device: str | None
) -> str | None:
    if gateway.version == 6 and gateway.is_link_local:
        if device is None:
            raise CannotModel(f"the gateway {gateway} is of a link: its device must be named")
        return device
    usable = routes if device is None else tuple(route for route in routes if route.dev == device)
    found = look_up(gateway, None, None, usable, policy)
    if found.unsure:
        raise CannotModel(f"whether {gateway} is reached cannot be told: {found.unsure[0].text}")
    route = found.route
    if route is None or route.kind != "unicast" or route.gateway is not None or route.dev is None:
        raise CannotModel(f"the kernel refuses the gateway {gateway}: it is not on a network of the host")
    return route.dev


def _added(routes: tuple[Route, ...], made: Route, replaces: bool) -> tuple[Route, ...]:
    """A route is known by table, destination, type of service and metric."""
    for at, route in enumerate(routes):
        if _key(route) == _key(made):
            if not replaces:
                raise CannotModel(f"the route to {_named(made)} is there already")
            return (*routes[:at], made, *routes[at + 1 :])
    return (*routes, made)


def _key(route: Route) -> tuple[object, ...]:
    return route.family, route.table, route.dst, route.tos, route.metric, route.src


def _deleted(routes: tuple[Route, ...], change: RouteChange) -> tuple[Route, ...]:
    destination = change.destination or _ALL[change.family]
    wanted = {
        "gateway": change.gateway,
        "dev": change.device,
        "metric": change.metric,
        "prefsrc": change.source,
        "kind": None if change.kind == "unicast" else change.kind,
    }
    for at, route in enumerate(routes):
        same = (route.family, route.table, route.dst) == (change.family, change.table, destination)
        if same and all(value is None or getattr(route, name) == value for name, value in wanted.items()):
            return routes[:at] + routes[at + 1 :]
    raise CannotModel(f"there is no such route to {'default' if change.destination is None else destination}")


def _named(route: Route) -> str:
    return "default" if route.default else str(route.dst)


# --- policy rules -----------------------------------------------------------------------------------------------------


def changed_policy(policy: tuple[PolicyRule, ...], change: PolicyRuleChange) -> tuple[PolicyRule, ...]:
    ours = tuple(rule for rule in policy if rule.family == change.rule.family) or usual_rules(change.rule.family)
    others = tuple(rule for rule in policy if rule.family != change.rule.family)
    changed = _with(ours, change) if change.add else _without(ours, change)
    return tuple(sorted((*others, *changed), key=lambda rule: (rule.family, rule.priority)))


def _with(rules: tuple[PolicyRule, ...], change: PolicyRuleChange) -> tuple[PolicyRule, ...]:
    """Without a priority, it goes before the second rule (fib_default_rule_pref). Of equal ones the newest is last."""
    free = rules[1].priority - 1 if len(rules) > 1 and rules[1].priority else 0
    made = change.rule if change.named else replace(change.rule, priority=free)
    if made in rules:
        raise CannotModel(f"the policy rule {made.priority}: {made.text} is there already")
    return (*rules, made)


def _without(rules: tuple[PolicyRule, ...], change: PolicyRuleChange) -> tuple[PolicyRule, ...]:
    """The first that has all that the command names."""
    wanted = change.rule
    for at, rule in enumerate(rules):
        if (
            (not change.named or rule.priority == wanted.priority)
            and (wanted.table is None or rule.table == wanted.table)
            and dict(wanted.selectors).items() <= dict(rule.selectors).items()
        ):
            return rules[:at] + rules[at + 1 :]
    raise CannotModel(f"there is no policy rule {wanted.text or wanted.priority}")


_CONF = re.compile(r"net\.(ipv[46])\.conf\.([^.]+)\.([a-z0-9_]+)")
_BRIDGES = "net.bridge."
_FORWARD = "net.ipv4.ip_forward"


def written(sysctls: Mapping[str, str], name: str, value: str, links: Iterable[Link]) -> Mapping[str, str]:
    """`links`: those of the namespace. Raises CannotModel for a name that the kernel does not have there."""
    if name.startswith(_BRIDGES) and name not in sysctls:
        raise CannotModel(f"{name} does not exist: br_netfilter is not loaded")
    found = _CONF.fullmatch(name)
    devices = {link.name.replace(".", "/"): link for link in links}
    known = ("all", "default", *devices)
    if found and found[2] not in known:
        raise CannotModel(f"{name} does not exist: there is no device {found[2]}")
    if found and found[3] == "disable_ipv6":
        raise CannotModel(f"{name}: the IPv6 addresses that go or come with it are not modelled")
    _understood(sysctls, name, found[3] if found else None, value)
    changed = {**sysctls, name: value}
    if name == _FORWARD or (found and found[2] == "all" and found[3] == "forwarding"):
        family = found[1] if found else "ipv4"
        if family == "ipv4" and sysctls.get(name) == value:
            return changed  # devinet_sysctl_forward acts on another value only
        changed |= {f"net.{family}.conf.{device}.forwarding": value for device in known}
        changed |= {_FORWARD: value} if family == "ipv4" else {}
    elif found and (found[1], found[2]) == ("ipv4", "default") and found[3] != "forwarding":
        changed |= _following(sysctls, found[3], value, devices)
    return changed


def _understood(sysctls: Mapping[str, str], name: str, of_device: str | None, value: str) -> None:
    """`of_device`: which of a device's settings it is. One that was read of any device, all have."""
    here = name == _FORWARD or name in sysctls
    if not here and not (of_device and any(known.endswith(f".{of_device}") for known in sysctls)):
        raise CannotModel(f"{name} is none of the sysctls that were read: whether it exists, and decides, is not known")
    if decimal(value) is None and decimal(sysctls.get(name, "0")) is not None:
        raise CannotModel(f"{name}: {value!r} is not a number")


def _following(sysctls: Mapping[str, str], key: str, value: str, devices: Mapping[str, Link]) -> dict[str, str]:
    """IPv4 devices follow the default until they have an address, or are given a value of their own
    (devinet_copy_dflt_conf, ipv4_devconf_setall). Whether one was is not told: what was as the default
    follows."""
    before = sysctls.get(f"net.ipv4.conf.default.{key}")
    names = [
        f"net.ipv4.conf.{device}.{key}"
        for device, link in devices.items()
        if all(address.version == 6 for address in link.addresses)
    ]
    return {name: value for name in names if name in sysctls and sysctls[name] == before}


_QUIET = ("-w", "--write", "-q", "--quiet", "-qw", "-wq", "-e", "--ignore")


def read_sysctl(_host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    found = []
    for word in words[1:]:
        if word in _QUIET:
            continue
        name, equals, value = word.partition("=")
        if word.startswith("-") or not equals or not name.strip():
            raise CannotModel(f"sysctl {word}: only NAME=VALUE changes something")
        found.append(SysctlChange(_dotted(name.strip()), value.strip(), container))
    if not found:
        raise CannotModel("sysctl: a NAME=VALUE is missing")
    return tuple(found)


def _dotted(name: str) -> str:
    """With the separator that comes first a name may have the other one in it: net/ipv4/conf/eth0.1/forwarding."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))
