"""Takes names and addresses out of what is handed on: the same one is always replaced by the same. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from netdash.kernel.routing import OUTSIDE
from netdash.model.addresses import address
from netdash.model.finding import Evidence, Finding, Fix, Health
from netdash.model.host import IP, Host
from netdash.model.records import replace

Mask = Callable[[str], str]
_KEPT = ("bridge", "host", "none", "docker0")
_ADDRESS = r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})(?![\w:])"
_HEX = r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b"
_SAMPLES = frozenset(map(str, OUTSIDE.values()))


def masked(host: Host, report: Health) -> tuple[Host, Health]:
    """Both with other names and addresses; the host only for the names of its containers."""
    mask = mask_of(host)
    containers = tuple(replace(one, name=mask(one.name)) for one in host.containers or ())
    reasons = {source: mask(reason) for source, reason in report.not_checked.items()}
    findings = tuple(_finding(one, mask) for one in report.findings)
    return replace(host, name=host.name and "this-host", containers=containers), Health(findings, reasons)


def mask_of(host: Host) -> Mask:
    """Of one host's names, and of every address, MAC address and id."""
    names = dict(_names(host))
    known: dict[str, str] = {}
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    pattern = re.compile(rf"{_ADDRESS}|{_HEX}" + (rf"|(?<![\w.-])(?:{words})(?![\w-])" if words else ""))

    def replaced(found: re.Match[str]) -> str:
        word = found[0]
        return names.get(word) or known.setdefault(word, _other(word, len(known) + 1))

    return lambda text: pattern.sub(replaced, text)


def _names(host: Host) -> Iterator[tuple[str, str]]:
    """(name, what stands in its place)."""
    for number, container in enumerate(host.containers or (), 1):
        yield container.name, f"container-{number}"
    for number, network in enumerate(host.networks or (), 1):
        if network.name not in _KEPT:
            yield network.name, f"network-{number}"
        if network.bridge and network.bridge not in _KEPT:
            yield network.bridge, f"br-network-{number}"
    for link in host.links or ():
        if link.kind == "veth" and link.name.startswith("veth"):
            yield link.name, f"veth-{link.index}"
    if host.name:
        yield host.name, "this-host"


def _other(word: str, number: int) -> str:
    ip = address(word)
    if ip is not None:
        return (
            word
            if _says_nothing(ip)
            else f"198.18.{number // 256}.{number % 256}"
            if ip.version == 4
            else f"2001:db8::{number:x}"
        )
    if ":" in word:
        return f"02:00:00:00:{number // 256:02x}:{number % 256:02x}" if word.count(":") == 5 else word
    return f"{number:012x}"


def _says_nothing(ip: IP) -> bool:
    """Loopback, any address, and the sample of an address on the Internet."""
    return ip.is_loopback or ip.is_unspecified or str(ip) in _SAMPLES


def _finding(finding: Finding, mask: Mask) -> Finding:
    return replace(
        finding,
        sentence=mask(finding.sentence),
        hits=tuple(replace(hit, network=mask(hit.network)) for hit in finding.hits),
        evidence=tuple(Evidence(mask(one.source), mask(one.text)) for one in finding.evidence),
        fix=tuple(Fix(tuple(map(mask, one.command)), mask(one.changes), one.survives) for one in finding.fix),
        also_opens=tuple(map(mask, finding.also_opens)),
    )
