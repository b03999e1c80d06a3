"""What can be copied of a thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netdash.model.addresses import socket_text
from netdash.model.drift import Drift
from netdash.model.host import (
    Container,
    Host,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Route,
    Rule,
    RulesNote,
)
from netdash.tui.popup import Offer
from netdash.view import json_host
from netdash.view.table import View
from netdash.view.text import SafeText, nft_command, safe, shell_command


def choices(
    host: Host, view: View, thing: object, there: Callable[[str], str] = lambda command: command
) -> tuple[Offer, ...]:
    """Label and text of everything worth copying of one record of a view, the likeliest first. A text is one line.
    `there` makes a command one that runs on the host which is shown."""
    told = json_host.show(host, thing) if isinstance(thing, Container) else json_host.list_view(host, view, [thing])
    offers = (*_OFFERS[type(thing)](host, thing), ("JSON", json_host.dumps(told, None)))
    return tuple(
        (label, safe(there(text) if label == "command" and not text.startswith("#") else text))
        for label, text in offers
    )


def _container(host: Host, one: Container) -> list[Offer]:
    offers = [("address", str(address.ip)) for endpoint in one.endpoints for address in endpoint.addresses]
    ports = [port for port in host.ports or () if port.container_id == one.id and port.live]
    offers += [("address:port", socket_text(port.host_ip, port.host_port)) for port in ports]
    offers += [("name", one.name), ("id", one.short_id), ("command", shell_command("docker inspect {}", one.name))]
    if one.pid:
        offers.append(("command", f"nsenter -t {one.pid} -n ip addr"))
    return [*offers, ("command", shell_command("docker port {}", one.name))]


def _port(host: Host, one: Port) -> list[Offer]:  # noqa: ARG001
    offers = [("address:port", socket_text(one.host_ip, one.host_port))]
    if one.target_ip and one.container_port:
        offers.append(("target", socket_text(one.target_ip, one.container_port)))
    if one.dnat:
        offers.append(("rule", one.dnat.text))
    tool = "-lunp" if one.proto == "udp" else "-ltnp"
    return [*offers, ("command", f"ss {tool} 'sport = :{one.host_port}'")]


def _rule(host: Host, one: Rule) -> list[Offer]:  # noqa: ARG001
    offers = [("rule", one.text), ("command", rule_command(one))]
    if one.target.address:
        offers.append(("address", str(one.target.address)))
    return [*offers, ("place", one.place)]


def _note(host: Host, one: RulesNote) -> list[Offer]:  # noqa: ARG001
    return [("text", one.text)]


def _drift(host: Host, one: Drift) -> list[Offer]:  # noqa: ARG001
    return [("rule", one.text), ("command", rule_command(one)), ("reason", one.why)]


def rule_command(one: Rule | Drift) -> SafeText:
    """The command that shows the chain of a rule, with the tool that can. It reads only."""
    if one.backend.startswith("iptables"):
        tool = "ip6tables" if one.family == "ip6" else "iptables"
        backend = one.backend.removeprefix("iptables-")
        return shell_command(f"{tool}-{backend} -t {{}} -vnL {{}} --line-numbers", one.table, one.chain)
    return nft_command("nft -a list chain {} {} {}", one.family, one.table, one.chain)


def _route(host: Host, one: Route) -> list[Offer]:  # noqa: ARG001
    dst = "default" if one.default else str(one.dst)
    offers = [("route", dst), ("command", shell_command(f"ip -{one.family} route show table {{}}", one.table))]
    return [*offers, ("gateway", str(one.gateway))] if one.gateway else offers


def _policy(host: Host, one: PolicyRule) -> list[Offer]:  # noqa: ARG001
    return [("rule", one.text), ("command", f"ip -{one.family} rule")]


def _proxy(host: Host, one: Proxy) -> list[Offer]:  # noqa: ARG001
    return [
        ("pid", str(one.pid)),
        ("address:port", socket_text(one.host_ip, one.host_port)),
        ("target", socket_text(one.container_ip, one.container_port)),
        ("command", f"ps -o pid,ppid,rss,args -p {one.pid}"),
    ]


def _network(host: Host, one: Network) -> list[Offer]:  # noqa: ARG001
    offers = [("subnet", str(subnet)) for subnet in one.subnets]
    return [*offers, ("name", one.name), ("command", shell_command("docker network inspect {}", one.name))]


def _link(host: Host, one: Link) -> list[Offer]:  # noqa: ARG001
    offers = [("address", str(address.ip)) for address in one.addresses]
    return [("name", one.name), *offers, ("command", shell_command("ip -d -s link show {}", one.name))]


def _neighbour(host: Host, one: Neighbour) -> list[Offer]:  # noqa: ARG001
    offers = [("address", str(one.ip)), ("command", shell_command("ip neigh show dev {}", one.dev))]
    return [*offers, ("MAC", one.mac)] if one.mac else offers


_OFFERS: Mapping[type, Callable[[Host, Any], list[Offer]]] = {
    Container: _container,
    Port: _port,
    Rule: _rule,
    RulesNote: _note,
    Route: _route,
    PolicyRule: _policy,
    Proxy: _proxy,
    Network: _network,
    Link: _link,
    Neighbour: _neighbour,
    Drift: _drift,
}
