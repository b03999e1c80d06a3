"""What one pastes into an incident: the host's state, the findings, and the commands that show the same without
netdash; with names and addresses replaced where asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from netdash.kernel.routing import OUTSIDE
from netdash.model.addresses import address
from netdash.model.finding import Evidence, Finding, Fix, Health, nothing_hidden
from netdash.model.host import IP, Host
from netdash.model.records import replace
from netdash.view.findings import PROVED, command, hits
from netdash.view.text import SafeText, clean, safe

Mask = Callable[[str], str]
_KEPT = ("bridge", "host", "none", "docker0")
_ADDRESS = r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7})(?![\w:])"
_HEX = r"\b[0-9a-f]{12}(?:[0-9a-f]{52})?\b"
_SAMPLES = frozenset(map(str, OUTSIDE.values()))


def masked(host: Host, report: Health) -> tuple[Host, Health]:
    """Both with other names and addresses; the host only for the names of its containers."""
    mask = mask_of(host)
    containers = host.containers
    if containers is not None:
        containers = tuple(replace(container, name=mask(container.name)) for container in containers)
    reasons = {source: mask(reason) for source, reason in report.not_checked.items()}
    findings = tuple(_masked_finding(finding, mask) for finding in report.findings)
    return replace(host, name=host.name and "this-host", containers=containers), replace(
        report, findings=findings, not_checked=reasons
    )


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


def _masked_finding(finding: Finding, mask: Mask) -> Finding:
    return replace(
        finding,
        sentence=mask(finding.sentence),
        hits=tuple(replace(hit, network=mask(hit.network)) for hit in finding.hits),
        evidence=tuple(Evidence(mask(evidence.source), mask(evidence.text)) for evidence in finding.evidence),
        fix=tuple(Fix(tuple(map(mask, fix.command)), mask(fix.changes), fix.survives) for fix in finding.fix),
        also_opens=tuple(map(mask, finding.also_opens)),
    )


_MOST = 40  # hits and lines of evidence of one finding


def lines(host: Host, report: Health) -> Iterator[SafeText]:
    yield safe(f"# netdash doctor: {clean(host.name or 'this host')}")
    yield safe("")
    yield from (safe(f"- {line}") for line in _state(host))
    for number, finding in enumerate(report.findings, 1):
        yield safe("")
        yield from map(safe, _finding(host, finding, number))
    if not report.findings:
        yield safe("")
        yield safe("Nothing was found." if nothing_hidden(host, report) else "Nothing was found in what was read.")
    if report.not_checked:
        yield safe("")
        yield safe("## Not checked")
        yield safe("")
        yield from (safe(f"- {_code(source)}: {_plain(reason)}") for source, reason in report.not_checked.items())


def _state(host: Host) -> Iterator[str]:
    if host.taken is not None:
        when = f"{datetime.fromtimestamp(host.taken, UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield f"read {'live' if host.live else 'from a recording'}, {when}"
    engine = host.engine
    if engine is not None:
        yield f"{engine.name} {_plain(engine.version)}" + (f", {engine.firewall}" if engine.firewall else "")
    if host.containers is not None:
        running = sum(container.running for container in host.containers)
        yield f"{running} of {len(host.containers)} containers run"
    if host.networks is not None:
        yield f"{len(host.networks)} networks"
    yield "rules: not read" if host.ruleset is None else f"{len(host.ruleset.rules)} rules"


def _finding(host: Host, finding: Finding, number: int) -> Iterator[str]:
    yield f"## {number}. {finding.severity.name.lower()}: {finding.code}"
    yield ""
    yield _plain(finding.sentence)
    yield ""
    if finding.hits:
        yield f"- hits: {_plain(hits(host, finding.hits, _MOST))}"
    for evidence in finding.evidence[:_MOST]:
        yield f"- {_code(evidence.source)}: {_code(evidence.text)}"
    shown = list(dict.fromkeys(filter(None, map(_shows, finding.evidence))))
    if shown:
        yield from ("", "The same without netdash:", "", *_block(shown))
    if finding.fix:
        proof = PROVED[finding.proved or None][0]
        yield from ("", f"What mends it ({proof}):", "", *_block([command(fix) for fix in finding.fix]), "")
        yield from (f"- {_plain(fix.changes)}" for fix in finding.fix)
        yield from (f"- also opens {_plain(text)}" for text in finding.also_opens)


def _block(commands: list[SafeText]) -> list[str]:
    return ["```", *commands, "```"]


def _plain(text: str) -> str:
    """Foreign text in a paragraph: nothing in it is markup."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|!" else letter for letter in clean(text))


def _code(text: str) -> str:
    return f"`{clean(text).replace('`', chr(39))}`"


# --- commands of others that show a piece of evidence -----------------------------------------------------------------


def _shows(evidence: Evidence) -> SafeText | None:
    """By what the evidence is named after; None where no one command shows it."""
    first, _, rest = evidence.source.partition(" ")
    words = rest.split()
    found: tuple[str, ...] | None = None
    if first in ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy") and words:
        table, _, chain = words[0].partition("/")
        found = (first, "-t", table, "-S", chain)
    elif first == "nft" and len(words) > 1:
        table, _, chain = words[1].partition("/")
        found = ("nft", "list", "chain", words[0], table, chain)
    elif first in _NAMED and words:
        found = (*_NAMED[first], words[0])
    elif first in _WHOLE:
        found = _WHOLE[first]
    return None if found is None else clean(shlex.join(found))


_NAMED = {
    "sysctl": ("sysctl",),
    "link": ("ip", "-d", "addr", "show"),
    "container": ("docker", "inspect"),
    "network": ("docker", "network", "inspect"),
}
_WHOLE = {
    "route": ("ip", "route", "show", "table", "all"),
    "routes": ("ip", "route", "show", "table", "all"),
    "ip": ("ip", "rule"),
    "tc": ("tc", "-s", "qdisc"),
    "links": ("ip", "-d", "addr"),
    "sockets": ("ss", "-ltnup"),
    "processes": ("pgrep", "-a", "docker-proxy"),
    "conntrack": ("conntrack", "-L"),
}
