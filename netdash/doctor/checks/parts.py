"""What the checks share: building candidates, and a few questions about the things of a host."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netdash.change.model import ChainPlace, Change, RuleChange, RuleEdit
from netdash.doctor.candidate import Candidate
from netdash.doctor.fixes import NOTHING, Fixed, iptables, xt_rule
from netdash.model.finding import Direction, Evidence, Finding, Fix, Hit, Lasts, Severity
from netdash.model.host import Container, Host, Network, Port
from netdash.model.index import index_of
from netdash.model.relations import ref_of
from netdash.trace.model import Question

KEPT = (Lasts.ENGINE, Lasts.FIREWALL, Lasts.BOOT)


def candidate(
    code: str,
    severity: Severity,
    sentence: str,
    hits: Iterable[Hit] = (),
    evidence: Iterable[Evidence] = (),
    fix: Iterable[Fix] = (),
    changes: tuple[Change, ...] = (),
    asks: tuple[Question, ...] = (),
    confidence: float = 1.0,
    exposes: bool = False,
) -> Candidate:
    parts = (tuple(hits), tuple(evidence), tuple(fix))
    return Candidate(Finding(code, severity, sentence, *parts, confidence=confidence, exposes=exposes), changes, asks)


def of_record(source: str, text: str, thing: object) -> Evidence:
    """Evidence that a row of the dashboard shows."""
    return Evidence(source, text, ref_of(thing))


def of_container(container: Container, text: str) -> Evidence:
    return of_record(f"container {container.name}", text, container)


def of_sysctl(name: str, value: str) -> Evidence:
    return Evidence(f"sysctl {name}", f"= {value}")


def masquerade(host: Host, network: Network, changes: str) -> Fixed:
    """iptables' rule by which what leaves a network takes this host's address."""
    subnet = next((net for net in network.subnets if net.version == 4), None)
    chains = host.ruleset.chains if host.ruleset else ()
    chain = next(
        (chain for chain in chains if (chain.family, chain.table, chain.name) == ("ip", "nat", "POSTROUTING")), None
    )
    if subnet is None or chain is None or network.bridge is None or chain.backend == "nft":
        return NOTHING
    words = ("-s", str(subnet), "!", "-o", network.bridge, "-j", "MASQUERADE")
    place = ChainPlace(chain.family, chain.table, chain.name, chain.backend)
    rule = xt_rule(place, " ".join(words), chain.backend, len(chain.rules) + 1)
    command = (*iptables("ip", chain.backend), "-t", "nat", "-A", chain.name, *words)
    return (Fix(command, changes, (Lasts.ENGINE,)),), (RuleChange(place, RuleEdit.APPEND, rule),)


def run_anew(host: Host, port: Port, address: str, changes: str) -> Fix:
    """How a container is published another way: it is removed first, and needs its other options again."""
    container = index_of(host).containers.get(port.container_id or "")
    name, image = (container.name, container.image) if container else ("NAME", "")
    published = f"{address}{port.host_port}:{port.container_port}/{port.proto}"
    return Fix(("docker", "run", "-d", "--name", name, "-p", published, image or "IMAGE"), changes, KEPT)


def hit_of_port(port: Port) -> Hit:
    return Hit(port.container_id, Direction.IN, f"{port.host_port}/{port.proto}")


def hits_of(containers: Iterable[Container], direction: Direction, network: str = "") -> tuple[Hit, ...]:
    return tuple(Hit(container.id, direction, network=network) for container in containers)


def members(host: Host, network: Network) -> list[Container]:
    """The running containers on a network."""
    index = index_of(host)
    return [
        container
        for container in host.containers or ()
        if container.running and any(index.network(end) is network for end in container.endpoints)
    ]


def only_member(host: Host, network: Network) -> Container | None:
    """Whom all is for that is for a network of one container."""
    found = members(host, network)
    return found[0] if len(found) == 1 else None


def listing(words: Sequence[str], most: int = 4) -> str:
    """web, db and 3 more"""
    if len(words) <= most:
        return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""
    return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} more"


def names_of(containers: Iterable[Container]) -> str:
    return listing(sorted(container.name for container in containers))
