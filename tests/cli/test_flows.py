"""`netdash flows`: of one container, added up, and where they were not read."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.cli.flows import _beginning
from netdash.cli.main import main
from netdash.join.flows import flows
from netdash.model.host import Host
from netdash.model.kernel_state import Tracking
from netdash.model.records import replace
from tests.conftest import bundle
from tests.support import schemas

FULL = str(bundle("docker28.5-nft-full"))


def _flows(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["--from", FULL, "flows", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_container_by_its_name_has_its_own_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _flows(capsys, "c1", "--json")
    told = schemas.loads("flows", out)["flows"]
    assert code == 0
    assert {one["server"]["container"] or one["client"]["container"] for one in told} == {"c1"}
    assert "nf_conntrack_acct=1" in err
    assert len(schemas.loads("flows", _flows(capsys, "172.17", "--json")[1])["flows"]) > 0, "other words are a filter"


def test_what_is_counted_is_added_up_and_what_is_not_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    told = schemas.loads("flows_by", _flows(capsys, "--by", "peer", "--json")[1])
    outside = next(group for group in told["groups"] if group["peer"] == "203.0.113.1")
    assert (outside["flows"], outside["uncounted"], outside["bytes"]) == (4, 4, None)
    by_port = _flows(capsys, "--by", "port")[1]
    assert "web 8080/tcp" in by_port
    assert "c-lo" in _flows(capsys, "--by", "container")[1]


def test_connections_that_were_cut_off_are_not_a_short_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    part = shutil.copytree(FULL, tmp_path / "part")
    (part / "host" / "conntrack.txt").write_text("conntrack v1.4.7 (conntrack-tools): Operation failed\n")
    assert main(["--from", str(part), "flows"]) == 3
    told = capsys.readouterr()
    assert (told.out, "no connection is tracked" in told.err) == ("", False)
    assert "flows: not understood" in told.err


def test_lines_that_are_no_connections_are_left_out_and_counted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    part = shutil.copytree(FULL, tmp_path / "part")
    path = part / "host" / "conntrack.txt"
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join((first, "tcp 6 odd\n", rest[0][:50] + "\n", *rest)))
    assert main(["--from", str(part), "flows", "--json"]) == 0
    told = capsys.readouterr()
    assert schemas.loads("flows", told.out)["flows"] == schemas.loads("flows", _flows(capsys, "--json")[1])["flows"]
    assert "flows: conntrack.txt: 2 lines are not understood, and left out" in told.err


def test_without_conntrack_nothing_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--from", str(bundle("masq-missing")), "flows"])
    told = capsys.readouterr()
    assert (code, told.out) == (3, "")
    assert "flows: not in this recording" in told.err
    assert main(["--from", str(bundle("masq-missing")), "flows", "--by", "peer", "--json"]) == 3
    assert schemas.loads("flows_by", capsys.readouterr().out)["groups"] is None


def test_what_takes_the_place_of_one_that_ended_has_not_begun(host: Callable[[str], Host]) -> None:
    old, young, unknown = (
        replace(flow, entry=replace(flow.entry, age=age))
        for flow, age in zip(flows(host("docker28.5-nft-full")), (60, 1, None), strict=False)
    )
    whole, part = Tracking((), at=100.0, dumped=0.0), Tracking((), at=102.0, dumped=0.0, left_out=5)
    assert _beginning([old, young, unknown], whole, replace(whole, at=102.0)) == [old, young, unknown]
    assert _beginning([old, young, unknown], whole, part) == [young]
    assert _beginning([old, young, unknown], replace(part, at=100.0), replace(whole, at=102.0)) == [young]


def test_a_recording_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", FULL, "flows", "--watch"]) == 2
    assert "a recording does not change" in capsys.readouterr().err


def test_a_rate_that_is_not_known_is_no_empty_field(capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = csv.reader(_flows(capsys, "-o", "csv")[1].splitlines())
    assert {row[head.index("rate")] for row in rows} == {"—"}
