"""A trace beside what the kernel did with the packet: two columns, the first line that differs marked."""

from __future__ import annotations

from collections.abc import Iterator

from netdash.model.addresses import socket_text
from netdash.model.host import Host
from netdash.model.packet import Packet
from netdash.trace.model import Step, Trace
from netdash.trace.proof import Arrival, Item, Proof
from netdash.view import layout
from netdash.view.text import Line, Span, Tone, clean, fit, width
from netdash.view.trace import action, head, verdict, whole_place

_MARK = 3  # cells before the columns
_BETWEEN = Span(" │ ", Tone.DIM)
_Words = tuple[str, str]
"""A place, and what becomes of the packet there."""


def lines(host: Host, answer: Trace, proof: Proof, room: int) -> Iterator[Line]:
    yield layout.crop(head(host, answer), room)
    yield layout.crop((Span("predicted: ", Tone.DIM), *verdict(answer)), room)
    yield from layout.paragraph(Span(""), [_result(proof)], room)
    yield ()
    ours = [_words(item, before) for item, before in _with_packets([one for one, _ in proof.rows])]
    theirs = [_words(item, before) for item, before in _with_packets([other for _, other in proof.rows])]
    wanted = max((width("".join(words)) for words in (*ours, *theirs)), default=0)
    cells = max(12, min((room - _MARK - width(_BETWEEN.text)) // 2, wanted))
    yield _row(Span("   "), ("PREDICTED", ""), ("KERNEL", ""), cells, Tone.TITLE)
    for at, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        differs = at == proof.differs_at
        mark = Span(" ✗ ", Tone.BAD) if differs else Span("   ")
        yield _row(mark, one, other, cells, Tone.BAD if differs else Tone.PLAIN)
    if proof.invisible:
        yield ()
        count = len(proof.invisible)
        rules = "rule or policy" if count == 1 else "rules and policies"
        text = f"{count} {rules} of iptables-legacy, which the kernel's trace does not show, are not compared"
        yield from layout.text(Span(" note  ", Tone.DIM), text, room, Tone.DIM)


def _result(proof: Proof) -> Span:
    if proof.equal is None:
        return Span(f"? not proved: {clean(proof.why, 200)}", Tone.UNKNOWN)
    if not proof.equal:
        return Span("✗ the kernel does otherwise", Tone.BAD)
    steps = sum(isinstance(item, Step) for item in proof.steps)
    hooks = sum(isinstance(item, Arrival) and bool(item.hook) for item in proof.steps)
    words = f"{steps} {'rule or policy' if steps == 1 else 'rules and policies'} at {hooks} hook{'s' * (hooks != 1)}"
    return Span(f"✓ the kernel does the same: {words}", Tone.GOOD)


def _row(mark: Span, one: _Words, other: _Words, cells: int, tone: Tone) -> Line:
    return (mark, Span(_fit(*one, cells), tone), _BETWEEN, Span(_fit(*other, cells).rstrip(), tone))


def _fit(place: str, does: str, cells: int) -> str:
    """Where there is little room, of a long chain's name the middle goes, and what the rule does stays."""
    least = min(width(place), cells // 2)
    return fit(fit(place, max(least, min(width(place), cells - width(does))), middle=True) + does, cells)


def _with_packets(items: list[Item | None]) -> Iterator[tuple[Item | None, Packet | None]]:
    """Each with the packet as it came to the hook before."""
    before: Packet | None = None
    for item in items:
        yield item, before
        if isinstance(item, Arrival):
            before = item.packet or before


def _words(item: Item | None, before: Packet | None) -> _Words:
    if item is None:
        return "", ""
    if isinstance(item, Step):
        return f"  {whole_place(item)}", f"  {action(item).text}"
    packet = item.packet
    changed = []
    if packet is not None and (before is None or (before.dst, before.dport) != (packet.dst, packet.dport)):
        changed.append(f"to {socket_text(packet.dst, packet.dport)}")
    if packet is not None and (before is None or (before.src, before.sport) != (packet.src, packet.sport)):
        changed.append(f"from {socket_text(packet.src, packet.sport)}")
    return item.hook or "passed", "".join(f"  {change}" for change in changed)
