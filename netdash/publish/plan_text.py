"""The lines of a plan: the same in `--dry-run` and in the dialog. Foreign text in them is still to be cleaned."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.publish.plan import Plan

WORDS = {True: "yes", False: "no", None: "?"}


def lines(plan: Plan) -> tuple[str, ...]:
    """Title, steps, costs, reach, warnings, refusals; a plan that is refused tells no steps."""
    return tuple(_refusal(plan) if plan.refusals else _whole(plan))


def _refusal(plan: Plan) -> Iterator[str]:
    yield plan.title
    yield from (f"refused: {refusal}" for refusal in plan.refusals)
    yield from (f"warning: {warning}" for warning in plan.warnings)


def _whole(plan: Plan) -> Iterator[str]:
    yield plan.title
    yield from (f"  {number}. {step}" for number, step in enumerate(plan.steps, 1))
    yield f"downtime: {plan.downtime}"
    yield f"lost: {'; '.join(plan.lost) or 'nothing'}"
    if plan.client:
        yield f"client address: {plan.client}"
    yield from (f"reached from {one.who}: {WORDS[one.yes]}, {one.why}" for one in plan.reach)
    yield from (f"undo: {one}" for one in plan.undo)
    yield from (f"warning: {warning}" for warning in plan.warnings)
    if plan.file:
        yield "for the compose file:"
        yield from (f"  {one}" for one in plan.file)
