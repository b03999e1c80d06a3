"""The stable JSON of a trace and of the reach matrix."""

from __future__ import annotations

from netdash.change.difference import Difference, Moved
from netdash.model.packet import Packet
from netdash.trace.model import Cell, Decision, End, Exchange, Hop, Matrix, Question, Reply, Step, Trace, Tuple4
from netdash.trace.proof import Item, Proof
from netdash.view.json_host import SCHEMA, Json
from netdash.view.what_if import THIS_HOST, address_of, named


def trace(answer: Trace) -> Json:
    """What a trace says; `then` is a trace of its own, without a schema."""
    return {"schema": SCHEMA, **_trace(answer)}


def proved(answer: Trace, proof: Proof) -> Json:
    """The same, with what the kernel did; `steps` are the kernel's, with the hooks that the packet came to."""
    return {
        **trace(answer),
        "proved": {
            "equal": proof.equal,
            "why": proof.why or None,
            "differs_at": proof.differs_at,
            "predicted": [_item(value) for value, _ in proof.rows if value is not None],
            "steps": [_item(step) for step in proof.steps],
            "invisible": [_step(step) for step in proof.invisible],
        },
    }


def _item(item: Item) -> Json:
    if isinstance(item, Step):
        return _step(item)
    return {"hook": item.hook or None, "packet": None if item.packet is None else _packet(item.packet)}


def reach(matrix: Matrix) -> Json:
    """Told by classes of senders and aims that are treated alike; a member is its place in `senders` or `aims`. `cells`
    by class of senders, then of aims; null where every pair of them is in `alone`, which differ from their classes.
    `reaches` null where it cannot be told; `why` as it is said of the pair `of`."""
    classes = {"senders": matrix.sender_classes, "aims": matrix.aim_classes}
    return {
        "schema": SCHEMA,
        "senders": [
            {"name": sender.name, "from": sender.origin.value, "container": sender.container}
            for sender in matrix.senders
        ],
        "aims": [
            {"kind": aim.kind, "proto": aim.proto, "ip": str(aim.ip), "port": aim.port, "container": aim.container}
            for aim in matrix.aims
        ],
        "classes": {**classes, "cells": [[_cell(cell) for cell in row] for row in matrix.cells]},
        "alone": [{"pairs": single.pairs, **(_cell(single.cell) or {})} for single in matrix.alone],
    }


def difference(found: Difference) -> Json:
    """`from` and `to`: a container's name, `outside` (any address), or `this host`; `by`: what stops it, or did."""
    return {
        "schema": SCHEMA,
        "lost": [_moved(moved) for moved in found.lost],
        "gained": [_moved(moved) for moved in found.gained],
        "unknown": [_moved(moved) for moved in found.unknown],
        "assumed": list(found.assumed),
        "complete": found.complete,
    }


def _moved(moved: Moved) -> Json:
    return {
        "from": named(moved.sender),
        "to": moved.to or THIS_HOST,
        "proto": moved.aim.proto,
        "address": address_of(moved),
        "port": moved.aim.port,
        "by": moved.by,
    }


def _cell(cell: Cell | None) -> Json | None:
    if cell is None:
        return None
    return {"reaches": cell.reach.reaches, "why": cell.reach.why or None, "of": (cell.sender, cell.aim)}


def _trace(answer: Trace) -> dict[str, object]:
    return {
        "question": _question(answer.question),
        "packet": _packet(answer.packet),
        "verdict": answer.verdict.value,
        "arrives": None if answer.verdict.value == "unknown" else answer.verdict.arrives,
        "answered": answer.answered,
        "exchange": _exchange(answer.exchange),
        "decided_by": _decision(answer.decided_by),
        "blockers": [_decision(blocker) for blocker in answer.blockers],
        "steps": [_step(step) for step in answer.steps],
        "hops": [_hop(hop) for hop in answer.hops],
        "translation": _tuple(answer.translation),
        "then": None if answer.then is None else _trace(answer.then),
        "reply": None if answer.reply is None else _reply(answer.reply),
        "unsure": [rule.place for rule in answer.unsure],
        "ends": [_end(end) for end in answer.ends],
        "assumed": list(answer.assumed),
    }


def _exchange(exchange: Exchange) -> Json:
    stuck = exchange.stuck
    return {
        "answered": exchange.answered,
        "why": _decision(exchange.why),
        "packet": exchange.packet or None,
        "stuck": None if stuck is None else _reply(stuck),
    }


def _question(asked: Question) -> Json:
    return {
        "from": asked.origin.value,
        "container": asked.container,
        "src": _text(asked.src),
        "dst": str(asked.dst),
        "proto": asked.proto,
        "sport": asked.sport,
        "dport": asked.dport,
        "iif": asked.iif,
        "mark": asked.mark,
    }


def _packet(packet: Packet) -> Json:
    return {
        "proto": packet.proto,
        "src": _text(packet.src),
        "dst": _text(packet.dst),
        "sport": packet.sport,
        "dport": packet.dport,
    }


def _tuple(four: Tuple4) -> Json:
    return {"src": _text(four.src), "sport": four.sport, "dst": _text(four.dst), "dport": four.dport}


def _step(step: Step) -> Json:
    return {
        "inside": step.inside or None,
        "hook": step.hook,
        "family": step.family,
        "table": step.table,
        "chain": step.chain,
        "backend": step.backend,
        "rule": "policy" if step.rule is None else step.rule,
        "text": step.text,
        "matched": True if step.sure else None,
        "verdict": step.verdict,
        "to": step.to,
        "packets": step.source.packets if step.source else None,
        "packet": _packet(step.packet),
    }


def _hop(hop: Hop) -> Json:
    return {"place": hop.place, "text": hop.text or None, "packet": _packet(hop.packet), "steps": len(hop.steps)}


def _decision(decision: Decision | None) -> Json | None:
    if decision is None:
        return None
    return {"place": decision.place, "text": decision.text, "step": _step(decision.step) if decision.step else None}


def _reply(reply: Reply) -> Json:
    return {
        "verdict": reply.verdict.value,
        "decided_by": _decision(reply.decided_by),
        "steps": [_step(step) for step in reply.steps],
        "hops": [_hop(hop) for hop in reply.hops],
        "unsure": [rule.place for rule in reply.unsure],
    }


def _end(end: End) -> Json:
    return {
        "supposed": [{"what": what, "happens": happens} for what, happens in end.supposed],
        "verdict": end.verdict.value,
        "decided_by": _decision(end.decided_by),
        "translation": _tuple(end.translation),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
