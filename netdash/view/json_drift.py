"""The JSON of one difference between the rules that should be there and those that are."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.drift import Drift
from netdash.model.host import Binding
from netdash.model.index import Index

Json = Mapping[str, object]


def drift_entry(index: Index, one: Drift, rule: Json | None) -> Json:
    """`rule`: the entry of the live one; of a missing one there is the place and the text that it should have."""
    network = index.networks.get(one.network_id or "")
    return {
        "kind": one.kind.value,
        "rule": rule or _unwritten(one),
        "container": index.name(one.container_id),
        "port": None if one.binding is None else _binding(one.binding),
        "network": network.name if network else None,
        "why": one.why,
    }


def _unwritten(one: Drift) -> Json:
    return {
        "family": one.family,
        "table": one.table,
        "chain": one.chain,
        "rule": None,
        "text": one.text,
        "packets": None,
        "bytes": None,
        "backend": one.backend,
        "not_understood": [],
    }


def _binding(one: Binding) -> Json:
    return {
        "proto": one.proto,
        "host_ip": None if one.host_ip is None else str(one.host_ip),
        "host_port": one.host_port,
        "container_port": one.container_port,
    }
