"""Plans beside `publish`: a published port taken back by making the container anew, and a new container with ports."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdash.model.addresses import socket_text
from netdash.model.host import Container, Host
from netdash.publish import checks
from netdash.publish.checks import choose
from netdash.publish.plan import Plan, bound, downtime, lost, proof, recreate_steps, span
from netdash.publish.planned_reach import reach
from netdash.publish.preflight import Facts
from netdash.publish.request import Mode, Request, Spec
from netdash.publish.state import Opened

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


# --- without a port ---------------------------------------------------------------------------------------------------


def configured(container: Container, spec: Spec) -> tuple[Opened, ...]:
    """What the container's own settings publish at these host ports."""
    numbers = {port.container_port for port in spec.ports}
    return tuple(
        Opened(one.proto, str(one.host_ip) if one.host_ip else "", one.host_port, one.container_port)
        for one in container.configured
        if one.host_port in numbers and one.host_port is not None and one.proto == spec.proto
    )


def plan_without(request: Request, facts: Facts, container: Container) -> Plan:
    """What `netdash unpublish` does to a port that the engine publishes: the same container without it."""
    ports = configured(container, request.spec)
    numbers = tuple(sorted({port.host_port for port in ports}))
    name, details = container.name, facts.details
    refusals = [one for one in (facts.unable or checks.standing(container),) if one]
    if not refusals:
        refusals = list(checks.recreate_refusals(container, details, request))
    missing = {port.container_port for port in request.spec.ports} - set(numbers)
    if missing:
        refusals.append(f"{name} does not publish port {', '.join(map(str, sorted(missing)))}/{request.spec.proto}")
    what = span(numbers) if numbers else "?"
    steps = recreate_steps(request, container, details, f"without port {what}", "")
    back = f"netdash publish --mode recreate {name} HOST:PORT" if not request.grace else "netdash undo"
    return Plan(
        title=f"make {name} anew without {what}/{request.spec.proto}",
        container=name,
        container_id=container.id,
        mode=Mode.RECREATE,
        ports=ports,
        steps=tuple(step for step in steps if step),
        undo=(back,),
        downtime=downtime(details),
        lost=lost(request, details),
        warnings=tuple(checks.recreate_warnings(container, details, request)) if details else (),
        refusals=tuple(refusals),
    )


# --- a new container --------------------------------------------------------------------------------------------------


def plan_new(image: str, name: str, specs: tuple[Spec, ...], host: Host, facts: Facts) -> Plan:
    """What `netdash run IMAGE -p …` will do."""
    ports, refusals = _opened(host, specs)
    refusals = [*_new_refusals(name, specs, host, facts), *refusals]
    ips = tuple(dict.fromkeys(ip for spec in specs for ip in bound(host, spec.bind)))
    steps = [] if facts.image_here else [f"pull {image}"]
    steps.append(f"create {name} from {image} with {len(ports)} published port{'s' * (len(ports) != 1)}")
    steps.append(f"start {name}; wait until it is well")
    steps += [proof(ports, None)] if ports else []
    return Plan(
        title=f"run {image} as {name}: {', '.join(_text(port) for port in ports) or 'no ports'}",
        container=name,
        container_id="",
        mode=None,
        ports=ports,
        steps=tuple(steps),
        undo=("netdash undo, for ten minutes: the container goes, with its volumes; the image stays",),
        reach=reach(host, Mode.RECREATE, ips, ()) if ips else (),
        warnings=tuple(one for one in (checks.bypass(ips),) if one),
        refusals=tuple(dict.fromkeys(refusals)),
    )


def _text(one: Opened) -> str:
    where = socket_text(one.host_ip, one.host_port) if one.host_ip else str(one.host_port)
    return f"{where} → {one.container_port}/{one.proto}"


def _opened(host: Host, specs: tuple[Spec, ...]) -> tuple[tuple[Opened, ...], list[str]]:
    """The ports, those of netdash's choice chosen; and why some cannot be."""
    found: list[Opened] = []
    refusals: list[str] = []
    for spec in specs:
        inside = tuple(port.container_port for port in spec.ports)
        told = tuple(port.host_port for port in spec.ports if port.host_port is not None)
        named = frozenset(port.host_port for other in specs for port in other.ports if port.host_port is not None)
        numbers = told or choose(host, spec.proto, inside, named.union(opened.host_port for opened in found))
        if numbers is None:
            refusals.append("no host port can be chosen: the host's sockets are not known; name it")
            continue
        bind = str(spec.bind) if spec.bind else ""
        found += (Opened(spec.proto, bind, number, port) for number, port in zip(numbers, inside, strict=True))
    keys = [(opened.proto, opened.host_ip, opened.host_port) for opened in found]
    refusals += [
        f"{proto} port {number} is asked for twice" for proto, ip, number in keys if keys.count((proto, ip, number)) > 1
    ]
    return tuple(found), refusals


def _new_refusals(name: str, specs: tuple[Spec, ...], host: Host, facts: Facts) -> Iterator[str]:
    if facts.unable:
        yield facts.unable
        return
    if not _NAME.fullmatch(name):
        yield f"{name!r} is not a name that Docker takes"
    if any(container.name == name for container in host.containers or ()):
        yield f"there is a container {name} already"
    low = checks.lowest_port(host, facts, None)
    for spec in specs:
        if reason := checks.bind_refusal(host, spec.bind):
            yield reason
        for port in spec.ports:
            if port.host_port is not None:
                yield from checks.port_refusals(
                    host, low, spec.proto, bound(host, spec.bind), port.host_port, force=False
                )


def fresh_name(image: str, token: str) -> str:
    """A name for a container that got none: the image's last word and a token."""
    word = re.sub(r"[^a-zA-Z0-9_.-]", "", image.partition("@")[0].rpartition("/")[2].partition(":")[0])
    return f"{word.lstrip('_.-') or 'container'}-{token}"
