"""What a device, a container or a network receives and sends: cells, and a sparkline of the last readings."""

from __future__ import annotations

from collections.abc import Iterable

from netdash.model.traffic import Rate
from netdash.view.formatting import NOTHING, UNKNOWN, bytes_rate, short_number
from netdash.view.table import Column
from netdash.view.text import Line, Span, Tone

_BARS = "▁▂▃▄▅▆▇█"
_READINGS = 8  # that a sparkline shows

COLUMNS = (
    Column("rx", "RX", right=True, leaves=5, most=10, screen=True, counted=True),
    Column("tx", "TX", right=True, leaves=5, most=10, screen=True, counted=True),
    Column("traffic", "TRAFFIC", leaves=6, most=_READINGS, screen=True, counted=True),
    Column("lost", "LOST", right=True, leaves=6, most=7, screen=True, counted=True),
)
"""Of lists whose things have devices. Received and sent are as the container sees it; LOST is errors and drops of the
device since it was made."""
BLANK = (NOTHING,) * len(COLUMNS)
UNSORTED = (None,) * len(COLUMNS)


def cells(rate: Rate | None) -> tuple[Span, ...]:
    """`rate` None: it has no device."""
    if rate is None:
        return BLANK
    lost = UNKNOWN if rate.lost is None else Span(short_number(rate.lost), Tone.WARN if rate.lost else Tone.DIM)
    return (_cell(rate.rx_bytes), _cell(rate.tx_bytes), _sparkline(rate.history), lost)


def sort(rate: Rate | None) -> tuple[object, ...]:
    return (rate.rx_bytes, rate.tx_bytes, rate.total, rate.lost) if rate is not None else UNSORTED


def _cell(number: float | None) -> Span:
    if number is None:
        return UNKNOWN
    return Span(_text(number), Tone.GOOD if number >= 1 else Tone.DIM)


def _text(number: float) -> str:
    return bytes_rate(number) if number >= 1 else "0 B/s"


def _sparkline(history: Iterable[float | None]) -> Span:
    """By the greatest of the readings that it shows; a dot for one that told nothing."""
    shown = list(history)[-_READINGS:]
    if not shown:
        return UNKNOWN
    most = max((number or 0.0 for number in shown), default=0.0)
    return Span("".join("·" if number is None else _bar(number, most) for number in shown).rjust(_READINGS), Tone.GOOD)


def _bar(number: float, most: float) -> str:
    return _BARS[round((len(_BARS) - 1) * number / most)] if most >= 1 else _BARS[0]


def words(rate: Rate | None) -> Line:
    """↓1.2 MB/s ↑30 kB/s, where it is known and something moves."""
    if rate is None or rate.rx_bytes is None or rate.tx_bytes is None or rate.rx_bytes + rate.tx_bytes < 1:
        return ()
    return (Span(f"↓{_text(rate.rx_bytes)} ↑{_text(rate.tx_bytes)}", Tone.GOOD),)
