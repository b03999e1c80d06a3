"""What one pastes into an incident: the host's state, the findings, and the commands that show the same without
netdash. Markdown; pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

from netdash.model.finding import Evidence, Finding, Health
from netdash.model.host import Host
from netdash.view.findings import PROVED, command, hits
from netdash.view.text import SafeText, clean, safe

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
        yield safe("Nothing was found.")
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
        running = sum(one.running for one in host.containers)
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
    for one in finding.evidence[:_MOST]:
        yield f"- {_code(one.source)}: {_code(one.text)}"
    shown = list(dict.fromkeys(filter(None, map(_shows, finding.evidence))))
    if shown:
        yield from ("", "The same without netdash:", "", *_block(shown))
    if finding.fix:
        proof = PROVED[finding.proved or None][0]
        yield from ("", f"What mends it ({proof}):", "", *_block([command(fix) for fix in finding.fix]), "")
        yield from (f"- {_plain(fix.changes)}" for fix in finding.fix)
        yield from (f"- also opens {_plain(one)}" for one in finding.also_opens)


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
