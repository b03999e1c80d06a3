"""`netdash map`: text, one network, JSON and exit codes."""

from __future__ import annotations

import json

import pytest

from netdash.cli.main import main
from tests.conftest import bundle

FULL = "docker28.5-nft-full"


def _ran(capsys: pytest.CaptureFixture[str], *arguments: str, host: str = FULL) -> tuple[int, str, str]:
    code = main(("--from", str(bundle(host)), "map", *arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_one_network_or_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _ran(capsys, "six")
    assert (code, err) == (0, "")
    assert "c-six" in out
    assert "nomasq" not in out
    _, out, _ = _ran(capsys, "host")
    assert "c-host" in out
    _, out, _ = _ran(capsys, "ipv")
    assert "no containers on  ipv" in out


@pytest.mark.parametrize(("word", "hint"), [("siix", "did you mean six?"), ("zzz", "see: netdash networks")])
def test_what_is_no_network(capsys: pytest.CaptureFixture[str], word: str, hint: str) -> None:
    code, out, err = _ran(capsys, word)
    assert (code, out) == (2, "")
    assert hint in err


def test_the_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "--json", host="forward-drop-ahead")
    found = json.loads(out)
    assert code == 0
    assert set(found) == {"schema", "uplinks", "networks", "empty", "unknown"}
    block = found["networks"][0]
    assert set(block) == {
        *("name", "kind", "driver", "subnets", "bridge", "internal", "containers", "also", "out"),
    }
    assert set(block["containers"][0]) == {"id", "name", "state", "verdict", "addresses", "why", "in"}
    wire = block["containers"][0]["in"][0]
    assert (wire["verdict"], wire["stopped"], wire["stopped_by"]) == (
        "broken",
        "dropped by filter/FORWARD #1",
        "filter/FORWARD #1",
    )
    assert set(block["out"][0]) == {
        *("containers", "verdict", "stopped", "stopped_by", "finding", "leaves", "as", "rules", "device"),
    }


def test_all_draws_each_container(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _ran(capsys, "--all")
    assert "containers" not in out.replace("no containers on", "").replace("2 containers  c-created, c-exited", "")


def test_where_the_engine_cannot_be_read_there_is_no_map(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _ran(capsys, host="dockerd-down-live-restore")
    assert code == 3
    assert "? containers:" in out
    assert "docker" in err
