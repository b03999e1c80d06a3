"""Published ports beside the packets that rules decide on: who holds them, and what was asked for in vain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.cause import rule_evidence
from netdash.doctor.checks.parts import (
    KEPT,
    candidate,
    hit_of_port,
    names_of,
    of_container,
    of_record,
    run_anew,
)
from netdash.doctor.fixes import NOTHING, both, kill, restart, start, stop
from netdash.model.addresses import socket_text
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import Binding, Container, Host, Port, Proxy, Scope
from netdash.model.index import index_of
from netdash.trace.default_questions import of_port
from netdash.trace.model import Origin

_TAKEN = ("address already in use", "port is already allocated")


# --- held by others ---------------------------------------------------------------------------------------------------


def check_taken(host: Host) -> Iterator[Candidate]:
    """Ports of containers that do not run, which others hold by now."""
    for port in host.ports or ():
        if not port.live and port.container_id and port.holder and port.holder.kind not in ("nobody",):
            container = index_of(host).containers[port.container_id]
            yield _taken(host, container, port)


def _taken(host: Host, container: Container, port: Port) -> Candidate:
    """That it failed to start is known by the engine's own words only; without them it may be stopped on purpose."""
    failed = any(words in container.error for words in _TAKEN)
    other = _live_owner(host, port)
    holder = port.holder
    who = other.name if other else f"{holder.command or 'a process'}" if holder else "a process"
    pid = f" (pid {holder.pid})" if holder and holder.pid and not other else ""
    state = "cannot start" if failed else f"is {container.state} and could not start"
    ends = f"{who} ends and frees the port; better by its own service manager"
    free = stop(other, ends) if other else kill(holder.pid, ends) if holder and holder.pid else NOTHING
    said = [of_container(container, container.error)] if failed else []
    return candidate(
        "port-taken-by-process",
        Severity.HIGH if failed else Severity.INFO,
        f"{container.name} {state}: {port.host_port}/{port.proto} is held by {who}{pid}",
        (hit_of_port(port),),
        [of_record("listeners", f"{socket_text(port.host_ip, port.host_port)} {who}{pid}", port), *said],
        *both(free, start(container, "starts it once the port is free")),
    )


def _live_owner(host: Host, port: Port) -> Container | None:
    for other in host.ports or ():
        if other.live and other.container_id and (other.proto, other.host_port) == (port.proto, port.host_port):
            return index_of(host).containers.get(other.container_id)
    return None


# --- userland proxies -------------------------------------------------------------------------------------------------


def check_proxies(host: Host) -> Iterator[Candidate]:
    if host.proxies is None or host.listeners is None or host.engine is None or host.engine.name != "docker":
        return
    if host.engine.rootless:
        return
    for container in host.containers or ():
        dead = [port for port in index_of(host).ports(container.id) if port.live and _lacks_proxy(host, port)]
        if dead:
            yield _dead(host, container, dead)
    yield from _orphans(host, host.proxies)


def _lacks_proxy(host: Host, port: Port) -> bool:
    """No socket holds the port, although the engine runs proxies: as it says, or by its rule, which leaves what comes
    from the containers' bridge to a proxy, or by those that it runs for others."""
    if port.proxy is not None or port.holder is None or port.holder.kind not in ("rule", "nobody"):
        return False
    userland_proxy = host.engine.userland_proxy if host.engine else None
    return userland_proxy if userland_proxy is not None else (_leaves_bridge_to_proxy(host, port) or _has_proxies(host))


def _leaves_bridge_to_proxy(host: Host, port: Port) -> bool:
    of_same = (
        other.dnat for other in index_of(host).ports(port.container_id or "") if other.host_port == port.host_port
    )
    return any(match.key == "iif" and match.negated for rule in of_same if rule for match in rule.matches)


def _has_proxies(host: Host) -> bool:
    return any(proxy.command == "docker-proxy" for proxy in host.proxies or ())


def _dead(host: Host, container: Container, dead: list[Port]) -> Candidate:
    rules = [port.dnat for port in dead if port.dnat]
    ports = ", ".join(dict.fromkeys(f"{port.host_port}/{port.proto}" for port in dead))
    beside = ": clients elsewhere come in by the rules" if rules else ""
    return candidate(
        "proxy-dead",
        Severity.MEDIUM,
        f"no docker-proxy runs for {ports} of {container.name}: on this host itself, by 127.0.0.1 and by [::1], "
        f"the port is refused{beside}",
        map(hit_of_port, dead),
        [
            Evidence("processes", f"no docker-proxy for {ports}, and no socket holds it"),
            *(of_record("ports", socket_text(port.host_ip, port.host_port), port) for port in dead[:2]),
            *map(rule_evidence, rules[:1]),
        ],
        *restart(container, "the engine starts its proxies and writes its rules anew"),
        tuple(usual.question for port in dead for usual in of_port(host, port) if usual.question.origin is Origin.HOST),
    )


def _orphans(host: Host, proxies: Iterable[Proxy]) -> Iterator[Candidate]:
    """Proxies that lead to an address which no container has: they hold the port for nobody."""
    if host.containers is None or "containers" in host.failures:  # one that is not known may have it
        return
    owners = index_of(host).owners
    for proxy in proxies:
        if proxy.command != "docker-proxy" or proxy.container_ip in owners or not proxy.holds_port:
            continue
        port = f"{proxy.host_port}/{proxy.proto}"
        yield candidate(
            "proxy-orphaned",
            Severity.MEDIUM,
            f"a docker-proxy of a container that is gone holds {port}: it leads to {proxy.container_ip}, "
            "which no container has",
            (Hit(None, Direction.IN, port),),
            [of_record(f"docker-proxy {proxy.pid}", proxy.argv, proxy)],
            *kill(proxy.pid, f"frees {port}"),
        )


# --- asked for in vain ------------------------------------------------------------------------------------------------


def check_ignored(host: Host) -> Iterator[Candidate]:
    """-p beside --network host: the engine discards it."""
    for container in host.containers or ():
        if not container.running or container.network_mode != "host" or not container.configured:
            continue
        wanted = [binding for binding in container.configured if binding.host_port]
        unheard = [binding for binding in wanted if not _heard(host, binding)]
        if not wanted:
            continue
        own = sorted({listener.port for listener in container.listeners or () if listener.proto == wanted[0].proto})
        listens = f"; what listens there: {', '.join(map(str, own[:6]))}" if own else ""
        ports = ", ".join(f"{binding.host_port}/{binding.proto}" for binding in unheard or wanted)
        yield candidate(
            "host-network-ports-ignored",
            Severity.MEDIUM if unheard and host.listeners is not None else Severity.INFO,
            f"-p {ports} of {container.name} has no effect: it uses the host's own network, "
            f"where its program's own port counts{listens if unheard else ''}",
            [Hit(container.id, Direction.IN, f"{binding.host_port}/{binding.proto}") for binding in unheard or wanted],
            [of_container(container, "network mode host, with port bindings")],
            [
                Fix(
                    ("docker", "run", "--network", "bridge", "-p", f"{wanted[0].host_port}:{wanted[0].container_port}"),
                    "create it anew on a bridge network (with its other options), or use the program's own port",
                    KEPT,
                )
            ],
        )


def _heard(host: Host, binding: Binding) -> bool:
    return any(
        listener.proto == binding.proto and listener.port == binding.host_port for listener in host.listeners or ()
    )


def check_loopback(host: Host) -> Iterator[Candidate]:
    """Published on 127.0.0.1: meant, and a common surprise."""
    for port in host.ports or ():
        if port.live and port.container_id and port.scope is Scope.LOOPBACK:
            container = index_of(host).containers[port.container_id]
            yield candidate(
                "publish-localhost",
                Severity.INFO,
                f"this host only: {port.host_port}/{port.proto} of {container.name} is published on {port.host_ip}",
                (hit_of_port(port),),
                [of_record("ports", socket_text(port.host_ip, port.host_port), port)],
                [run_anew(host, port, "", "create it anew (with its other options) if everybody may reach it")],
            )


_HABIT = 3  # containers that have the same without a fault: each has a finding of its own up to here


def check_unpublished(host: Host) -> Iterator[Candidate]:
    """EXPOSE alone publishes nothing. Where that is the habit of a host, one finding says it of all."""
    found = [
        (container, ports)
        for container in host.containers or ()
        if container.running and container.endpoints and not (container.bindings or container.configured)
        if (ports := _heard_exposed(container))
    ]
    for group in [found] if len(found) > _HABIT else [[single] for single in found]:
        texts = [", ".join(f"{port}/{proto}" for port, proto in ports) for _, ports in group]
        (first, ((port, proto), *_)), *others = group
        what = (
            f"{names_of(container for container, _ in group)} expose ports"
            if others
            else f"{first.name} exposes {texts[0]}"
        )
        yield candidate(
            "not-published",
            Severity.INFO,
            f"no port is published: {what}, which other machines cannot reach",
            [Hit(container.id, Direction.IN, f"{port}/{proto}") for container, ports in group for port, proto in ports],
            [
                of_container(container, f"exposed {text}, no port binding")
                for (container, _), text in zip(group[:_HABIT], texts, strict=False)
            ],
            [
                Fix(
                    ("netdash", "publish", first.name, f"{port}/{proto}"),
                    "others reach it by this host's port, until it is unpublished; the container runs on",
                )
            ],
        )


def _heard_exposed(container: Container) -> list[tuple[int, str]]:
    """The exposed ports on which somebody listens, or all where the listeners are not known."""
    heard = {(listener.port, listener.proto) for listener in container.listeners or () if not listener.ip.is_loopback}
    return [port for port in container.exposed if container.listeners is None or port in heard]
