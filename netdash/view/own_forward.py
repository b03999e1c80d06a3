"""What is said of a port that netdash itself forwards: whose it is, until when, and how to end it. Pure."""

from __future__ import annotations

from datetime import datetime

from netdash.model.host import Host, Port, Proxy
from netdash.model.index import index_of
from netdash.publish.state import Forward
from netdash.view import layout
from netdash.view.text import Line, Span, Tone, clean

LABEL = Span(f" {'OWN':<9}", Tone.TITLE)
_BELOW = Span(" " * 10)


def is_own(port: Port) -> bool:
    return port.holder is not None and port.holder.kind == "netdash"


def port_of(host: Host, thing: object) -> Port | None:
    """A port itself, or the one that a proxy serves."""
    if isinstance(thing, Proxy):
        return next((port for port in host.ports or () if port.proxy is thing), None)
    return thing if isinstance(thing, Port) else None


def lines(host: Host, port: Port | None, wide: int) -> list[Line]:
    """Nothing for a port that another holds."""
    if port is None or not is_own(port):
        return []
    name = index_of(host).name(port.container_id) or "CONTAINER"
    suffix = "" if port.proto == "tcp" else f"/{port.proto}"
    said = (
        f"netdash's own forward, of which the engine knows nothing; netdash unpublish {name} {port.host_port}{suffix}"
    )
    return layout.text(LABEL, clean(f"{said} ends it"), wide)


def until(record: Forward, now: float | None, wide: int) -> list[Line]:
    """The end that it was given, on the clock; of today only the time."""
    if record.until is None:
        said = "it lasts until it is ended, the container is removed, or the machine starts anew"
    else:
        end = datetime.fromtimestamp(record.until)
        same = now is not None and datetime.fromtimestamp(now).date() == end.date()
        said = f"it ends by itself at {end.strftime('%H:%M:%S' if same else '%Y-%m-%d %H:%M:%S')}"
    return layout.text(_BELOW, said, wide, Tone.DIM)
