"""`netdash who`: rows as text and JSON, notes and exit codes."""

from __future__ import annotations

import pytest

from netdash.cli.main import main
from tests.conftest import bundle
from tests.support import schemas

FULL = "docker28.5-nft-full"


def _ran(capsys: pytest.CaptureFixture[str], *arguments: str, host: str = FULL) -> tuple[int, str, str]:
    code = main(("--from", str(bundle(host)), "who", *arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_every_pair_is_in_the_json_and_folded_in_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "c1:80", "--json")
    found = schemas.loads("who", out)
    assert code == 0
    assert (found["schema"], found["subject"], found["reaches"]) == (1, "c1:80/tcp", [])
    assert {"reaches", "verdict", "why", "rule", "from", "to"} == set(found["reached_by"][0])
    _, folded, _ = _ran(capsys, "c1:80")
    _, unfolded, _ = _ran(capsys, "c1:80", "--all")
    assert len(unfolded.splitlines()) == len(found["reached_by"]) + 2 > len(folded.splitlines())
    assert "12 others" in folded
    assert "others" not in unfolded


def test_who_is_dropped_by_which_rule(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _ran(capsys, "c1:8081")
    line = next(line.split() for line in out.splitlines() if line.startswith("c-nomasq"))
    assert line[2:] == ["203.0.113.2:8081", "✗", "dropped", "filter/DOCKER-ISOLATION-STAGE-2", "#7"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("c1:x", "'x' is not a port"),
        ("c1:80/icmp", "is not a port"),
        ("c1:", "is not a port"),
        ("nosuch", "no container"),
    ],
)
def test_what_is_no_container_or_port(capsys: pytest.CaptureFixture[str], word: str, says: str) -> None:
    code, out, err = _ran(capsys, word)
    assert (code, out) == (2, "")
    assert says in err


def test_one_that_does_not_run_and_one_that_shares_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(capsys, "c-exited") == (0, "", "note: c-exited is not running\n")
    code, out, err = _ran(capsys, "c-share:80")
    assert (code, err) == (0, "note: c-share uses the network of c1\n")
    assert out.startswith("who reaches c-share:80/tcp\n")


def test_what_was_not_read_leaves_every_answer_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _ran(capsys, "c1:8081", "--json", host="podman5.8-nftables")
    assert {(row["reaches"], row["verdict"]) for row in schemas.loads("who", out)["reached_by"]} == {(None, "unknown")}
    assert code == 5
    assert "what listens inside c1 was not read" in err
