"""Causes that no container's packet shows, because none runs or was read. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdash.doctor.candidate import Candidate
from netdash.doctor.fixes import both, by_hand, sysctl
from netdash.drift.expected.mode import NATIVE_TABLE
from netdash.model.finding import Direction, Evidence, Finding, Hit, Lasts, Severity
from netdash.model.host import Host

_FORWARD = "net.ipv4.ip_forward"
_DOCKERS = re.compile(r"docker0|br-[0-9a-f]{12}")


def candidates(host: Host) -> Iterator[Candidate]:
    """Docker with nftables does not start while forwarding is off, and no container of any engine gets out."""
    if any(one.running for one in host.containers or ()) or (host.sysctls or {}).get(_FORWARD) != "0":
        return
    rules = host.ruleset
    tables = {chain.table for chain in rules.chains} | {table.name for table in rules.tables} if rules else set()
    native = NATIVE_TABLE in tables
    if not native and not any(link.kind == "bridge" and _DOCKERS.fullmatch(link.name) for link in host.links or ()):
        return
    more = "; Docker with nftables does not turn it on, and does not start without it" if native else ""
    start = by_hand(("systemctl", "start", "docker"), "starts the engine, where it does not run", (Lasts.BOOT,))
    fixes, changes = both(sysctl(_FORWARD, "1", "this host forwards again"), start)
    found = Finding(
        "v29-nft-ip-forward-off" if native else "ip-forward-off",
        Severity.CRITICAL,
        f"{_FORWARD} is 0: this host forwards nothing, and no container will reach others{more}",
        (Hit(None, Direction.IN), Hit(None, Direction.OUT)),
        (Evidence(f"sysctl {_FORWARD}", "0"),),
        fixes,
    )
    yield Candidate(found, changes, again=candidates)
