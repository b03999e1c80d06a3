"""Plans, what became of them, and what netdash published: as lines, the same for `--dry-run` and for the dialog, and
as the stable JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

from netdash.model.host import Host
from netdash.model.index import index_of
from netdash.model.records import dataclass
from netdash.model.source import Source
from netdash.publish.checks import port_list
from netdash.publish.journal import Forward, Journal, Outage, Outcome, Proof
from netdash.publish.plan import Plan
from netdash.publish.statement import Statement
from netdash.publish.undo import Course, Damaged, Pending, Recovery
from netdash.view import layout
from netdash.view.form_choices import Answer
from netdash.view.json_host import SCHEMA, Json, port_entry, unknown
from netdash.view.statements import downtime, refusal, text
from netdash.view.statements import outage as outage_text
from netdash.view.text import Line, Span, Tone, clean

_ANSWERS = {True: ("yes", Tone.GOOD), False: ("no", Tone.PLAIN), None: ("?", Tone.UNKNOWN)}


@dataclass(frozen=True, slots=True)
class PlanLine:
    """`label` and `answer` stand before the text. Foreign text in it is still to be cleaned."""

    text: str
    label: str = ""
    answer: str = ""
    tone: Tone = Tone.DIM  # of the label, or of a text without one
    answer_tone: Tone = Tone.PLAIN
    fixed: bool = False  # its blanks mean something


def plan_lines(plan: Plan) -> tuple[PlanLine, ...]:
    """Title, steps, costs, reach, warnings, refusals; a plan that is refused tells no steps."""
    warnings = (PlanLine(text(warning), "warning: ", tone=Tone.WARN) for warning in plan.warnings)
    body = [*_refusals(plan.refusals), *warnings] if plan.refusals else [*_body(plan), *warnings, *_file(plan)]
    return (PlanLine(text(plan.title), tone=Tone.KEY), *body)


def _refusals(refusals: Iterable[Statement]) -> Iterator[PlanLine]:
    return (PlanLine(refusal(reason), "refused: ", tone=Tone.BAD) for reason in refusals)


def _body(plan: Plan) -> Iterator[PlanLine]:
    yield from (PlanLine(text(step), f"  {number}. ") for number, step in enumerate(plan.steps, 1))
    yield PlanLine(downtime(plan.stop_seconds), "downtime: ")
    yield PlanLine("; ".join(map(text, plan.lost)) or "nothing", "lost: ")
    if plan.client:
        yield PlanLine(text(plan.client), "client address: ")
    for reach in plan.reach:
        answer, tone = _ANSWERS[reach.yes]
        yield PlanLine(text(reach.why), f"reached from {reach.who.value}: ", f"{answer}, ", answer_tone=tone)
    yield from (PlanLine(text(undo), "undo: ") for undo in plan.undo)


def _file(plan: Plan) -> Iterator[PlanLine]:
    if plan.file:
        yield PlanLine("for the compose file:", tone=Tone.KEY, fixed=True)
        yield from (PlanLine(f"  {line}", tone=Tone.KEY, fixed=True) for line in plan.file)


def plain(plan: Plan) -> tuple[str, ...]:
    return tuple(f"{line.label}{line.answer}{line.text}" for line in plan_lines(plan))


def styled(plan: Plan, wide: int) -> tuple[Line, ...]:
    return tuple(line for plan_line in plan_lines(plan) for line in _styled(plan_line, wide))


def _styled(line: PlanLine, wide: int) -> list[Line]:
    words = clean(line.text)
    if line.fixed:
        return [(Span(f" {words}", line.tone),)]
    if line.label.startswith(" "):
        return layout.text(Span(f" {line.label.lstrip()}", line.tone), words, wide)
    if not line.label:
        return hanging([Span(words, line.tone)], wide)
    answer = [Span(line.answer, line.answer_tone)] if line.answer else []
    return hanging([Span(line.label, line.tone), *answer, Span(words)], wide)


def hanging(spans: Iterable[Span], wide: int, lead: str = " ") -> list[Line]:
    """One paragraph whose further lines are set in."""
    found = layout.paragraph(Span(" " * len(lead) + "  "), list(_words(spans)), wide)
    return [(Span(lead), *found[0][1:]), *found[1:]] if found else []


def _words(spans: Iterable[Span]) -> Iterator[Span]:
    for span in spans:
        yield from (Span(f"{word} ", span.tone) for word in span.text.split())


# --- what became of it ------------------------------------------------------------------------------------------------


def measured_downtime(plan: Plan, outcome: Outcome) -> str:
    """The measured beside the planned one; "" where nothing was stopped."""
    if outcome.outage is None:
        return ""
    return f"downtime: {outage_text(outcome.outage)}; planned: {downtime(plan.stop_seconds)}"


def proofs(found: Iterable[Proof], wide: int) -> tuple[Line, ...]:
    """What real connections answered."""
    lines: list[Line] = []
    for proof in found:
        glyph, tone = {True: ("✓", Tone.GOOD), False: ("✗", Tone.BAD), None: ("?", Tone.UNKNOWN)}[proof.works]
        lines += hanging([Span(f"{glyph} {clean(proof.sentence)}", tone)], wide)
    return tuple(lines)


def plan(made: Plan) -> dict[str, object]:
    """The plan under "plan"; with refusals nothing was or will be done."""
    return {
        "schema": SCHEMA,
        "plan": {
            "title": text(made.title),
            "mode": made.mode.value if made.mode else "run",
            "container": made.container,
            "container_id": made.container_id[:12] or None,
            "ports": [asdict(port) for port in made.ports],
            "steps": list(map(text, made.steps)),
            "undo": list(map(text, made.undo)),
            "downtime": downtime(made.stop_seconds),
            "lost": list(map(text, made.lost)),
            "client_address": text(made.client) if made.client else None,
            "reach": [{"who": reach.who.value, "yes": reach.yes, "why": text(reach.why)} for reach in made.reach],
            "warnings": list(map(text, made.warnings)),
            "refusals": list(map(refusal, made.refusals)),
            "compose_lines": list(made.file),
        },
        "done": False,
    }


def outcome(made: Outcome) -> dict[str, object]:
    return {**outage(made.outage), "proof": [asdict(proof) for proof in made.proofs]}


def outage(found: Outage | None) -> dict[str, object]:
    """Null: nothing was stopped, or how long is not known. Not exact: it was at most that long."""
    return {"down_seconds": found.seconds if found else None, "down_exact": found.exact if found else None}


def forwards(found: Iterable[Forward], state: Callable[[Forward], str]) -> dict[str, object]:
    """What netdash published by forward: `phase` is up, waiting, lost (its process died), or over (its time came)."""
    return {"schema": SCHEMA, "published": [_forward(forward, state(forward)) for forward in found]}


def _forward(forward: Forward, state: str) -> dict[str, object]:
    return {
        "id": forward.id,
        "mode": "forward",
        "container": forward.container,
        "container_id": forward.container_id[:12],
        "ports": [asdict(port) for port in forward.ports],
        "target": list(forward.target),
        "phase": state,
        "problem": forward.problem or None,
        "created": forward.created,
        "until": forward.until,
        "keeper_pid": forward.keeper.pid if forward.keeper and state not in ("lost", "over") else None,
    }


def ports_text(forward: Forward) -> str:
    """`0.0.0.0:8080/tcp`, the first and the last of many."""
    return port_list(forward.ports)


def sentence(forward: Forward, state: str) -> str:
    """One line of `netdash published`."""
    port = forward.ports[0].container_port if forward.ports else 0
    if state == "lost":
        state += ": netdash recover"
    elif forward.problem:
        state += f": {forward.problem}"
    where = ", ".join(forward.target) or "?"
    return f"{ports_text(forward)} → {forward.container} ({where}) port {port}, forward, {state}"


def interrupted(found: Pending) -> tuple[str, ...]:
    """What was left unfinished, a sentence each."""
    return (
        *(journal_sentence(journal) for journal in found.interrupted),
        *(sentence(forward, "lost") for forward in found.lost),
        *(unreadable.sentence for unreadable in found.unreadable),
    )


def title(one: Recovery | Damaged) -> str:
    record = one.record
    if isinstance(record, Journal):
        return journal_sentence(record)
    return sentence(record, "lost") if isinstance(record, Forward) else record.sentence


def record_id(record: Recovery | Damaged) -> str:
    return record.record.change.id if isinstance(record.record, Journal) else record.record.id


def recovery_lines(record: Recovery | Damaged) -> tuple[str, ...]:
    """What was left unfinished, what the engine shows of it, and what each way would do."""
    lines = [title(record), f"  id: {record_id(record)}", *(f"  now: {line}" for line in record.now)]
    if isinstance(record, Recovery):
        lines += [f"  finish: {course_text(record.finish)}", f"  roll back: {course_text(record.rollback)}"]
    return tuple(lines)


def course_text(course: Course) -> str:
    return f"refused: {course.refusal}" if course.refusal else "; ".join(course.steps)


def recovery(record: Recovery | Damaged) -> dict[str, object]:
    """`finish`, `rollback`: what would be done, null for a record that cannot be read."""
    ways = (record.finish, record.rollback) if isinstance(record, Recovery) else (None, None)
    finish, rollback = (asdict(way) | {"way": way.way.value} if way else None for way in ways)
    path = record.record.path if isinstance(record, Damaged) else None
    return {
        "id": record_id(record),
        "unreadable": path,
        "now": list(record.now),
        "finish": finish,
        "rollback": rollback,
    }


# --- changes of several steps -----------------------------------------------------------------------------------------


def journal(record: Journal) -> dict[str, object]:
    """`due`: when the old container is removed, and the change cannot be taken back as a whole any more."""
    change = record.change
    return {
        "id": change.id,
        "mode": change.kind,
        "container": change.name,
        "old_container": change.backup or None,
        "ports": [asdict(port) for port in change.add],
        "dropped_ports": [asdict(port) for port in change.drop],
        "interrupted": record.unfinished,
        "steps_done": [change.steps[at] for at in sorted(record.done)],
        "steps_left": [change.steps[at] for at in record.left],
        "created": change.created,
        "due": record.due,
        "downtime": None if change.stop_seconds is None else downtime(change.stop_seconds),
        **outage(record.outage),
    }


def journal_sentence(record: Journal) -> str:
    """One line of `netdash published`, or of `netdash recover`."""
    change = record.change
    what = (
        f"{port_list(change.add)} → {change.name}" if change.add else f"{change.name} without {port_list(change.drop)}"
    )
    kind = "new container" if change.kind == "run" else "made anew"
    if record.unfinished:
        done = len(record.done)
        return f"{what}, {kind}, interrupted after {done} of {len(change.steps)} steps: netdash recover"
    kept = f", {change.backup} is kept meanwhile" if change.backup else ""
    down = f", was down for {outage_text(record.outage)}" if record.outage else ""
    return f"{what}, {kind}{down}, can be taken back{kept}: netdash undo"


def free_port(host: Host, answer: Answer) -> Json:
    """Whether a port is free (null: cannot be told), who has it or is set up to take it, and the next free ones."""
    index = index_of(host)
    return {
        "schema": SCHEMA,
        "port": {"proto": answer.proto, "host_port": answer.number, "free": answer.free},
        "taken_by": [port_entry(index, port) for port in answer.taken_by],
        "taken_by_rules": [rule.place for rule in answer.rules],
        "wanted_by": [port_entry(index, port) for port in answer.wanted_by],
        "next_free": list(answer.offers),
        "unknown": unknown(host, (Source.DOCKER, Source.LISTENERS, Source.RULES, Source.PROXIES)),
    }
