"""What the checks say of recorded hosts: the causes that no single packet shows, and nothing where all is well."""

from __future__ import annotations

import pytest

from netdash.doctor.checks import not_checked
from tests.doctor.checks.stage import above_info, alarms, of_recording, recorded

HEALTHY = (
    "docker20.10-legacy docker20.10-nft-full docker20.10-swarm docker28.5-nft-full docker28.5-rootless-CHILDNS "
    "docker28.5-rootless-HOSTNS docker28.5-ufw docker29.7-iptables docker29.7-nftables-full podman5.8-nftables "
    "podman5.8-pods"
).split()

CAUSES = {
    "container-paused": ["container-paused"],
    "dnat-missing-proxied": ["dnat-missing-proxied"],
    "dockerd-down-live-restore": ["dockerd-down-live-restore"],
    "duplicate-ip": ["duplicate-ip"],
    "iptables-flush": ["iptables-flush"],
    "nft-incompatible-table": ["nft-incompatible-table"],
    "proxy-dead": ["proxy-dead"],
    "v29-nft-flush-ruleset": ["v29-nft-flush-ruleset"],
}
"""By recording: all that is above info."""

OF_TRACES = (
    "accept-missing app-on-loopback bridge-route-missing container-eth0-down default-route-missing dnat-shadow-foreign "
    "docker-user-host-port firewalld-reject forward-drop-ahead host-ip-changed iface-forward-off ip-forward-off "
    "legacy-nft-mix policy-rule-hijack rp-filter-strict tailscale-exit-node veth-no-master v29-nft-second-table"
).split()
"""Hosts with a fault that a packet shows: the checks have nothing to add above info."""

MEANT = {
    "internal-network": "internal-network",
    "network-none": "network-none",
    "macvlan-host": "macvlan-host",
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_alarming_on_a_healthy_host(name: str) -> None:
    assert above_info(of_recording(name)) == []


@pytest.mark.parametrize("name", OF_TRACES)
def test_a_fault_of_packets_is_no_finding_of_another_kind(name: str) -> None:
    assert above_info(of_recording(name)) == []


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_is_found(name: str) -> None:
    assert above_info(of_recording(name)) == CAUSES[name]
    (finding,) = (one for one in of_recording(name) if one.code == CAUSES[name][0])
    assert finding.evidence
    assert finding.fix


@pytest.mark.parametrize("name", MEANT)
def test_what_is_meant_is_told_without_alarm(name: str) -> None:
    assert above_info(of_recording(name)) == []
    assert MEANT[name] in [one.code for one in of_recording(name)]


def test_every_finding_names_its_evidence_and_commands_are_whole() -> None:
    for name in (*HEALTHY, *CAUSES, *OF_TRACES, *MEANT):
        for finding in of_recording(name):
            assert all(word for fix in finding.fix for word in fix.command), finding.code
            assert all(evidence.source for evidence in finding.evidence), finding.code


@pytest.mark.parametrize("name", ["iptables-flush", "duplicate-ip"])
def test_what_was_not_read_is_not_checked_and_never_alarms(name: str) -> None:
    host = recorded(name, without=("docker/inspect.json", "docker/containers.json", "docker/networks.json"))
    assert alarms(host) == []
    assert {"docker", "networks"} <= not_checked(host).keys()


def test_rules_that_were_not_read_are_not_flushed_ones() -> None:
    host = recorded("iptables-flush", without=("rules/nft.json", "rules/iptables-save.txt", "rules/ip6tables-save.txt"))
    assert alarms(host) == []
    assert "rules" in not_checked(host)
