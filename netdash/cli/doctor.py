"""`netdash doctor`: what is broken on a host, why, and what mends it."""

from __future__ import annotations

from dataclasses import replace

from netdash.cli import probe
from netdash.cli.arguments import Arguments
from netdash.cli.lists import PIPED, whole_host
from netdash.cli.printing import colour, document, room, write
from netdash.doctor.examine import Report, examine
from netdash.doctor.probes import probes
from netdash.model.errors import Exit
from netdash.model.finding import Severity
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.view import findings, json_host, terminal
from netdash.view.text import safe


def run(arguments: Arguments) -> int:
    """Print what was found: exit 1 where something is broken or at risk, 3 where nothing could be read, else 0."""
    if arguments.probe:
        from netdash.cli.publish import allowed, local

        local(arguments)
        allowed(arguments)
    host = whole_host(arguments)
    report = examine(host)
    if arguments.container:
        report = _of(report, find_container(host, arguments.container).id)
    told = list(probe.probed(host, probes(host, report.findings))) if arguments.probe else []
    if arguments.json:
        more = {"probes": [probe.json(one) for one in told]} if arguments.probe else {}
        document(json_host.dumps({**findings.json(host, report), **more}))
    else:
        write(terminal.text(findings.lines(host, report, room() or PIPED), colour()))
        write(safe(probe.sentence(host, one)) for one in told)
    return exit_code(host, report)


def _of(report: Report, container: str) -> Report:
    """What hits one container, or everybody."""
    kept = (
        finding
        for finding in report.findings
        if not finding.hits or any(hit.container in (container, None) for hit in finding.hits)
    )
    return replace(report, findings=tuple(kept))


def exit_code(host: Host, report: Report) -> int:
    if any(finding.severity < Severity.INFO for finding in report.findings):
        return Exit.FINDINGS
    read = (host.containers, host.links, host.routes, host.ruleset)
    return Exit.UNREADABLE if all(source is None for source in read) else Exit.FINE
