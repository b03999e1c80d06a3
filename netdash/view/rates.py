"""What a device, a container or a network receives and sends: cells, and a sparkline of the last readings; and
whether a way of a card is in use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from netdash.model.finding import Direction
from netdash.model.host import Host
from netdash.model.index import index_of, sharing
from netdash.model.kernel_state import Rate, added
from netdash.model.packet import Flow
from netdash.view.formatting import NOTHING, UNKNOWN, bytes_rate, short_number
from netdash.view.table import Column
from netdash.view.text import Line, Span, Tone

if TYPE_CHECKING:
    from netdash.trace.default_questions import Usual

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


def use(host: Host, ways: Sequence[Usual]) -> Line:
    """`3 open, 1.2 MB/s`; nothing where none is open, or that is not known. The rate is there where the kernel counts
    every one of them."""
    found = {flow.key: flow for way in ways for flow in _of_way(host, way)}
    if not found:
        return ()
    rate = added(*(flow.entry.rate for flow in found.values()))
    more = host.flows is None and host.traffic.used is not None and host.traffic.used.more
    carried = f", {bytes_rate(rate)}" if rate is not None and rate >= 1 else ""
    return (Span(f"{len(found)}{'+' if more else ''} open{carried}  ", Tone.GOOD),)


def _of_way(host: Host, way: Usual) -> list[Flow]:
    from netdash.join.flows import connections  # a list that shows no rate needs none of this
    from netdash.kernel.conntrack_entries import is_open

    index = index_of(host)
    about = way.about
    names = (about.container, way.question.container) if about is not None else ()
    mine = next((index.containers[identity] for identity in names if identity in index.containers), None)
    known = connections(host, mine) if mine is not None else None
    return [flow for flow in known or () if is_open(flow.entry) and _takes(host, way, flow)]


def _takes(host: Host, way: Usual, flow: Flow) -> bool:
    """Whether the connection goes this way."""
    from netdash.trace.model import Origin

    asked, port, to = way.question, way.port, flow.asked
    if to.ip is None or to.ip.version != asked.dst.version:
        return False
    if port is not None:
        bound = port.host_ip.is_unspecified or port.host_ip == to.ip
        same = (flow.entry.proto, to.port) == (port.proto, port.host_port)
        ours = flow.client.container is None and flow.client.here is (asked.origin is Origin.HOST)
        return to.here and bound and same and ours
    sender = index_of(host).containers.get(asked.container or "")
    if sender is None or way.about is None or flow.client.container != sharing(host, sender).id:
        return False
    if way.about.direction is Direction.PEERS:
        return (flow.entry.proto, to.ip, to.port) == (asked.proto, asked.dst, asked.dport)
    return way.about.direction is Direction.OUT and flow.server.container is None and not flow.server.here
