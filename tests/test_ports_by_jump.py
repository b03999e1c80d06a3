"""Ports of the host that rules take through chains: the jump names the port, the DNAT rule behind it does not."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from netdash.core.publish.conflict import conflicts
from netdash.show.free import look
from tests.trace_hosts import host, table

NODE_PORT = table(
    "nat",
    "-A PREROUTING -j KUBE-SERVICES",
    "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    "-A KUBE-SERVICES -d 10.43.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC",
    "-A KUBE-NODEPORTS -p tcp -m tcp --dport 30443 -j KUBE-EXT",
    "-A KUBE-EXT -j KUBE-SVC",
    "-A KUBE-SVC -p tcp -m tcp -j DNAT --to-destination 10.42.0.9:9443",
    "-A PREROUTING -p tcp -m multiport --dports 80,81 -j CNI-DN",
    "-A CNI-DN -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.42.0.9:81",
)


@pytest.mark.parametrize(("port", "free"), [(30443, False), (81, False), (443, True), (9443, True), (30444, True)])
def test_a_port_that_a_jump_leads_to_a_translation_is_not_free(port: int, free: bool) -> None:
    found = look(host(NODE_PORT), "tcp", port)
    assert found.free is free
    assert len(found.taken_by) == (0 if free else 1)


def test_publishing_refuses_it() -> None:
    assert conflicts(host(NODE_PORT), "tcp", IPv4Address(0), 30443)
