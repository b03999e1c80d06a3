"""`netdash doctor`: what is broken on a host, why, and what mends it; once, or as it appears and goes."""

from __future__ import annotations

import time
from pathlib import Path

from netdash.cli import probe
from netdash.cli.arguments import Arguments
from netdash.cli.lists import PIPED, whole_host
from netdash.cli.printing import colour, document, note, room, write
from netdash.cli.watching import recordings
from netdash.doctor.examine import examine
from netdash.doctor.prove import probes
from netdash.doctor.watch import Watch
from netdash.model.errors import Exit, NetdashError
from netdash.model.finding import Finding, Health, Severity, nothing_hidden
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.model.records import replace
from netdash.view import findings, json_host, report, terminal
from netdash.view.report import masked
from netdash.view.text import safe


def run(arguments: Arguments) -> int:
    """Print what was found: exit 1 where something is broken or at risk, else 3 where more may be, else 0."""
    _check(arguments)
    if arguments.watch:
        return _watch(arguments)
    host = whole_host(arguments)
    found = _asked_for(arguments, host)
    results = list(probe.probed(host, probes(host, found.findings))) if arguments.probe else []
    code = exit_code(host, found)
    if arguments.mask:
        host, found = masked(host, found)
    if arguments.report is not None:
        _write(arguments.report, host, found)
    elif arguments.json:
        more = {"probes": [probe.json(probed) for probed in results]} if arguments.probe else {}
        document(json_host.dumps({**findings.json(host, found), **more}))
    else:
        write(terminal.text(findings.lines(host, found, room() or PIPED), colour()))
    if not arguments.json:
        write(safe(probe.sentence(host, probed)) for probed in results)
    return code


def _check(arguments: Arguments) -> None:
    """Raises NetdashError where probes are not possible, or would tell names that are to be masked; and where there is
    nothing to watch."""
    if arguments.watch and arguments.bundle is not None:
        raise NetdashError("a recording does not change", "--watch is for a live host", Exit.USAGE)
    if not arguments.probe:
        return
    from netdash.cli.publish import allowed, local

    if arguments.watch or arguments.mask:
        raise NetdashError("--probe goes with neither --watch nor --mask", "", Exit.USAGE)
    local(arguments)
    allowed(arguments)


def _asked_for(arguments: Arguments, host: Host) -> Health:
    """All findings, or those that hit one container or everybody."""
    found = examine(host)
    if not arguments.container:
        return found
    container = find_container(host, arguments.container).id
    kept = (
        finding
        for finding in found.findings
        if not finding.hits or any(hit.container in (container, None) for hit in finding.hits)
    )
    standings = {at: standing for at, standing in found.standings.items() if at == container}
    return replace(found, findings=tuple(kept), standings=standings)


def exit_code(host: Host, found: Health) -> int:
    if any(finding.severity < Severity.INFO for finding in found.findings):
        return Exit.FINDINGS
    return Exit.FINE if nothing_hidden(host, found) else Exit.UNREADABLE


def _write(path: Path, host: Host, found: Health) -> None:
    text = "".join(f"{line}\n" for line in report.lines(host, found))
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise NetdashError(f"cannot write {path}: {error.strerror}", code=Exit.OUTPUT) from error
    note(f"wrote {len(found.findings)} findings to {path}")


# --- as they appear and go --------------------------------------------------------------------------------------------


def _watch(arguments: Arguments) -> int:
    """A line or, with --json, an object for each change; ends with Ctrl-C."""
    from netdash.cli.own_records import with_own_records
    from netdash.join.host import Builder

    builder, watch, begun = Builder(), Watch(), False
    with recordings(arguments) as found:
        for recording in found:
            host = builder.build(with_own_records(recording))
            if not host.pending:
                new, gone = watch.look(_asked_for(arguments, host), time.time())
                if not begun:
                    note(f"watching {len(new)} findings")
                begun = True
                _tell(arguments, host, new, gone)
    return Exit.FINE


def _tell(arguments: Arguments, host: Host, new: tuple[Finding, ...], gone: tuple[Finding, ...]) -> None:
    if arguments.mask:
        there, health = masked(host, Health((*new, *gone), {}))
        host, new, gone = there, health.findings[: len(new)], health.findings[len(new) :]
    for appeared, changed in ((True, new), (False, gone)):
        for finding in changed:
            if arguments.json:
                document(json_host.dumps(findings.json_change(host, finding, appeared), None))
            else:
                wide = room() or PIPED
                write(terminal.text(findings.change(host, finding, appeared, time.time(), wide), colour()))
