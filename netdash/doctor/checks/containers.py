"""What the engine says of its containers: paused, ill, restarting, left behind."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.change.model import ContainerChange, ContainerEdit
from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import KEPT, candidate, hit_of_port, of_container
from netdash.doctor.fixes import restart
from netdash.model.finding import Direction, Fix, Hit, Lasts, Severity
from netdash.model.host import Container, Host
from netdash.model.index import index_of

_OFTEN = 3  # restarts after which it is no accident
_JUST_NOW = 60.0  # seconds: a container that was restarted often and runs for less is still falling over


def check(host: Host) -> Iterator[Candidate]:
    for container in host.containers or ():
        yield from _paused(host, container)
        yield from _unhealthy(host, container)
        yield from _restarting(host, container)
        yield from _left_behind(container)
        yield from _proxy_variables(container)


def _hits(host: Host, container: Container) -> tuple[Hit, ...]:
    """Its published ports, running or not."""
    live = tuple(hit_of_port(port) for port in index_of(host).ports(container.id))
    return live or (Hit(container.id, Direction.PEERS),)


def _serves(host: Host, container: Container) -> bool:
    return bool(index_of(host).ports(container.id) or container.configured)


def _paused(host: Host, container: Container) -> Iterator[Candidate]:
    """Without a published port nobody outside waits for it, and somebody paused it on purpose."""
    if container.state != "paused":
        return
    serves = _serves(host, container)
    yield candidate(
        "container-paused",
        Severity.HIGH if serves else Severity.INFO,
        f"{container.name} is paused: connections to it are opened by its kernel and never answered",
        _hits(host, container),
        [of_container(container, "state paused")],
        [Fix(("docker", "unpause", container.name), "its processes run on", (Lasts.ENGINE, Lasts.FIREWALL))],
        (ContainerChange(container.id, ContainerEdit.UNPAUSE),),
    )


def _unhealthy(host: Host, container: Container) -> Iterator[Candidate]:
    if not container.running or container.health != "unhealthy":
        return
    yield candidate(
        "unhealthy",
        Severity.MEDIUM,
        f"the health check of {container.name} fails: proxies and compose projects that wait for it pass it by",
        _hits(host, container),
        [of_container(container, "health unhealthy")],
        [
            Fix(
                ("docker", "inspect", "-f", "{{json .State.Health}}", container.name),
                "shows what the check said; changes nothing",
                KEPT,
            ),
            Fix(("docker", "restart", container.name), "the program in it starts anew", KEPT),
        ],
    )


def _restarting(host: Host, container: Container) -> Iterator[Candidate]:
    """A program that ends soon after each start."""
    often = container.restarts is not None and container.restarts >= _OFTEN
    started, now = container.started_at, host.taken
    fresh = started is not None and now is not None and 0 <= now - started < _JUST_NOW
    if container.state != "restarting" and not (container.state == "running" and often and fresh):
        return
    code = "" if container.exit_code is None else f" with exit code {container.exit_code}"
    yield candidate(
        "crash-loop",
        Severity.HIGH if _serves(host, container) else Severity.INFO,
        f"the program in {container.name} ends{code} after each start, and the engine starts it again",
        _hits(host, container),
        [of_container(container, f"state {container.state}, restarted {container.restarts or 0} times")],
        [Fix(("docker", "logs", "--tail", "50", container.name), "shows what it said last; changes nothing", KEPT)],
    )


def _left_behind(container: Container) -> Iterator[Candidate]:
    if not container.left_behind or not container.running:
        return
    yield candidate(
        "left-behind",
        Severity.HIGH,
        f"{container.name} is alone in a network namespace without devices: {container.shares_with}, "
        "whose network it shared, was started anew",
        (Hit(container.id, Direction.OUT), Hit(container.id, Direction.IN)),
        [of_container(container, f"network mode container:{container.shares_with}")],
        *restart(container, "it joins the namespace of today"),
    )


def _proxy_variables(container: Container) -> Iterator[Candidate]:
    """The values are not read: they may hold a password. Whether the proxy can be reached is not known."""
    if not container.running or not container.proxy_variables:
        return
    names = " and ".join(container.proxy_variables)
    loopback = sorted({one.port for one in container.listeners or () if one.proto == "tcp" and one.ip.is_loopback})
    where = "nothing listens on 127.0.0.1 in it"
    if container.listeners is None:
        where = "what listens in it was not read"
    elif loopback:
        where = f"on 127.0.0.1 in it listen {', '.join(map(str, loopback))}"
    yield candidate(
        "http-proxy-env",
        Severity.INFO,
        f"programs in {container.name} send web requests to a proxy ({names} is set; its value is not read): "
        "a proxy at 127.0.0.1 would be one inside the container",
        (Hit(container.id, Direction.OUT),),
        [of_container(container, f"environment has {names}"), of_container(container, where)],
        [
            Fix(
                ("docker", "exec", container.name, "printenv", *container.proxy_variables),
                "shows where it leads, with its password if it has one; changes nothing",
                KEPT,
            )
        ],
        confidence=0.3,
    )
