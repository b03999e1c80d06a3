from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.finding import Evidence, Finding, Health, Severity, health_of
from netdash.model.host import Failure, Host, Neighbour, Rule, Ruleset
from netdash.model.relations import ref_of
from netdash.model.source import Source
from netdash.model.turn import waits_by
from netdash.trace import tracer
from netdash.tui import examiner as examining
from netdash.tui.examiner import AT_ONCE, LATER, MADE_ANEW, Examiner, Verdicts
from netdash.tui.host_view import HostView, Looked
from netdash.tui.interfaces import HostState
from netdash.tui.work import WAITED, Turn
from netdash.view.card import card
from netdash.view.views import BY_NAME
from tests.support.tui_hosts import crowd


def test_of_the_hosts_that_come_meanwhile_only_the_newest_is_examined() -> None:
    hosts = [replace(crowd(2 + number), taken=float(number)) for number in range(4)]
    began, go_on, all_told = threading.Event(), threading.Event(), threading.Event()
    told: list[Host] = []

    def examine(_: Host) -> Health:
        began.set()
        assert go_on.wait(20)
        return Health((), {})

    def tell(host: Host) -> None:
        told.append(host)
        if host is hosts[-1]:
            all_told.set()

    examiner = Examiner(tell, pytest.fail, examine)
    examiner.look(hosts[0])
    assert began.wait(20)
    for host in hosts[1:]:
        examiner.look(host)
    assert examiner.busy
    go_on.set()
    assert all_told.wait(20)
    assert told == [hosts[0], hosts[-1]]
    assert health_of(hosts[-1]) is not None


def test_a_host_that_is_still_being_read_is_waited_for_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[Host] = []
    done = threading.Event()

    def examine(host: Host) -> Health:
        examined.append(host)
        done.set()
        return Health((), {})

    reading = replace(crowd(2), pending=frozenset((Source.INSIDE,)))
    examiner = Examiner(lambda _: None, pytest.fail, examine)
    examiner.look(reading)
    assert not examiner.busy
    monkeypatch.setattr(examining, "_PATIENCE", 0.0)
    examiner.look(reading)
    assert done.wait(20)
    assert examined == [reading]


def test_a_host_that_is_read_anew_is_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(examining.time, "monotonic", lambda: now[0])
    examiner = Examiner(lambda _: None, pytest.fail, lambda _: Health((), {}))
    reading = replace(crowd(2), pending=frozenset((Source.INSIDE,)))
    assert not examiner.wants(reading)
    assert examiner.wants(replace(reading, pending=frozenset()))
    now[0] += 100.0
    assert not examiner.wants(reading)


def test_what_one_looks_at_is_ready_when_the_next_host_comes(
    host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its row nor its card makes the screen wait for a trace."""
    shown = replace(host("docker20.10-nft-full"))
    view, last = BY_NAME["containers"], (shown.containers or ())[-1]
    places = [place for place, one in enumerate(shown.containers or ()) if one is last]
    host_view = HostView(shown).warm(Looked(view, ref_of(last), places))
    monkeypatch.setattr(tracer, "trace", lambda *_: pytest.fail("traced again"))
    assert host_view.rows(view)[places[0]].ref == ref_of(last)
    assert card(shown, last, 80)


def test_long_work_gives_way_to_a_key_but_not_for_long() -> None:
    turn, steps = Turn(), list[float]()
    waited = threading.Event()

    def work() -> None:
        for _ in range(3):
            steps.append(time.monotonic())
            turn.give_way()
        waited.set()

    turn.begin()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    assert waited.is_set(), "a key that is worked on for ever holds nothing up for ever"
    assert steps[1] - steps[0] > WAITED / 2
    turn.begin()
    began = time.monotonic()
    turn.give_way()
    assert time.monotonic() - began < WAITED / 2, "the screen's own thread waits for itself"
    turn.end()


@pytest.mark.parametrize("what", ["parsing", "tracing"])
def test_what_is_worked_out_for_the_screen_gives_way(
    host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Not only between the steps that are made ahead: one of them takes 30 ms and more on a large host."""
    folder = Path(__file__).parents[1] / "recordings/docker20.10-nft-full"
    shown = host("docker20.10-nft-full")
    pieces: list[None] = []
    monkeypatch.setattr("netdash.model.turn._waits", [])
    waits_by(lambda: pieces.append(None))
    if what == "parsing":
        Builder().build(load(folder))
    else:
        card(shown, (shown.containers or ())[0], 80)
    assert len(pieces) > 2


# --- what is examined again -------------------------------------------------------------------------------------------

ELSEWHERE = {"ruleset", "sysctls", "neighbours", "pending"}  # compared by what of them is asked
UNASKED = {"name", "taken", "live", "heard", "ports", "tracking", "traffic", "counters"}


def test_of_each_part_of_a_host_is_said_whether_an_examination_hangs_on_it() -> None:
    assert {*AT_ONCE, *LATER, *MADE_ANEW, *ELSEWHERE, *UNASKED} == {*Host.__match_args__}


def _stands(before: Host, after: Host, *findings: Finding) -> float:
    """Seconds for which what was found on a host is true of the next one."""
    named = {ref for finding in findings for each in finding.evidence if (ref := each.ref) is not None}
    passing = any(finding.code == "crash-loop" for finding in findings)
    return examining._stands(examining._Examined(before, 0.0, named, passing), after)


@pytest.fixture
def real(host: Callable[[str], Host]) -> Host:
    found = host("docker20.10-nft-full")
    rules = found.ruleset
    assert rules is not None
    return replace(found, ruleset=replace(rules, shape="the same"))


def _counting(host: Host, change: Callable[[Rule], Rule]) -> Host:
    """With other counters."""
    rules = host.ruleset
    assert rules is not None
    chains = tuple(replace(chain, rules=tuple(map(change, chain.rules))) for chain in rules.chains)
    return replace(host, ruleset=Ruleset(chains, rules.notes, rules.unread, shape=rules.shape))


def test_a_host_that_did_not_change_is_never_examined_again(real: Host) -> None:
    later = replace(real, taken=(real.taken or 0.0) + 3600, failures=dict(real.failures), kept_until={})
    assert _stands(real, later) == math.inf


@pytest.mark.parametrize("part", AT_ONCE)
def test_what_decides_is_examined_at_once(real: Host, part: str) -> None:
    assert _stands(real, replace(real, **{part: (*(getattr(real, part) or ()), None)})) == 0.0


@pytest.mark.parametrize("part", [*LATER, "kept_until", "other_kernel"])
def test_what_may_tell_more_is_examined_within_a_minute(real: Host, part: str) -> None:
    assert 0.0 < _stands(real, replace(real, **{part: {"another": "value"}})) <= 60.0


def test_a_finding_that_counts_only_when_it_has_lasted_is_looked_at_again(real: Host) -> None:
    orphan = Finding("proxy-orphaned", Severity.MEDIUM, "", (), (Evidence("docker-proxy 44", ""),))
    told: list[tuple[Finding, ...]] = []
    done = threading.Event()

    def tell(host: Host) -> None:
        found = health_of(host)
        told.append(found.findings if found else ())
        done.set()

    answers = iter((Health((), {}), Health((orphan,), {}), Health((orphan,), {})))
    examiner = Examiner(tell, pytest.fail, lambda _: next(answers))
    started = replace(real, live=True, taken=2.0, sysctls={"one": "more"})
    for host in (replace(real, live=True, taken=1.0), started, replace(started, taken=9.0)):
        done.clear()
        examiner.look(host)
        assert done.wait(20)
    assert [len(findings) for findings in told] == [0, 0, 1]


def test_a_fault_that_comes_with_a_container_counts_when_the_rest_was_read_too(real: Host) -> None:
    """A proxy that was not read again yet is no proxy that is gone."""
    fault = Finding("proxy-dead", Severity.HIGH, "", (), (Evidence("processes", ""),))
    containers = real.containers or ()
    began, told = threading.Event(), threading.Event()
    shown: list[Host] = []

    def examine(host: Host) -> Health:
        if host is started:
            began.set()
        return Health((fault,) if host is started else (), {})

    def tell(host: Host) -> None:
        shown.append(host)
        told.set()

    before = replace(real, live=True, taken=1.0, containers=containers[1:])
    started = replace(before, containers=containers)
    read = replace(started, proxies=())
    examiner = Examiner(tell, pytest.fail, examine)
    examiner.look(before)
    assert told.wait(20)
    told.clear()
    examiner.look(started)
    assert began.wait(20)
    examiner.look(read)
    assert told.wait(20)
    assert shown == [before, read]


def test_another_host_that_comes_while_a_fault_is_looked_at_again_is_examined_too(real: Host) -> None:
    fault = Finding("proxy-dead", Severity.HIGH, "", (), (Evidence("processes", ""),))
    began, told = threading.Event(), threading.Event()

    def examine(host: Host) -> Health:
        if host is started:
            began.set()
        return Health((fault,) if host is started else (), {})

    def tell(host: Host) -> None:
        if host in (before, other):
            told.set()

    before = replace(real, live=True, taken=1.0, containers=(real.containers or ())[1:])
    started = replace(before, containers=real.containers)
    other = replace(crowd(2), name="other")
    examiner = Examiner(tell, pytest.fail, examine)
    examiner.look(before)
    assert told.wait(20)
    told.clear()
    examiner.look(started)
    assert began.wait(20)
    examiner.look(other)
    assert told.wait(20)
    assert health_of(other) is not None


def test_a_change_that_was_taken_back_before_it_was_examined_leaves_no_verdict_unknown(real: Host) -> None:
    """A container that was paused for a moment: the host that comes last is as the one examined before."""
    began, told = threading.Event(), threading.Event()
    examined: list[Host] = []

    def examine(host: Host) -> Health:
        examined.append(host)
        began.set()
        return Health((), {})

    before = replace(real, live=True, taken=1.0)
    first, *rest = real.containers or ()
    paused = replace(before, containers=(replace(first, state="paused"), *rest))
    after = replace(before, taken=3.0)
    examiner = Examiner(lambda host: told.set() if host is after else None, pytest.fail, examine)
    examiner.look(before)
    assert began.wait(20)
    while examiner.busy:
        time.sleep(0.005)
    examiner.look(paused)
    examiner.look(after)
    assert told.wait(20)
    assert examined[-1] is after


def test_a_source_that_fails_is_examined_at_once_and_another_reason_within_a_minute(real: Host) -> None:
    slow, gone = (replace(real, failures={Source.DROPS: Failure(Source.DROPS, why)}) for why in ("slow", "gone"))
    assert _stands(real, slow) == 0.0
    assert 0.0 < _stands(slow, gone) <= 60.0


def test_counters_matter_where_something_is_said_of_them(real: Host) -> None:
    assert real.ruleset is not None
    met = next(rule for chain in real.ruleset.chains for rule in chain.rules if rule.packets)
    unmet = next(rule for chain in real.ruleset.chains for rule in chain.rules if rule.packets == 0)

    def more(of: Rule) -> Callable[[Rule], Rule]:
        return lambda rule: replace(rule, packets=(rule.packets or 0) + 1) if rule is of else rule

    named = Finding("any", Severity.HIGH, "it counts", evidence=(Evidence("rules", "text", ref_of(met)),))
    assert _stands(real, _counting(real, more(met))) == math.inf
    assert _stands(real, _counting(real, more(met)), named) <= 60.0
    assert _stands(real, _counting(real, more(unmet))) <= 60.0, "its first packet"


def test_the_number_of_connections_matters_where_there_is_little_room(real: Host) -> None:
    def used(count: int) -> Host:
        told = {"net.netfilter.nf_conntrack_count": str(count), "net.netfilter.nf_conntrack_max": "1000"}
        return replace(real, sysctls=told)

    assert _stands(used(10), used(400)) == math.inf
    assert _stands(used(10), used(901)) == 0.0
    assert _stands(used(950), used(901)) == 0.0
    assert _stands(used(10), replace(real, sysctls={**(used(10).sysctls or {}), "net.ipv4.ip_forward": "9"})) == 0.0
    assert _stands(used(10), replace(real, sysctls=None)) == 0.0


def test_neighbours_come_and_go_with_packets(real: Host) -> None:
    assert real.containers is not None
    end = next(end for one in real.containers if one.running for end in one.endpoints if end.addresses and end.mac)
    ip, bridge = end.addresses[0].ip, "docker0"

    def seen(mac: str | None, state: str, dev: str = bridge) -> Host:
        return replace(real, neighbours=(Neighbour(ip, dev, mac, state),))

    assert _stands(seen(end.mac, "REACHABLE"), seen(end.mac, "STALE")) == math.inf
    assert _stands(seen(end.mac, "REACHABLE"), seen(None, "FAILED")) <= 60.0
    assert _stands(seen("02:00:00:00:00:99", "STALE"), seen("02:00:00:00:00:99", "REACHABLE")) <= 60.0
    assert _stands(seen(end.mac, "STALE"), seen("02:00:00:00:00:99", "STALE")) <= 60.0
    assert _stands(seen(end.mac, "STALE"), replace(real, neighbours=None)) <= 60.0


def test_what_goes_by_itself_is_looked_at_again(real: Host) -> None:
    assert _stands(real, replace(real), Finding("crash-loop", Severity.HIGH, "it ends")) <= 60.0


def test_of_several_hosts_each_is_examined_once() -> None:
    """Polls make new hosts all the time."""
    hosts = [replace(crowd(2), name=name) for name in ("one", "two", "three")]
    examined: list[str | None] = []

    def examine(host: Host) -> Health:
        examined.append(host.name)
        return Health((), {})

    verdicts = Verdicts(pytest.fail, examine)
    until = time.monotonic() + 20
    states = [HostState(host.name or "", host, 0.0) for host in hosts]
    while any(verdicts.of(state)[0].text.startswith("…") for state in states):
        assert time.monotonic() < until
        states = [HostState(host.name or "", replace(host, taken=time.time()), 0.0) for host in hosts]
        verdicts.look(states)
        time.sleep(0.005)
    for _ in range(20):
        verdicts.look([HostState(host.name or "", replace(host, taken=time.time()), 0.0) for host in hosts])
        time.sleep(0.005)
    assert sorted(map(str, examined)) == ["one", "three", "two"]


def test_a_host_whose_engine_does_not_answer_is_examined_too() -> None:
    """What is wrong with the host itself is seen without the engine. Of one that was not reached nothing is known."""
    done = threading.Event()

    def examine(_: Host) -> Health:
        return Health((), {})

    examiner = Examiner(lambda _: done.set(), lambda error: pytest.fail(str(error)), examine)
    unread = replace(crowd(1), containers=None)
    examiner.look(replace(unread, failures={"host": Failure("host", "no answer")}))
    assert not examiner.busy
    examiner.look(unread)
    assert done.wait(20)
