"""What to say of a live rule that nothing asks for: stale, extra, or not the engine's at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network

from netdash.drift.engine_rules import Entry
from netdash.drift.expected.mode import Layout, Mode
from netdash.kernel.devices import GWBRIDGE
from netdash.model.engine_state import DriftKind
from netdash.model.host import IP, Binding, Container, Net, Network, Verb
from netdash.model.index import owners_of
from netdash.model.records import dataclass

_DOCKERS_NAME = re.compile(r"br-[0-9a-f]{12}|docker0")


@dataclass(frozen=True, slots=True)
class Judgement:
    kind: DriftKind
    why: str
    container_id: str | None = None
    network_id: str | None = None
    binding: Binding | None = None


class World:
    """What exists: the engine's networks and running containers, the host's devices (None: not read). `whole`: whether
    those are all that run."""

    def __init__(
        self, networks: Iterable[Network], containers: Iterable[Container], devices: frozenset[str] | None, whole: bool
    ) -> None:
        self._whole = whole
        self.devices = devices
        self.bridges = {network.bridge: network for network in networks if network.bridge}
        self._containers = tuple(containers)
        moving = {
            name
            for container in self._containers
            if container.state in ("restarting", "removing")
            for endpoint in container.endpoints
            for name in (endpoint.network_id, endpoint.network)
        }
        self.subnets = {net: network for network in networks for net in network.subnets}
        unsure = [
            network
            for network in networks
            if network.name == GWBRIDGE or network.id in moving or network.name in moving
        ]
        self._unsure = [net for network in unsure for net in network.subnets]
        self._gwbridges = {network.bridge for network in networks if network.name == GWBRIDGE} | {GWBRIDGE}

    @cached_property
    def owners(self) -> dict[IP, str]:
        return {
            ip: container.id
            for ip, container in owners_of(container for container in self._containers if container.running).items()
        }

    def knows_owner(self, ip: IP) -> bool:
        """Whether the API tells who has this address, or that nobody has."""
        return self._whole and not any(ip.version == net.version and ip in net for net in self._unsure)

    def swarms(self, device: str) -> bool:
        return device in self._gwbridges

    def network_of(self, ip: IP) -> Network | None:
        return next((network for net, network in self.subnets.items() if ip.version == net.version and ip in net), None)


def judge(entry: Entry, mode: Mode, world: World) -> Judgement | None:
    """None: nothing can be said, or it is none of the engine's business."""
    if not entry.readable or entry.target.verb is Verb.VMAP or any(world.swarms(device) for device in _devices(entry)):
        return None
    return _judge_own(entry, mode, world) if entry.own else _judge_shared(entry, mode, world)


# --- the engine's own chains ------------------------------------------------------------------------------------------


def _judge_own(entry: Entry, mode: Mode, world: World) -> Judgement | None:
    found = _stale(entry, world)
    if found is not None or not _complete(entry, mode):
        return found
    if not all(world.knows_owner(ip) for ip in _addresses(entry)):
        return None
    owner = next((world.owners[ip] for ip in _addresses(entry) if ip in world.owners), None)
    network = next((world.bridges[name].id for name in _devices(entry) if name in world.bridges), None)
    why = "in the engine's own chain, and nothing that the engine tells of asks for it"
    return Judgement(DriftKind.EXTRA, why, owner, network, _binding(entry))


def _complete(entry: Entry, mode: Mode) -> bool:
    """Whether all that the engine may write here is known."""
    if mode.layout in (Layout.SHARED, Layout.NETAVARK) or entry.target.chain == "DOCKER-INGRESS":
        return False
    hosts = {match.key for match in entry.matches if match.key in ("src", "dst") and _hosts(match.values)}
    if hosts == {"src", "dst"}:
        return False  # --link, or a way to one's own port
    if mode.layout is Layout.NATIVE:
        trusted = entry.place.chain == "raw-PREROUTING" and entry.target.verb is Verb.ACCEPT
        return not trusted and not (mode.proxy is not True and entry.place.chain.startswith("nat-postrouting-in"))
    return True


def _stale(entry: Entry, world: World) -> Judgement | None:
    for ip in _addresses(entry):
        if ip not in world.owners and world.knows_owner(ip):
            network = world.network_of(ip)
            why = f"names {ip}, which no running container has"
            return Judgement(DriftKind.STALE, why, None, network.id if network else None, _binding(entry))
    for device in _devices(entry):
        if device not in world.bridges and world.devices is not None and device not in world.devices:
            return Judgement(DriftKind.STALE, f"names the device {device}: no network has it, nor this host")
    return None


def _addresses(entry: Entry) -> Iterator[IP]:
    """Containers' addresses that it names. What DNAT matches is the host's address."""
    if entry.target.verb is Verb.DNAT:
        if entry.target.address is not None and entry.target.address_to in (None, entry.target.address):
            yield entry.target.address
        return
    for match in entry.matches:
        if match.key in ("src", "dst") and not match.negated:
            for net in match.values:
                if isinstance(net, (IPv4Network, IPv6Network)) and net.num_addresses == 1 and not net.is_loopback:
                    yield net.network_address


def _devices(entry: Entry) -> list[str]:
    return [
        str(name) for match in entry.matches if match.key in ("iif", "oif") for name in match.values if name != "lo"
    ]


def _binding(entry: Entry) -> Binding | None:
    """The published port of a DNAT rule."""
    if entry.target.verb is not Verb.DNAT or entry.target.ports is None:
        return None
    plain = {match.key: match.values[0] for match in entry.matches if not match.negated and match.values}
    proto, outer, host = plain.get("proto"), plain.get("dport"), plain.get("dst")
    if not isinstance(proto, str) or not isinstance(outer, tuple):
        return None
    ip = host.network_address if isinstance(host, (IPv4Network, IPv6Network)) and host.num_addresses == 1 else None
    return Binding(proto, entry.target.ports[0], ip, outer[0])


# --- chains that others write to as well ------------------------------------------------------------------------------


def _judge_shared(entry: Entry, mode: Mode, world: World) -> Judgement | None:
    """Only rules of the very shape that Docker writes are taken for its own."""
    shape = {(match.key, match.negated) for match in entry.matches}
    chain, verb = entry.place.chain, entry.target.verb
    if entry.place.table == "raw" and verb is Verb.DROP and shape == {("dst", False), ("iif", True)}:
        return _judge_raw(entry, mode, world)
    if chain == "POSTROUTING" and verb in (Verb.MASQUERADE, Verb.SNAT):
        if shape == {("src", False), ("dst", False), ("proto", False), ("dport", False)}:
            return _judge_hairpin(entry, world)
        if shape == {("src", False), ("oif", True)}:
            return _judge_leaving(entry, world)
    if chain == "FORWARD" and shape <= {("iif", False), ("oif", False), ("oif", True), ("ctstate", False)}:
        gone = [name for name in _devices(entry) if _DOCKERS_NAME.fullmatch(name) and name not in world.bridges]
        if gone and world.devices is not None and gone[0] not in world.devices:
            return Judgement(DriftKind.STALE, f"names the device {gone[0]}: no network has it, nor this host")
    return None


def _judge_raw(entry: Entry, mode: Mode, world: World) -> Judgement | None:
    device = _devices(entry)[0] if _devices(entry) else ""
    if mode.since_28 and (device in world.bridges or _DOCKERS_NAME.fullmatch(device)):
        return _stale(entry, world)
    return None


def _judge_hairpin(entry: Entry, world: World) -> Judgement | None:
    """A container's way to its own port: both ends are the same address of one of the engine's networks."""
    found = list(_addresses(entry))
    if len(found) == 2 and found[0] == found[1] and world.network_of(found[0]) is not None:
        return _stale(entry, world)
    return None


def _judge_leaving(entry: Entry, world: World) -> Judgement | None:
    device = _devices(entry)[0] if _devices(entry) else ""
    net = next((value for match in entry.matches if match.key == "src" for value in match.values), None)
    if not isinstance(net, (IPv4Network, IPv6Network)):
        return None
    network = world.bridges.get(device)
    if network is None:
        known = _DOCKERS_NAME.fullmatch(device) and world.devices is not None and device not in world.devices
        why = f"names the device {device}: no network has it, nor this host"
        return Judgement(DriftKind.STALE, why) if known else None
    if net not in network.subnets:
        why = f"names {net}, which is no subnet of {network.name}"
        return Judgement(DriftKind.STALE, why, None, network.id)
    return Judgement(DriftKind.EXTRA, _against(network, net), None, network.id)


def _against(network: Network, net: Net) -> str:
    if not network.masquerade:
        return f"{network.name} is set up to leave with its own addresses"
    mode = network.gateway_modes[net.version == 6]
    return f"{network.name} asks for no such translation" + ("" if mode == "nat" else f": its gateway mode is {mode}")


def _hosts(values: Iterable[object]) -> bool:
    return all(isinstance(value, (IPv4Network, IPv6Network)) and value.num_addresses == 1 for value in values)
