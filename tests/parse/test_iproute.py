"""What `ip -j` prints of policy rules."""

from __future__ import annotations

from netdash.kernel.routing import Flow, find
from netdash.model.addresses import address
from netdash.parse.iproute import parse_policy, parse_routes


def test_a_range_of_ports_selects() -> None:
    raw = {"priority": 7, "src": "all", "dport_start": 80, "dport_end": 90, "sport": 5, "table": "9"}
    policy = parse_policy([raw], [])
    assert policy[0].selectors == (("sport", "5"), ("dport", "80-90"))
    routes = parse_routes([{"dst": "default", "dev": "eth9", "table": "9"}], [])
    target = address("192.0.2.1")
    assert target is not None
    asked = [find(Flow(target, proto="tcp", sport=5, dport=port), routes, policy) for port in (79, 80, 90, 91)]
    assert [(one.route is not None, one.unsure) for one in asked] == [(False, ()), (True, ()), (True, ()), (False, ())]
