"""What was read inside a container's network namespace beside its listeners: addresses, routes, sysctls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from netdash.core.model import Inside
from netdash.core.parse.decode import decoded

T = TypeVar("T")


def parse_inside(answers: Mapping[str, object]) -> Inside | None:
    """`answers` by file name of the bundle; None when none of them was read. What is malformed counts as not read.
    Loads the parsers only for a container of which something was read: the screen shows containers before."""
    addresses, routes, sysctls = (answers.get(name) for name in ("addr.json", "route.json", "sysctl.txt"))
    sockets = answers.get("proc-net.txt")
    if addresses is None and routes is None and sysctls is None and sockets is None:
        return None
    from netdash.core.parse.ip import parse_links, parse_routes
    from netdash.core.parse.proc import parse_proc_routes, parse_sysctls

    found = _parsed(lambda answer: parse_routes(answer, None), routes)
    if found is None and isinstance(sockets, str):
        found = parse_proc_routes(sockets)
    links = _parsed(lambda answer: parse_links(None, answer), addresses)
    pairs = tuple(parse_sysctls(sysctls).items()) if isinstance(sysctls, str) else ()
    return None if links is None and found is None and not pairs else Inside(links, found, pairs)


def _parsed(parse: Callable[[object], T], answer: object) -> T | None:
    try:
        return None if answer is None else parse(decoded(answer))
    except ValueError:
        return None
