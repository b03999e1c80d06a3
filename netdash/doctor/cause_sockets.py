"""Causes that are sockets, proxies and the container's own state; and published ports that are not led to it."""

from __future__ import annotations

from netdash.change.model import ContainerChange, ContainerEdit
from netdash.doctor.cause import Cause, Failed, rule_evidence
from netdash.doctor.fixes import NOTHING, Fixed, by_hand, delete_rule, reload_podman, restart
from netdash.doctor.owners import belongs, is_engines, owner_of
from netdash.model.addresses import socket_text
from netdash.model.engine_state import DriftKind
from netdash.model.finding import Evidence, Lasts, Severity
from netdash.model.host import Container, Listener, Port, Rule
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.model import Verdict


def of_state(failed: Failed) -> Cause | None:
    """The receiver is paused."""
    container = failed.receiver
    if container is None or container.state != "paused":
        return None
    command = ("docker", "unpause", container.name)
    fixes, _ = by_hand(command, f"{container.name} runs again")
    return Cause(
        "container-paused",
        Severity.HIGH,
        container.id,
        f"{container.name} is paused: connections are accepted by the kernel, and nobody answers",
        (Evidence(f"docker inspect {container.name}", "State.Paused is true", ref_of(container)),),
        fixes,
        (ContainerChange(container.id, ContainerEdit.UNPAUSE),),
    )


# --- a published port that does not lead to its container -------------------------------------------------------------


def of_address(failed: Failed) -> Cause | None:
    """The port is bound to an address that this host does not have."""
    port, container = failed.asked.port, failed.receiver
    links = failed.host.links
    if port is None or container is None or links is None or port.host_ip.is_unspecified or port.host_ip.is_loopback:
        return None
    if any(own.ip == port.host_ip for link in links for own in link.addresses) or not _in_configuration(
        container, port
    ):
        return None
    return Cause(
        "host-ip-changed",
        Severity.HIGH,
        (container.id, port.host_ip, port.host_port, port.proto),
        f"this host does not have {port.host_ip}: {container.name} publishes {port.host_port}/{port.proto} there",
        (
            Evidence(f"docker inspect {container.name}", f"HostIp {port.host_ip}", ref_of(port)),
            Evidence("links", f"no device has {port.host_ip}"),
        ),
        *by_hand(
            ("netdash", "publish", container.name, f"{port.host_port}:{port.container_port}"),
            f"publishes {container.name} on every address, until it is made anew",
        ),
    )


def _in_configuration(container: Container, port: Port) -> bool:
    return any(binding.host_ip == port.host_ip for binding in (*container.bindings, *container.configured))


def of_translation(failed: Failed) -> Cause | None:
    """Another rule takes the published port before the engine's."""
    port = failed.asked.port
    if port is None or failed.receiver is None:
        return None
    rule = _taker(failed)
    if rule is None:
        return None
    to = rule.target.address
    where = (
        f"to {socket_text(to, rule.target.ports[0] if rule.target.ports else None)}" if to is not None else "elsewhere"
    )
    return Cause(
        "dnat-shadow-foreign",
        Severity.HIGH,
        (rule.place, port.host_port, port.proto),
        f"{rule.place} takes {port.host_port}/{port.proto} {where} before the engine's rule, {belongs(owner_of(rule))}",
        (rule_evidence(rule), *((rule_evidence(port.dnat),) if port.dnat is not None else ())),
        *delete_rule(rule),
    )


def _taker(failed: Failed) -> Rule | None:
    """The rule that gave the packet a destination that is not the receiver's."""
    receiver = failed.receiver
    own = {address.ip for end in receiver.endpoints for address in end.addresses} if receiver else set()
    for hop in failed.trace.hops:
        for step in hop.steps:
            rule = step.source
            if step.translates and not hop.inside and rule is not None and step.hook in ("prerouting", "output"):
                elsewhere = rule.target.address is not None and rule.target.address not in own
                return rule if elsewhere and not is_engines(rule) else None
    return None


# --- sockets ----------------------------------------------------------------------------------------------------------


def of_socket(failed: Failed) -> Cause | None:
    if failed.verdict is not Verdict.NO_LISTENER or not failed.hops or failed.receiver is None:
        return None
    last = failed.hops[-1]
    if last.inside:
        return _within(failed.receiver, last.packet.dport, last.packet.proto or "tcp", failed.asked.port)
    return _proxy(failed, failed.receiver)


def _within(container: Container, number: int | None, proto: str, port: Port | None) -> Cause | None:
    """Nothing in the container listens where the published port leads."""
    if number is None or container.listeners is None or port is None:
        return None
    same = [listener for listener in container.listeners if listener.port == number]
    fits = [listener for listener in same if listener.proto == proto]
    name, wanted = container.name, f"{number}/{proto}"
    seen = (Evidence(f"sockets of {name}", _heard(container.listeners, fits or same)),)
    thing = (container.id, number, proto)
    if fits:
        where = ", ".join(sorted({str(listener.ip) for listener in fits}))
        code = "app-on-loopback" if all(listener.ip.is_loopback for listener in fits) else "app-on-other-address"
        sentence = f"{name} listens on {where}:{number} only: bound there, it hears nobody from outside the container"
        return Cause(
            code, Severity.HIGH, thing, sentence, seen, *_application(name, f"have it listen on 0.0.0.0:{number}")
        )
    if same:
        sentence = f"{name} publishes {wanted}, and listens by {same[0].proto} only"
        published = f"{port.host_port}:{number}/{same[0].proto}"
        return Cause("proto-mismatch", Severity.HIGH, thing, sentence, seen, *_republish(name, published))
    return _silent(container, number, proto, port, seen)


def _silent(container: Container, number: int, proto: str, port: Port, seen: tuple[Evidence, ...]) -> Cause:
    """Nothing listens there. It is a mistake of the number where it listens on a port that is not published; else the
    program may not want that port, or not be ready yet."""
    name = container.name
    others = sorted(
        {
            listener.port
            for listener in container.listeners or ()
            if listener.proto == proto and not listener.ip.is_loopback
        }
    )
    published = {binding.container_port for binding in container.bindings if binding.proto == proto}
    instead = f"it listens on {', '.join(map(str, others[:5]))}" if others else "it listens on no port"
    meant = [value for value in others if value not in published]
    if not meant:
        sentence = f"{name} publishes ports on which nothing listens: {instead}"
        return Cause("app-not-listening", Severity.INFO, container.id, sentence, seen)
    sentence = f"{name} publishes {number}/{proto}, and nothing listens there: {instead}"
    fix = _republish(name, f"{port.host_port}:{meant[0]}") if len(meant) == 1 else NOTHING
    return Cause("app-wrong-port", Severity.HIGH, (container.id, number, proto), sentence, seen, *fix)


def _heard(listeners: tuple[Listener, ...], near: list[Listener]) -> str:
    shown = near or [listener for listener in listeners if not listener.ip.is_loopback][:5]
    listening = [
        f"{heard.proto} {socket_text(heard.ip, heard.port)}{f' ({heard.program})' if heard.program else ''}"
        for heard in shown
    ]
    return ", ".join(listening) or "nothing listens"


def _application(name: str, what: str) -> Fixed:
    return by_hand(("docker", "exec", name, "netstat", "-ltn"), f"changes nothing: shows the sockets; {what}")


def _republish(name: str, published: str) -> Fixed:
    return by_hand(
        ("netdash", "publish", "--mode", "recreate", name, published),
        f"makes {name} anew with -p {published}",
        (Lasts.FIREWALL, Lasts.ENGINE, Lasts.BOOT),
    )


def _proxy(failed: Failed, container: Container) -> Cause | None:
    """No docker-proxy holds the port on this host; DNAT serves others."""
    port = failed.asked.port
    if port is None:
        return None
    drift = index_of(failed.host).drift_of_port(port)
    dnat = _dnat(failed, port)
    if dnat is None or any(other.kind is DriftKind.MISSING and other.table == "nat" for other in drift):
        return _untranslated(failed, container, port)
    if failed.host.proxies is None:
        return None
    if _without_proxies(failed, dnat):
        return _no_ipv6(failed, container, port)
    return Cause(
        "proxy-dead",
        Severity.MEDIUM,
        (container.id, port.host_port, port.proto),
        f"the docker-proxy of {port.host_port}/{port.proto} is gone: {container.name} is refused where DNAT does not "
        "apply, on this host's loopback and by IPv6",
        (
            Evidence("processes", f"no docker-proxy for port {port.host_port}"),
            Evidence("sockets of this host", f"nothing listens on {port.host_port}/{port.proto}"),
            rule_evidence(dnat),
        ),
        *restart(container, "starts its proxy again"),
    )


def _without_proxies(failed: Failed, dnat: Rule) -> bool:
    """Whether the engine runs without a userland proxy: its DNAT rule then takes what its own bridge sends, too."""
    engine = failed.host.engine
    if engine is not None and engine.userland_proxy is not None:
        return not engine.userland_proxy
    return is_engines(dnat) and not any(match.key == "iif" and match.negated for match in dnat.matches)


def _no_ipv6(failed: Failed, container: Container, port: Port) -> Cause | None:
    """Without a proxy nobody answers by IPv6 for a container that has no IPv6 address."""
    if failed.asked.question.dst.version == 4:
        return None
    return Cause(
        "v6-proxy-off",
        Severity.MEDIUM,
        (container.id, port.host_port, port.proto),
        f"nobody serves {port.host_port}/{port.proto} of {container.name} by IPv6: it is published there too, the "
        "engine runs without docker-proxy, and the container has no IPv6 address",
        (
            Evidence("sockets of this host", f"nothing listens on [::]:{port.host_port}/{port.proto}"),
            Evidence(f"docker inspect {container.name}", "no IPv6 address", ref_of(container)),
        ),
        *by_hand(
            ("docker", "network", "create", "--ipv6", "NAME"),
            f"a network with IPv6, for {container.name} to join",
            (Lasts.FIREWALL, Lasts.ENGINE, Lasts.BOOT),
        ),
    )


def _dnat(failed: Failed, port: Port) -> Rule | None:
    """The rule that serves the port for others, also where it is published for several addresses."""
    ports = index_of(failed.host).ports(port.container_id or "")
    same = (other for other in ports if (other.proto, other.host_port) == (port.proto, port.host_port))
    return next((other.dnat for other in (port, *same) if other.dnat is not None), None)


def _untranslated(failed: Failed, container: Container, port: Port) -> Cause | None:
    missing = [drift for drift in index_of(failed.host).drift_of_port(port) if drift.kind is DriftKind.MISSING]
    if port.proxy is not None:
        return None
    if not missing:
        return _of_podman(failed, port)
    one = missing[0]
    return Cause(
        "dnat-missing",
        Severity.CRITICAL,
        (container.id, port.host_port, port.proto),
        f"the rule that leads {port.host_port}/{port.proto} to {container.name} is gone, and no docker-proxy serves it",
        (Evidence(f"iptables {one.table}/{one.chain}", f"not there: {one.text}", ref_of(one)),),
        *restart(container, "the engine writes its rules again"),
    )


def _of_podman(failed: Failed, port: Port) -> Cause | None:
    """Which rules netavark should have written is not always known; one that translates the port is needed."""
    engine = failed.host.engine
    if engine is None or engine.name != "podman" or port.dnat is not None:
        return None
    return Cause(
        "dnat-missing",
        Severity.CRITICAL,
        "podman",
        "no rule leads published ports to their containers: those that Podman wrote are gone",
        (Evidence("rules", f"none translates {port.host_port}/{port.proto}"),),
        (reload_podman(),),
    )
