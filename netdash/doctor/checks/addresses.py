"""Addresses and MACs that two have."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.checks.parts import candidate, names_of, of_container, of_record
from netdash.doctor.fixes import both, by_hand, given_up
from netdash.model.finding import Direction, Evidence, Fix, Hit, Severity
from netdash.model.host import IP, Container, Endpoint, Host, Interface
from netdash.model.index import index_of


def check(host: Host) -> Iterator[Candidate]:
    yield from _added_inside(host)
    yield from _on_this_host(host)
    yield from _same_mac(host)


def _added_inside(host: Host) -> Iterator[Candidate]:
    """A container whose devices have an address that the engine gave to another on the same network."""
    given = _given(host)
    for container in host.containers or ():
        links = container.inside.links if container.inside and container.running else None
        own = {end.network_id for end in container.endpoints}
        for link in links or ():
            for address in link.addresses:
                owner, end = given.get(address.ip, (container, None))
                if owner is container or end is None or end.network_id not in own or owner.shares_with:
                    continue
                yield _twice(host, address, owner, end, container, link.name)


def _given(host: Host) -> dict[IP, tuple[Container, Endpoint]]:
    return {
        own.ip: (container, end)
        for container in host.containers or ()
        if container.running
        for end in container.endpoints
        for own in end.addresses
    }


def _twice(host: Host, address: Interface, owner: Container, end: Endpoint, other: Container, device: str) -> Candidate:
    ip, restart = address.ip, ("docker", "restart", other.name)
    gone = given_up(device, address, f"{other.name} gives the address up until it adds it again", other)
    heard = [one for one in host.neighbours or () if one.ip == ip and one.mac and one.mac != end.mac]
    return candidate(
        "duplicate-ip",
        Severity.HIGH,
        f"{owner.name} and {other.name} both answer for {ip}: which of them gets a packet changes by chance",
        (Hit(owner.id, Direction.IN, network=end.network), Hit(owner.id, Direction.PEERS, network=end.network)),
        [
            of_container(owner, f"the engine gave it {ip}"),
            of_container(other, f"{device} inside has {ip} as well"),
            *(of_record("neighbours", f"{ip} is at {one.mac} on {one.dev}", one) for one in heard),
        ],
        *both(gone, by_hand(restart, f"or: {other.name} starts with its own address alone")),
    )


def _on_this_host(host: Host) -> Iterator[Candidate]:
    """An address of a container that a device of this host has too: its packets end here."""
    given = _given(host)
    for link in host.links or ():
        for address in link.addresses:
            if address.ip in given:
                owner, end = given[address.ip]
                yield candidate(
                    "duplicate-ip",
                    Severity.HIGH,
                    f"{link.name} of this host has {address.ip}, which is {owner.name}'s address: "
                    f"packets for {owner.name} end on this host",
                    (Hit(owner.id, Direction.IN, network=end.network),),
                    [of_record(f"device {link.name}", str(address), link), of_container(owner, f"has {address.ip}")],
                    *given_up(link.name, address, "this host gives the address up"),
                )


def _same_mac(host: Host) -> Iterator[Candidate]:
    """Of two on one network the switch sends frames to whoever spoke last."""
    found: dict[tuple[str, str], list[Container]] = {}
    for container in host.containers or ():
        for end in container.endpoints if container.running else ():
            if end.mac and end.network_id and (network := index_of(host).network(end)) and network.driver != "ipvlan":
                found.setdefault((end.network_id, end.mac), []).append(container)
    for (identity, mac), same in found.items():
        if len(same) > 1:
            network = index_of(host).networks.get(identity)
            yield candidate(
                "duplicate-mac",
                Severity.HIGH,
                f"{names_of(same)} have the same MAC on {network.name if network else 'one network'}: "
                "each takes the other's packets",
                [Hit(one.id, Direction.PEERS, network=network.name if network else "") for one in same],
                [Evidence("docker inspect", f"{mac} of {names_of(same)}")],
                [Fix(("docker", "rm", "-f", same[-1].name), "then create it anew without --mac-address")],
            )
