"""/etc/resolv.conf and /etc/hosts of a container -> whom it asks for names, and the names that it knows."""

from __future__ import annotations

import re

from netdash.model.addresses import address
from netdash.model.host import IP, Resolver

_NOTED = re.compile(r"^#\s*ExtServers:\s*\[([^]]*)\]", re.MULTILINE)
_FROM_HOST = re.compile(r"^host\((.*)\)$")


def parse_resolver(text: str) -> Resolver:
    """Docker 25 and later note in a comment whom their own resolver asks: `# ExtServers: [host(8.8.8.8) 1.1.1.1]`."""
    servers = [words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"] and words[1:]]
    noted = _NOTED.search(text)
    upstreams, from_host = _upstreams(noted[1]) if noted else (None, frozenset())
    return Resolver(tuple(ip for server in servers if (ip := address(server))), upstreams, from_host)


def _upstreams(words: str) -> tuple[tuple[IP, ...], frozenset[IP]]:
    found, from_host = [], []
    for word in words.split():
        by_host = _FROM_HOST.match(word)
        ip = address(by_host[1] if by_host else word)
        if ip is not None:
            found.append(ip)
            from_host += [ip] if by_host else []
    return tuple(found), frozenset(from_host)


def parse_names(text: str) -> tuple[tuple[IP, str], ...]:
    """`ADDRESS NAME …` a line."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return tuple((ip, name) for words in lines if words and (ip := address(words[0])) for name in words[1:])
