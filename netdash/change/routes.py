"""Routes and policy rules that are added, replaced or deleted, as iproute2 asks the kernel for it."""

from __future__ import annotations

from ipaddress import ip_network

from netdash.change.model import CannotModel, PolicyRuleChange, RouteChange
from netdash.kernel.routing import look_up, usual_rules
from netdash.model.host import IP, Link, Net, PolicyRule, Route
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
    if change.source is not None and all(change.source != address.ip for each in links for address in each.addresses):
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
