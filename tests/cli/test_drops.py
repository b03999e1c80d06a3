"""`netdash drops`: two readings tell what moves, a recording does not, and what was not read is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.cli import lists
from netdash.cli.main import main
from netdash.model.records import replace
from tests.conftest import bundle
from tests.parse.test_counters import CONNTRACK, LINKS, NSTAT, SOFTNET
from tests.support import schemas

FULL = "docker28.5-nft-full"
MORE = NSTAT.replace("IpOutNoRoutes                   3", "IpOutNoRoutes                   9")


def _live(nstat: str) -> Recording:
    counters = {
        "host/nstat.txt": nstat,
        "host/nf_conntrack.txt": CONNTRACK,
        "ip/link-stats.json": LINKS,
        "host/softnet.txt": SOFTNET,
    }
    recording = load(bundle(FULL))
    asked = {path: text.encode().decode() for path, text in counters.items()}  # each reading has its own answers
    return replace(recording, live=True, taken=100.0, answers={**recording.answers, **asked})


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, the second with more packets without a route."""
    found = iter((_live(NSTAT), _live(MORE)))
    monkeypatch.setattr(lists, "reading", lambda *_: next(found))


def test_two_readings_tell_what_moves(readings: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drops", "--seconds", "0.5", "--json"]) == 0
    told = schemas.loads("drops", capsys.readouterr().out)
    moving = [one for one in told["drops"] if one["per_second"]]
    assert [(one["counter"], one["packets"]) for one in moving] == [("IpOutNoRoutes", 9)]
    assert 0 < moving[0]["per_second"] <= 12
    assert told["drops"][0] == moving[0]
    device = next(one for one in told["drops"] if one["counter"] == "tx_dropped")
    assert (device["device"], device["packets"], device["per_second"]) == ("eth0", 5, 0.0)
    finding = next(one["finding"] for one in told["drops"] if one["counter"] == "insert_failed")
    assert finding is None, "the doctor reads conntrack -S, which this host has not"
    assert not any(name.startswith("drops") for name in told["unknown"])


def test_as_a_table_and_for_a_spreadsheet(readings: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drops", "--seconds", "0.2", "-o", "csv", "IpOutNoRoutes"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head == "rate,packets,kind,where,what,networks,finding"
    assert row.split(",")[1:4] == ["9", "routing", "IpOutNoRoutes"]


def test_a_recording_has_totals_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(bundle("rp-filter-strict")), "drops", "--json"]) == 0
    told = capsys.readouterr()
    entries = schemas.loads("drops", told.out)["drops"]
    (lost,) = [one for one in entries if one["counter"] == "TcpExtIPReversePathFilter"]
    assert (lost["packets"], lost["per_second"], lost["finding"]["code"]) == (2, None, "rp-filter-strict")
    unread = {one["where"] for one in entries if one["kind"] == "unread"}
    assert unread == {"nf_conntrack", "link-stats", "softnet"}
    assert "whether a counter moves is not known" in told.err
    assert "drops: softnet: not read" in told.err


def test_a_recording_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(bundle(FULL)), "drops", "--watch"]) == 2
    assert "a recording does not change" in capsys.readouterr().err


def test_what_moves_is_told_as_it_moves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = [replace(_live(nstat), taken=at) for nstat, at in ((NSTAT, 100.0), (MORE, 102.0), (MORE, 103.0))]
    hosts[2] = replace(hosts[2], answers={**hosts[1].answers, "ip/neigh.json": "[]"})

    @contextmanager
    def recordings(*_: object) -> Iterator[Iterator[Recording]]:
        yield iter(hosts)

    monkeypatch.setattr("netdash.cli.watching.recordings", recordings)
    assert main(["drops", "--watch", "--json"]) == 0
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    entry = schemas.loads("drop_change", line)
    assert (entry["counter"], entry["packets"], entry["per_second"], entry["taken"]) == ("IpOutNoRoutes", 9, 3.0, 102.0)
    assert "watching" in told.err
    assert main(["drops", "--watch"]) == 0
    assert "+3.0/s  routing IpOutNoRoutes  no route" in capsys.readouterr().out
