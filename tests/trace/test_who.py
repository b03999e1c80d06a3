"""Who reaches something: every pair as the trace of it alone says, and no more than is asked for."""

from __future__ import annotations

import pytest

from netdash.model.index import find_container
from netdash.model.records import replace
from netdash.trace import reachability
from netdash.trace.model import Reach, Sender, Verdict
from netdash.trace.reachability import reach_of
from netdash.trace.tracer import trace
from netdash.trace.who import INTERNET, Who, of_container, of_network, of_port, who
from netdash.view import marks
from tests.conftest import joined

FULL = "docker28.5-nft-full"


def _who(name: str, container: str, port: tuple[int, str] | None = None) -> Who:
    host = joined(name)
    return who(host, of_container(host, find_container(host, container), port))


@pytest.mark.parametrize(
    ("name", "container"), [(FULL, "c1"), ("docker29.7-nftables-full", "c1"), ("masq-missing", "web")]
)
def test_every_row_is_what_the_trace_of_the_pair_says(name: str, container: str) -> None:
    found, host = _who(name, container), joined(name)
    assert found.reached_by
    assert found.reaches
    for row in (*found.reached_by, *found.reaches):
        if row.aims[0].kind != INTERNET:
            assert reach_of(trace(host, row.question)) == row.reach, row


def test_only_what_is_asked_for_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = reachability.reaches
    monkeypatch.setattr(reachability, "reaches", lambda host, question: asked.append(question) or real(host, question))
    found = _who(FULL, "web", (80, "tcp"))
    assert {row.aims[0] for row in found.reached_by} == set(found.subject.aims)
    assert {(one.dst, one.dport) for one in asked} <= {(aim.ip, aim.port) for aim in found.subject.aims}
    assert len(asked) < len(found.reached_by)


def test_the_rows_of_a_published_port_are_found_by_either_number() -> None:
    inner, outer = _who(FULL, "c1", (80, "tcp")), _who(FULL, "c1", (8081, "tcp"))
    assert {aim for aim in inner.subject.aims if aim.kind == "published"} == set(outer.subject.aims)


def test_a_port_on_which_nothing_listens_is_asked_all_the_same() -> None:
    found = _who(FULL, "c1", (99, "udp"))
    assert {aim.ip for aim in found.subject.aims} == {
        address.ip for end in find_container(joined(FULL), "c1").endpoints for address in end.addresses
    }
    here = [row.reach for row in found.reached_by if row.senders[0].name == "host"]
    assert {(reach.reaches, reach.verdict) for reach in here} == {(False, Verdict.NO_LISTENER)}


def test_many_that_fare_alike_are_one_row_and_nobody_is_lost() -> None:
    found = _who(FULL, "c1")
    folded = found.folded(joined(FULL))
    assert len(folded.reached_by) < len(found.reached_by) / 2
    assert _pairs(folded) == _pairs(found)
    several = [row for row in folded.reached_by if len(row.senders) > 1]
    assert all(sender.container is not None for row in several for sender in row.senders)


def _pairs(found: Who) -> list[tuple[Sender, object, bool | None, Verdict]]:
    return sorted(
        (
            (sender, aim, row.reach.reaches, row.reach.verdict)
            for row in (*found.reached_by, *found.reaches)
            for sender in row.senders
            for aim in row.aims
        ),
        key=str,
    )


def test_a_reason_of_many_names_none_of_them() -> None:
    folded = _who(FULL, "c1").folded(joined(FULL))
    (no_route,) = [
        row
        for row in folded.reached_by
        if len(row.senders) > 1 and row.aims[0].ip.version == 6 and row.aims[0].port == 8081 and not row.reach.reaches
    ]
    assert no_route.reach.why == "no route inside the sender leads to 2001:db8:1::2"


def test_a_name_that_begins_another_is_not_taken_for_it() -> None:
    host = joined(FULL)
    renamed = tuple(replace(one, name="c-no") if one.name == "rnd" else one for one in host.containers or ())
    host = replace(host, containers=renamed)
    found = who(host, of_container(host, find_container(host, "c-none"))).folded(host)
    reasons = {row.reach.why for row in found.reaches if not row.reach.reaches}
    assert reasons
    assert all("inside c-none leads" in why for why in reasons if why.startswith("no route"))


def test_the_way_out_says_as_whom_and_by_which_rule() -> None:
    (out,) = [row for row in _who("masq-missing", "web").reaches if row.aims[0].kind == INTERNET]
    assert out.reach.reaches is not True
    first = next(row for row in _who(FULL, "c1").reaches if row.aims[0].kind == INTERNET)
    assert first.reach.why == "as 203.0.113.2 by nat/POSTROUTING #5"
    assert first.reach.rule is not None


def test_a_container_that_does_not_run_has_nobody_to_ask() -> None:
    found = _who(FULL, "c-exited")
    assert found.reached_by == found.reaches == ()


def test_a_port_of_the_host_and_a_network() -> None:
    host = joined(FULL)
    port = next(port for port in host.ports or () if port.host_port == 8081 and port.host_ip.version == 4)
    assert {(aim.kind, aim.port) for aim in of_port(host, port).aims} == {("published", 8081)}
    network = next(network for network in host.networks or () if network.name == "six")
    subject = of_network(host, network)
    assert subject.aims
    assert all(any(aim.ip in net for net in network.subnets) for aim in subject.aims)


def test_words() -> None:
    assert marks.of_reach(Reach(True, "")).text == "✓ ok"
    assert marks.of_reach(Reach(None, "")).text == "? unknown"
    words = {marks.word(row.reach.reaches, row.reach.verdict) for row in _who(FULL, "c1").reached_by}
    assert words == {"ok", "dropped", "no route", "unknown"}
