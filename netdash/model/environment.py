"""Environment variables of containers: which names may be kept. No value is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_PROXIES = frozenset(("http_proxy", "https_proxy", "ftp_proxy", "all_proxy"))


def proxy_variables(environment: Iterable[object]) -> Iterator[str]:
    """The names of those that send a program's requests to a proxy; `NAME=VALUE` or `NAME` each."""
    for one in environment:
        name = one.partition("=")[0] if isinstance(one, str) else ""
        if name.lower() in _PROXIES:
            yield name
