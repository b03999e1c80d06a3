"""Draws hops, paragraphs and heads into lines of a width. Owns the geometry; knows no host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from netdash.model.records import dataclass
from netdash.view.text import Line, Span, Tone, fit, width

ARROW = "─▶ "
_WORD = r"\s*\S+\s?|\s+"
MORE = Span(" " * 7)  # in place of a label, on the lines that go on with what it said
WIDE = 100  # cells from which evidence stands below its hop; under that, beside it


@dataclass(frozen=True, slots=True)
class Hop:
    """One station of a packet: what it is, the evidence for it, and a shorter form for narrow screens. `beyond`: the
    packet does not come so far."""

    top: Line
    under: Line = ()
    brief: Line | None = None  # None: top and then under; empty: not shown there
    beyond: bool = False

    @property
    def arrow(self) -> str:
        return "┄▶ " if self.beyond else ARROW


def size(line: Iterable[Span]) -> int:
    return sum(width(span.text) for span in line)


def crop(line: Line, room: int) -> Line:
    """The line cut with … to at most `room` cells."""
    if size(line) <= room:
        return line
    kept: list[Span] = []
    for span in line:
        have = size(kept)
        if have + width(span.text) >= room:
            cut = fit(span.text + " ", room - have).rstrip()
            kept.append(span.with_text(cut if cut.endswith("…") else f"{cut}…"))
            break
        kept.append(span)
    return tuple(kept)


_ASIDE = r", [^,:;]+,(?= (?:is|are|was|has|drops|refuses|takes)\b)|, which belongs to nobody known| \([^)]*\)"
_ENDS = r"[:;] |,? (?=although |because |before )"
_PAUSES = r", "


def briefest(sentence: str) -> str:
    """Its first clause."""
    brief = re.sub(_ASIDE, "", sentence)
    end = re.search(_ENDS, brief)
    return brief[: end.start()] if end else brief


def shorter(sentence: str, room: int) -> str:
    """The sentence in at most `room` cells: whole clauses as long as they say enough, else cut in its middle, so that
    what it is of and what is wrong with it both stay."""
    if width(sentence) > room:
        sentence = re.sub(_ASIDE, "", sentence)
    if width(sentence) <= room:
        return sentence
    clauses = [end.start() for end in re.finditer(_ENDS, sentence)]
    pauses = [end.start() for end in re.finditer(_PAUSES, sentence) if 2 * end.start() > room]
    for ends in (clauses, pauses):
        fitting = [at for at in ends if width(sentence[:at]) <= room]
        if fitting:
            return sentence[: fitting[-1]]
    return fit(sentence[: min(clauses, default=len(sentence))], max(1, room), middle=True)


def spread(left: Line, right: Line, room: int) -> Line:
    """Both ends of one line; the right one gives way."""
    gap = room - size(left) - size(right)
    if gap < 2:
        return crop((*left, Span("  "), *right), room)
    return (*left, Span(" " * gap), *right)


def path(label: Span, hops: Sequence[Hop], room: int) -> list[Line]:
    """A label and the hops after it, drawn as the packet goes."""
    draw = _below if room >= WIDE else _beside
    return [crop(line, room) for line in _labelled(label, draw(hops, room - width(label.text)))]


def paragraph(label: Span, words: Sequence[Span], room: int) -> list[Line]:
    """A label and spans that flow over as many lines as they need; a span is broken only when it fills a line alone."""
    inner = max(8, room - width(label.text))
    lines: list[list[Span]] = [[]]
    for word in (piece for span in words for piece in _pieces(span, inner)):
        if lines[-1] and size(lines[-1]) + width(word.text.rstrip()) > inner:
            lines.append([])
            word = word.with_text(word.text.lstrip())
        lines[-1].append(word)
    return [crop(line, room) for line in _labelled(label, [_trimmed(line) for line in lines])]


def hanging(lead: Line, words: Iterable[Span], room: int, indent: int) -> list[Line]:
    """Words after a lead, on as many lines as they need; the further ones begin at `indent`."""
    lines: list[list[Span]] = [list(lead)]
    for word in (piece for span in words for piece in _pieces(span, max(8, room - indent))):
        if size(lines[-1]) + width(word.text.rstrip()) > room:
            lines.append([Span(" " * indent)])
            word = word.with_text(word.text.lstrip())
        lines[-1].append(word)
    return [crop(_trimmed(line), room) for line in lines]


def in_words(line: Iterable[Span]) -> Iterator[Span]:
    """The same, parted where it may be broken: behind each blank of what leads nowhere."""
    for span in line:
        if span.ref is not None:
            yield span
        else:
            yield from (span.with_text(word) for word in re.findall(_WORD, span.text))


def text(label: Span, words: str, room: int, tone: Tone = Tone.PLAIN) -> list[Line]:
    """Running text, broken at spaces."""
    return paragraph(label, [Span(f"{word} ", tone) for word in words.split()], room)


def _labelled(label: Span, lines: Iterable[Line]) -> Iterator[Line]:
    lead = label
    for line in lines:
        yield (lead, *line)
        lead = Span(" " * width(label.text))


def _trimmed(line: list[Span]) -> Line:
    return (*line[:-1], line[-1].with_text(line[-1].text.rstrip())) if line else ()


def _pieces(span: Span, room: int) -> Iterator[Span]:
    """The span in pieces of at most `room` cells, broken after a space where there is one."""
    rest: str = span.text
    while width(rest.rstrip()) > room:
        head = fit(rest, room + 1).rstrip().removesuffix("…") or rest[:1]
        space = head.rfind(" ")
        if space > 0:
            head = head[: space + 1]
        yield span.with_text(head)
        rest = rest[len(head) :]
    yield span.with_text(rest)


# --- hops -------------------------------------------------------------------------------------------------------------


def _below(hops: Sequence[Hop], room: int) -> Iterator[Line]:
    """Two lines a row: the way, and the evidence under each hop; a row that is full goes on in the next."""
    row: list[Hop] = []
    used = 0
    for hop in hops:
        cells = _cells(hop)
        if row and used + cells > room:
            yield from _row(row)
            top = (Span(hop.arrow, Tone.HOP), *hop.top)
            row, used = [Hop(top, _indented(hop.under))], cells + len(ARROW)
        else:
            row.append(hop)
            used += cells
        used += len(ARROW) + 1
    yield from _row(row)


def _cells(hop: Hop) -> int:
    return max(size(hop.top), size(hop.under))


def _indented(line: Line) -> Line:
    return (Span(" " * len(ARROW)), *line) if line else ()


def _row(row: Sequence[Hop]) -> Iterator[Line]:
    top: list[Span] = []
    under: list[Span] = []
    for at, hop in enumerate(row):
        cells = _cells(hop)
        top += hop.top
        under += hop.under
        if at + 1 < len(row):
            stroke, head = row[at + 1].arrow[0], row[at + 1].arrow[1:]
            top.append(Span(f" {stroke * (cells - size(hop.top) + 1)}{head}", Tone.HOP))
            under.append(Span(" " * (cells - size(hop.under) + 4)))
    yield tuple(top)
    if any(span.text.strip() for span in under):
        while not under[-1].text.strip():
            under.pop()
        yield tuple(under)


def _beside(hops: Sequence[Hop], room: int) -> Iterator[Line]:
    """One line as long as it fits: the evidence follows its hop."""
    line: list[Span] = []
    for hop in hops:
        block = _brief(hop)
        if not block:
            continue
        arrow = Span(f" {hop.arrow}" if line else "", Tone.HOP)
        if line and size(line) + size(block) + 4 > room:
            yield tuple(line)
            line, arrow = [], Span(hop.arrow, Tone.HOP)
        line += [arrow, *block] if arrow.text else block
    yield tuple(line)


def _brief(hop: Hop) -> Line:
    if hop.brief is not None:
        return hop.brief
    return (*hop.top, Span(" "), *hop.under) if hop.under else hop.top
