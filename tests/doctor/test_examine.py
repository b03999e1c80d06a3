"""The first finding of each recorded host that has one thing broken, and silence on those that have nothing broken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.bundle.storage import load
from netdash.change.apply import apply
from netdash.change.model import ChainChange, ChainEdit, ChainPlace
from netdash.doctor import prove
from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.finding import Mark, Severity
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.trace.model import Question, Trace
from netdash.trace.summary import answer
from tests.bench.many import many
from tests.conftest import bundle, health

FIRST = {
    "accept-missing": ("accept-missing", "docker restart web"),
    "app-on-loopback": ("app-on-loopback", ""),
    "bridge-route-missing": ("bridge-route-missing", "ip route add 172.17.0.0/16 dev docker0 src 172.17.0.1"),
    "container-eth0-down": ("container-eth0-down", "docker restart web"),
    "container-paused": ("container-paused", "docker unpause web"),
    "default-route-missing": ("default-route-missing", ""),
    "dnat-shadow-foreign": ("dnat-shadow-foreign", "iptables -t nat -D PREROUTING -p tcp -m tcp --dport 8080 -j DNAT"),
    "docker-user-host-port": ("docker-user-host-port", "iptables -R DOCKER-USER 1 -p tcp"),
    "firewalld-reject": ("firewalld-reject", "firewall-cmd --permanent --zone=docker --add-interface=docker0"),
    "forward-drop-ahead": ("forward-drop-ahead", "iptables -D FORWARD -j DROP"),
    "host-ip-changed": ("host-ip-changed", ""),
    "iface-forward-off": ("iface-forward-off", "sysctl -w net.ipv4.conf.docker0.forwarding=1"),
    "ip-forward-off": ("ip-forward-off", "sysctl -w net.ipv4.ip_forward=1"),
    "iptables-flush": ("iptables-flush", "systemctl restart docker"),
    "legacy-nft-mix": ("legacy-nft-mix", "iptables-legacy -P FORWARD ACCEPT"),
    "multi-network-wrong-gateway": ("multi-network-wrong-gateway", "nsenter -t"),
    "policy-rule-hijack": ("policy-rule-hijack", "ip rule del pref 5270"),
    "proxy-dead": ("proxy-dead", "docker restart web"),
    "rp-filter-strict": ("rp-filter-strict", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
    "tailscale-exit-node": ("tailscale-exit-node", "ip rule add pref 5269 to 172.17.0.0/16 lookup main"),
    "v29-nft-flush-ruleset": ("v29-nft-flush-ruleset", "systemctl restart docker"),
    "v29-nft-second-table": ("v29-nft-second-table", "nft insert rule inet filter forward iifname docker0 accept"),
    "veth-no-master": ("veth-no-master", "ip link set veth4841bfa master docker0"),
}
"""By recording: the code, and how the first command of its fix begins."""

HEALTHY = (
    "docker20.10-legacy",
    "docker20.10-nft-full",
    "docker20.10-swarm",
    "docker28.5-nft-full",
    "docker28.5-rootless-CHILDNS",
    "docker28.5-rootless-HOSTNS",
    "docker28.5-ufw",
    "docker29.7-iptables",
    "docker29.7-nftables-full",
    "podman5.8-nftables",
    "podman5.8-pods",
    "v29-routed-no-return",
)


def _host(name: str) -> Host:
    return Builder().build(load(bundle(name)))


@pytest.mark.parametrize("name", FIRST)
def test_the_first_finding_is_the_cause_and_its_fix_names_the_thing(name: str) -> None:
    first = health(name).findings[0]
    code, fix = FIRST[name]
    assert first.code == code
    assert (" ".join(first.fix[0].command) if first.fix else "").startswith(fix)
    assert first.evidence


@pytest.mark.parametrize("name", FIRST)
def test_one_cause_is_one_finding(name: str) -> None:
    alarms = [one.code for one in health(name).findings if one.severity < Severity.INFO]
    assert len(alarms) == 1


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_host_raises_no_alarm(name: str) -> None:
    assert [one for one in health(name).findings if one.severity < Severity.INFO] == []


PROVED = (
    "bridge-route-missing",
    "dnat-shadow-foreign",
    "docker-user-host-port",
    "firewalld-reject",
    "forward-drop-ahead",
    "iface-forward-off",
    "ip-forward-off",
    "iptables-flush",
    "legacy-nft-mix",
    "multi-network-wrong-gateway",
    "policy-rule-hijack",
    "rp-filter-strict",
    "v29-nft-flush-ruleset",
    "v29-nft-second-table",
    "veth-no-master",
)


@pytest.mark.parametrize("name", PROVED)
def test_the_fix_mends_on_the_model_and_opens_nothing_else(name: str) -> None:
    first = health(name).findings[0]
    assert first.proved is True
    assert first.also_opens == ()


def test_a_fix_says_what_else_it_opens() -> None:
    """A firewall that lets nobody reach this host's own services: a rule for the bridge lets containers do so."""
    host = _host("su1")
    chain = ChainPlace("ip", "filter", "IN_public_allow", "iptables-legacy")
    closed = apply(host, [ChainChange(chain, ChainEdit.FLUSH)])
    first = examine(closed).findings[0]
    assert first.code == "input-drop-container-to-host"
    assert first.proved is True
    assert first.also_opens == ("22/tcp of this host to trusting_shtern",)


@pytest.mark.parametrize("name", ["podman5.8-nftables", "podman5.8-pods"])
def test_a_podman_host_whose_rules_are_flushed(name: str) -> None:
    """conmon listens on the published ports, and answers nobody."""
    recording = load(bundle(name))
    empty = {"nftables": [{"metainfo": {"version": "1.1.3", "json_schema_version": 1}}]}
    host = Builder().build(replace(recording, answers={**recording.answers, "rules/nft.json": empty}))
    findings = examine(host).findings
    assert (findings[0].code, findings[0].severity) == ("dnat-missing", Severity.CRITICAL)
    assert findings[0].fix[0].command == ("podman", "network", "reload", "--all")
    assert not {"docker", "systemctl"} & {fix.command[0] for one in findings for fix in one.fix}


def test_of_questions_that_fare_alike_one_is_asked_before_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []

    def counted(host: Host, question: Question) -> Trace:
        asked.append(question)
        return answer(host, question)

    monkeypatch.setattr(prove, "answer", counted)
    findings = examine(Builder().build(many(160))).findings
    assert any(finding.proved for finding in findings)
    assert 0 < len(set(asked)) < 20  # of 160


def test_a_container_in_the_network_of_another_has_its_ways() -> None:
    host = Builder().build(load(bundle("docker28.5-nft-full")))
    health = examine(host)
    owner, guest = (find_container(host, name).id for name in ("c1", "c-share"))
    assert health.standings[guest] == health.standings[owner]
    assert health.standings[guest].outwards is Mark.OK
