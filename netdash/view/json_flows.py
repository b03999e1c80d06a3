"""A connection in the JSON of `netdash flows`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netdash.model.flow import Flow, FlowEnd
from netdash.model.host import Host, Rule, TrackedFlow
from netdash.model.index import index_of
from netdash.view.columns_flows import rule_of, sentence

Json = Mapping[str, object]


def entry(host: Host, flow: Flow, rule: Callable[[Rule | None], Json | None]) -> Json:
    """`entry` is the kernel's own; `behind` that of the connection which a userland proxy opened for it."""
    source, proxy = flow.source, flow.proxy
    return {
        "proto": flow.entry.proto,
        "path": sentence(host, flow),
        "client": _end(host, flow.client),
        "asked": _end(host, flow.asked),
        "server": _end(host, flow.server),
        "dnat": flow.translated,
        "source_nat": None if source is None else {"ip": str(source[0]), "port": source[1]},
        "proxy": None if proxy is None else {"pid": proxy.pid, "command": proxy.program},
        "rule": rule(rule_of(host, flow)),
        "trouble": flow.trouble and flow.trouble.value,
        "entry": _tracked(flow.entry),
        "behind": None if flow.behind is None else _tracked(flow.behind),
    }


def _end(host: Host, end: FlowEnd) -> Json:
    return {
        "ip": None if end.ip is None else str(end.ip),
        "port": end.port,
        "container": index_of(host).name(end.container),
        "host": end.here,
    }


def _tracked(entry: TrackedFlow) -> Json:
    directions = {}
    for at, (name, ends) in enumerate((("original", entry.original), ("reply", entry.reply))):
        counted = entry.counts[at] if entry.counts is not None else None
        directions[name] = {
            "src": str(ends.src),
            "sport": ends.sport,
            "dst": str(ends.dst),
            "dport": ends.dport,
            "zone": entry.zones[at],
            "packets": counted and counted.packets,
            "bytes": counted and counted.bytes,
        }
    return {
        **directions,
        "icmp_id": entry.icmp_id,
        "state": entry.state or None,
        "replied": entry.replied,
        "assured": entry.assured,
        "mark": entry.mark,
        "timeout": entry.seconds,
        "age": entry.age,
        "bytes_per_second": entry.rate,
    }
