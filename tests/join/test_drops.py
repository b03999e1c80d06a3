"""What loses packets: which counters are listed, how fast they move, and what is unknown of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from netdash.bundle.recording import Recording
from netdash.doctor.examine import examine
from netdash.join.drops import drops, finding_of, leads_to, networks_of
from netdash.join.host import Builder
from netdash.kernel.lost_packets import LOST
from netdash.model.finding import Evidence, Finding, Health, Severity, keep_health
from netdash.model.host import Chain, Host, Ref
from netdash.model.kernel_state import Drop, DropKind
from netdash.model.relations import ref_of
from netdash.model.source import COUNTING
from netdash.view import json_host
from netdash.view.columns_kernel import what
from netdash.view.views import BY_NAME
from tests.parse.test_counters import CONNTRACK, LINKS, NSTAT, SOFTNET, TOOL

READ = {
    "host/nstat.txt": NSTAT,
    "host/nf_conntrack.txt": CONNTRACK,
    "host/softnet.txt": SOFTNET,
    "ip/link-stats.json": LINKS,
}
SAVE = """*filter
:INPUT ACCEPT [100:9000]
:FORWARD DROP [{policy}:90]
:DOCKER-USER - [0:0]
[{packets}:60] -A FORWARD -j DOCKER-USER
[{packets}:60] -A DOCKER-USER -d 172.17.0.0/16 -j DROP
[0:0] -A DOCKER-USER -s 192.0.2.0/24 -j REJECT
COMMIT
"""
NFT = (
    '{{"nftables": [{{"table": {{"family": "inet", "name": "own", "handle": 1}}}}, {{"chain": {{"family": "inet",'
    ' "table": "own", "name": "in", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}}},'
    "{rules}]}}"
)
ONE = '{{"rule": {{"family": "inet", "table": "own", "chain": "in", "handle": {at}, "expr": [{statements}]}}}}'
PORT = '{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 9}}'
COUNTER, NAMED, VERDICT = '{{"counter": {{"packets": {n}, "bytes": 1}}}}', '{"counter": "mine"}', '{"drop": null}'
LOG, LIMIT = '{"log": {"prefix": "counter drop "}}', '{"limit": {"rate": 5, "per": "second"}}'


def save(packets: int, policy: int = 0) -> str:
    return SAVE.format(packets=packets, policy=policy)


def nft(*rules: tuple[str, ...]) -> str:
    return NFT.format(rules=", ".join(ONE.format(at=at, statements=", ".join(one)) for at, one in enumerate(rules, 2)))


def counter(number: int) -> str:
    return COUNTER.format(n=number)


def read(builder: Builder, answers: Mapping[str, object], taken: float = 0.0, live: bool = True) -> Host:
    return builder.build(Recording(answers=answers, taken=taken, live=live))


def of(host: Host, name: str, device: str = "") -> Drop:
    return next(drop for drop in drops(host) if (drop.name, drop.device) == (name, device))


def rule(host: Host, number: int = 0) -> Drop:
    return [drop for drop in drops(host) if drop.kind is DropKind.RULE][number]


def test_only_what_means_a_lost_packet_and_is_not_zero_is_listed() -> None:
    host = read(Builder(), {**READ, "rules/iptables-save.txt": save(7, 3)})
    found = {(drop.kind, drop.device, drop.name): drop.count for drop in drops(host) if drop.place is None}
    assert found == {
        (DropKind.ROUTING, "", "TcpExtIPReversePathFilter"): 2,
        (DropKind.ROUTING, "", "IpOutNoRoutes"): 3,
        (DropKind.CONNTRACK, "", "insert_failed"): 4,
        (DropKind.CONNTRACK, "", "drop"): 11,
        (DropKind.LINK, "eth0", "rx_errors"): 1,
        (DropKind.LINK, "eth0", "rx_dropped"): 2,
        (DropKind.LINK, "eth0", "rx_missed"): 3,
        (DropKind.LINK, "eth0", "tx_dropped"): 5,
        (DropKind.SOFTNET, "", "softnet_dropped"): 17,
        (DropKind.SOFTNET, "", "softnet_flow_limit"): 2,
    }
    places = [(drop.kind, drop.count) for drop in drops(host) if drop.place is not None]
    assert places == [(DropKind.RULE, 7), (DropKind.POLICY, 3)]


def test_no_name_stands_for_two_counters() -> None:
    assert all(name.isascii() and meaning for name, (_, meaning) in LOST.items())


def test_two_readings_tell_how_fast_a_counter_moves_and_what_moves_comes_first() -> None:
    builder = Builder()
    first = read(builder, {**READ, "rules/iptables-save.txt": save(7, 3)}, 100.0)
    assert {drop.rate for drop in drops(first)} == {None}
    more = NSTAT.replace("IpOutNoRoutes                   3", "IpOutNoRoutes                   9")
    text = save(27, 4)
    second = read(builder, {**READ, "host/nstat.txt": more, "rules/iptables-save.txt": text}, 102.0)
    assert (of(second, "IpOutNoRoutes").rate, rule(second).rate) == (3.0, 10.0)
    policy = next(drop for drop in drops(second) if drop.kind is DropKind.POLICY)
    assert (policy.count, policy.rate) == (4, 0.5)
    assert [drop.moving for drop in drops(second)][:4] == [True, True, True, False]


def test_what_goes_back_has_no_rate_and_is_never_negative() -> None:
    builder = Builder()
    read(builder, {**READ, "rules/iptables-save.txt": save(7, 3)}, 100.0)
    less = NSTAT.replace("IpOutNoRoutes                   3", "IpOutNoRoutes                   1")
    host = read(builder, {**READ, "host/nstat.txt": less, "rules/iptables-save.txt": save(2, 1)}, 102.0)
    assert of(host, "IpOutNoRoutes").rate is None
    assert {drop.rate for drop in drops(host) if drop.place is not None} == {None}
    again = less.replace("IpOutNoRoutes                   1", "IpOutNoRoutes                   2")
    assert of(read(builder, {**READ, "host/nstat.txt": again}, 104.0), "IpOutNoRoutes").rate == 0.5


def test_an_answer_that_was_not_asked_again_keeps_its_rates_and_one_that_says_the_same_stands_still() -> None:
    builder = Builder()
    read(builder, {"host/nstat.txt": NSTAT.replace("                   3  ", "                   1  ")}, 100.0)
    host = read(builder, {"host/nstat.txt": NSTAT}, 102.0)
    assert of(host, "IpOutNoRoutes").rate == 1.0
    assert of(read(builder, {"host/nstat.txt": NSTAT}, 103.0), "IpOutNoRoutes").rate == 1.0
    equal = "".join(NSTAT.partition("\n"))
    assert equal is not NSTAT
    assert of(read(builder, {"host/nstat.txt": equal}, 104.0), "IpOutNoRoutes").rate == 0.0


def test_a_counter_of_nft_that_stands_still_loses_its_rate() -> None:
    builder = Builder()
    for taken, count, expected in ((100.0, 1, None), (105.0, 11, 2.0), (110.0, 11, 0.0)):
        host = read(builder, {"rules/nft.json": nft((PORT, counter(count), VERDICT))}, taken)
        assert rule(host).rate == expected
    assert "rules/nft.json" in COUNTING


def test_what_nft_does_not_count_is_said() -> None:
    rules = (
        (PORT, VERDICT),
        (PORT, NAMED, VERDICT),
        (counter(5), PORT, VERDICT),
        (PORT, counter(5), LIMIT, VERDICT),
        (PORT, counter(5), LOG, VERDICT),
    )
    host = read(Builder(), {"rules/nft.json": nft(*rules)})
    found = {drop.place.position: drop for drop in drops(host) if drop.kind is DropKind.RULE}  # type: ignore[union-attr]
    assert [found[at].count for at in range(1, 6)] == [None, None, None, None, 5]
    assert found[3].why == "its counter counts more than what it drops"
    policy = next(drop for drop in drops(host) if drop.kind is DropKind.POLICY)
    assert (policy.count, policy.why) == (None, "nft counts nothing for a policy")


def test_a_counter_ahead_of_the_condition_is_not_taken_from_iptables_save_either() -> None:
    chain = '{"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter",'
    chain += ' "hook": "forward", "prio": 0, "policy": "accept"}}'
    source = '{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "192.0.2.1"}}'
    statements = ", ".join((counter(50), source, VERDICT))
    one = f'{{"rule": {{"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 2, "expr": [{statements}]}}}}'
    listed = "*filter\n:FORWARD ACCEPT [0:0]\n[50:1] -A FORWARD -s 192.0.2.1/32 -j DROP\nCOMMIT\n"
    host = read(Builder(), {"rules/nft.json": f'{{"nftables": [{chain}, {one}]}}', "rules/iptables-save.txt": listed})
    assert (rule(host).count, rule(host).why) == (None, "its counter counts more than what it drops")


def test_a_policy_of_iptables_nft_at_zero_may_have_no_counter() -> None:
    host = read(Builder(), {"rules/iptables-save.txt": save(7)})
    policy = next(drop for drop in drops(host) if drop.kind is DropKind.POLICY)
    assert (policy.count, policy.why) == (None, "0, or it has no counter")
    legacy = read(Builder(), {"rules/iptables-legacy-save.txt": save(7)})
    assert not [drop for drop in drops(legacy) if drop.kind is DropKind.POLICY]


def test_what_could_not_be_read_is_a_row_and_never_zero() -> None:
    host = read(Builder(), {"host/nstat.txt": NSTAT, "host/softnet.txt": "0000\n"})
    unread = {drop.name: drop for drop in drops(host) if drop.kind is DropKind.UNREAD}
    assert set(unread) == {"rules", "nf_conntrack", "link-stats", "softnet"}
    assert all(drop.count is None and drop.why for drop in unread.values())
    assert unread["softnet"].why.startswith("not understood")
    assert unread["nf_conntrack"].why == "the kernel's module nf_conntrack is not loaded"
    recorded = read(Builder(), {"host/nstat.txt": NSTAT}, live=False)
    assert {drop.why for drop in drops(recorded) if drop.kind is DropKind.UNREAD} == {"not read"}


def test_the_tool_tells_of_conntrack_where_the_file_was_not_read() -> None:
    answers = {"host/nstat.txt": NSTAT, "host/conntrack-stats.txt": TOOL}
    assert of(read(Builder(), answers), "insert_failed").count == 3
    assert of(read(Builder(), {**answers, "host/nf_conntrack.txt": CONNTRACK}), "insert_failed").count == 4


@pytest.fixture
def fleet_host() -> Host:
    from tests.support.show_hosts import host

    builder = Builder()
    given = read(builder, {**READ, "rules/iptables-save.txt": save(7)})
    return replace(host(), ruleset=given.ruleset, counters=given.counters)


def test_a_drop_leads_to_its_rule_and_names_the_networks_of_its_subnets(fleet_host: Host) -> None:
    drop = rule(fleet_host)
    assert drop.place is not None
    assert leads_to(fleet_host, drop) == ref_of(drop.place)
    assert [network.name for network in networks_of(fleet_host, drop)] == ["bridge"]
    assert leads_to(fleet_host, of(fleet_host, "rx_dropped", "eth0")) == Ref("link", "eth0")
    assert leads_to(fleet_host, of(fleet_host, "IpOutNoRoutes")) is None
    assert networks_of(fleet_host, of(fleet_host, "IpOutNoRoutes")) == []


def test_a_drop_has_the_finding_whose_evidence_it_is(fleet_host: Host) -> None:
    drop = rule(fleet_host)
    assert finding_of(fleet_host, drop) is None
    assert drop.place is not None
    seen = Finding("dropped", Severity.HIGH, "it drops", evidence=(Evidence("rule", "-j DROP", ref_of(drop.place)),))
    full = Finding("conntrack-full", Severity.CRITICAL, "it is full")
    keep_health(fleet_host, Health((full, seen), {}))
    assert finding_of(fleet_host, drop) is seen
    assert finding_of(fleet_host, of(fleet_host, "drop")) is full
    assert finding_of(fleet_host, of(fleet_host, "IpOutNoRoutes")) is None


@pytest.mark.parametrize(
    ("name", "lines", "drop", "code"),
    [
        ("ip-forward-off", "IpInAddrErrors 18 0.0\n", "IpInAddrErrors", "ip-forward-off"),
        ("iface-forward-off", "IpInAddrErrors 11 0.0\n", "IpInAddrErrors", "iface-forward-off"),
        ("accept-missing", "", "", "accept-missing"),
        ("iptables-flush", "", "", "iptables-flush"),
    ],
)
def test_what_drops_names_the_finding_of_a_recorded_fault(
    recording: Callable[[str], Recording], name: str, lines: str, drop: str, code: str
) -> None:
    base = recording(name)
    host = Builder().build(replace(base, answers={**base.answers, "host/nstat.txt": f"#kernel\n{lines}"}))
    keep_health(host, examine(host))
    lost = next(one for one in drops(host) if one.name == drop and one.kind is not DropKind.UNREAD and one.count)
    finding = finding_of(host, lost)
    assert finding is not None
    assert finding.code == code


def test_a_policy_that_drops_what_is_for_this_host_has_its_finding(recording: Callable[[str], Recording]) -> None:
    base = recording("accept-missing")
    nft, text = (str(base.answers[f"rules/{name}"]) for name in ("nft.json", "iptables-save.txt"))
    forward = re.search(r'\{"chain": ?\{[^{}]*"name": ?"FORWARD"[^{}]*\}\}', nft)
    assert forward is not None
    chain = forward[0].replace('"FORWARD"', '"INPUT"').replace('"forward"', '"input"')
    answers = {
        **base.answers,
        "rules/nft.json": nft.replace(forward[0], f"{chain}, {forward[0]}"),
        "rules/iptables-save.txt": text.replace(":INPUT ACCEPT [0:0]", ":INPUT DROP [4:240]", 1),
    }
    host = Builder().build(replace(base, answers=answers))
    keep_health(host, examine(host))
    lost = next(one for one in drops(host) if isinstance(one.place, Chain) and one.place.name == "INPUT")
    finding = finding_of(host, lost)
    assert finding is not None
    assert (lost.count, finding.code) == (4, "input-drop-v6"), "docker-proxy gets no answer from its container"


def test_what_docker_keeps_apart_is_named_and_explained(recording: Callable[[str], Recording]) -> None:
    """By a finding too, of which not all rules are evidence."""
    base = recording("docker28.5-nft-full")
    save = str(base.answers["rules/iptables-save.txt"])
    counted = re.sub(r"\[\d+:\d+\] (-A DOCKER-ISOLATION.* DROP)", r"[7:420] \1", save)
    host = Builder().build(replace(base, answers={**base.answers, "rules/iptables-save.txt": counted}))
    keep_health(host, examine(host))
    found = {what(host, drop): finding_of(host, drop) for drop in drops(host) if drop.count == 7}
    internal = {"! -d 10.75.0.0/24 -i brisol -j DROP: keeps the internal isol apart"}
    assert len(found) == 13
    assert internal < {text for text, finding in found.items() if finding is None}
    finding = found["-o brnoicc -j DROP: keeps other networks from noicc"]
    assert finding is not None
    assert finding.code == "isolation-between-networks"
    assert sum(one is finding for one in found.values()) == 9
    listed = json_host.list_view(host, BY_NAME["drops"], drops(host))["drops"]
    texts = [entry["what"] for entry in listed if entry["rule"]]  # type: ignore[attr-defined]
    assert texts == [entry["rule"]["text"] for entry in listed if entry["rule"]]  # type: ignore[attr-defined]
