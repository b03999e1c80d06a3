"""The plan of a new container: what `netdash run IMAGE -p …` will do. Does nothing itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from netdash.change.model import ContainerRun
from netdash.model.addresses import Spec, address, socket_text
from netdash.model.host import Binding, Host
from netdash.publish import checks
from netdash.publish.checks import Preflight, choose
from netdash.publish.journal import Opened
from netdash.publish.plan import Plan, bound, connecting, known
from netdash.publish.planned_reach import Asked, Reach, reach_after
from netdash.publish.request import last_word
from netdash.publish.statement import Kind, Statement, say

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def plan_new(image: str, name: str, specs: tuple[Spec, ...], host: Host, facts: Preflight) -> Plan:
    """What `netdash run IMAGE -p …` will do."""
    ports, refusals = _opened(host, specs)
    ips = tuple(dict.fromkeys(ip for spec in specs for ip in bound(host, spec.bind)))
    steps = (
        *(() if facts.image_here else (say(Kind.PULL, image=image),)),
        say(Kind.CREATE_FROM_IMAGE, container=name, image=image, ports=len(ports)),
        say(Kind.START_WELL, container=name),
        *((connecting(ports, None),) if ports else ()),
    )
    return Plan(
        title=say(Kind.RUN, container=name, image=image, ports=tuple(map(_port_text, ports))),
        container=name,
        container_id="",
        mode=None,
        ports=ports,
        steps=steps,
        undo=(say(Kind.UNDO_RUN),),
        reach=_reach_of_new(host, image, name, ports[0]) if ports else (),
        warnings=(*_unknown(host, ports), *known(checks.firewall_warning(ips))),
        refusals=tuple(dict.fromkeys((*_new_refusals(name, specs, host, facts), *refusals))),
    )


def _reach_of_new(host: Host, image: str, name: str, first: Opened) -> tuple[Reach, ...]:
    bind = address(first.host_ip)
    binding = Binding(first.proto, first.container_port, bind, first.host_port)
    network = next(
        (network.id for network in host.networks or () if network.name == _DEFAULT_NETWORK), _DEFAULT_NETWORK
    )
    port = Asked(bound(host, bind), first.proto, first.host_port, first.container_port)
    return reach_after(host, ContainerRun(name, image, network, (binding,)), port)


_DEFAULT_NETWORK = "bridge"


def _unknown(host: Host, ports: tuple[Opened, ...]) -> dict[Statement, None]:
    each = ((port.proto, bound(host, address(port.host_ip)), (port.host_port,)) for port in ports)
    return dict.fromkeys(chain.from_iterable(checks.unknown_ports(host, *port) for port in each))


def _port_text(port: Opened) -> str:
    where = socket_text(port.host_ip, port.host_port) if port.host_ip else str(port.host_port)
    return f"{where} → {port.container_port}/{port.proto}"


def _opened(host: Host, specs: tuple[Spec, ...]) -> tuple[tuple[Opened, ...], list[Statement]]:
    """The ports, those of netdash's choice chosen; and why some cannot be."""
    found: list[Opened] = []
    refusals: list[Statement] = []
    named = frozenset(port.host_port for spec in specs for port in spec.ports if port.host_port is not None)
    for spec in specs:
        inside = tuple(port.container_port for port in spec.ports)
        asked = tuple(port.host_port for port in spec.ports if port.host_port is not None)
        numbers = asked or choose(host, spec.proto, inside, named.union(opened.host_port for opened in found))
        if numbers is None:
            refusals.append(say(Kind.NO_PORT_TO_CHOOSE))
            continue
        bind = str(spec.bind) if spec.bind else ""
        found += (Opened(spec.proto, bind, number, port) for number, port in zip(numbers, inside, strict=True))
    keys = [(opened.proto, opened.host_ip, opened.host_port) for opened in found]
    refusals += [say(Kind.PORT_TWICE, proto=key[0], port=key[2]) for key in keys if keys.count(key) > 1]
    return tuple(found), refusals


def _new_refusals(name: str, specs: tuple[Spec, ...], host: Host, facts: Preflight) -> Iterator[Statement]:
    if facts.unable:
        yield facts.unable
        return
    if not _NAME.fullmatch(name):
        yield say(Kind.BAD_NAME, name=name)
    if any(container.name == name for container in host.containers or ()):
        yield say(Kind.NAME_EXISTS, name=name)
    low = checks.lowest_port(host, facts, None)
    for spec in specs:
        yield from known(checks.bind_refusal(host, spec.bind))
        for port in spec.ports:
            if port.host_port is not None:
                ips = bound(host, spec.bind)
                yield from checks.port_refusals(host, low, spec.proto, ips, port.host_port, force=False)


def fresh_name(image: str, token: str) -> str:
    """A name for a container that got none: the image's last word and a token."""
    word = re.sub(r"[^a-zA-Z0-9_.-]", "", last_word(image))
    return f"{word.lstrip('_.-') or 'container'}-{token}"
