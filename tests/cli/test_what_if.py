"""`netdash what-if`: who loses and who wins, as text and JSON, and its exit codes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netdash.cli.main import main
from tests.conftest import bundle
from tests.support import schemas

HOST = ("--from", str(bundle("accept-missing")))


CLOSED = "iptables -I FORWARD -i eth0 -m conntrack --ctstate NEW -j DROP"


def _ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(("what-if", *arguments, *HOST))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_who_wins_by_the_rule_that_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "iptables -I DOCKER -d 172.17.0.2 -o docker0 -p tcp --dport 80 -j ACCEPT", "--json")
    found = schemas.loads("what_if", out)
    assert code == 1
    assert (found["schema"], found["lost"], found["unknown"]) == (1, [], [])
    wins = {"from": "outside", "to": "web", "proto": "tcp", "address": "203.0.113.2", "port": 8080}
    assert {**wins, "by": "filter/FORWARD policy"} in found["gained"]


def test_commands_hold_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "iptables -P FORWARD ACCEPT", CLOSED)
    assert (code, out) == (0, "nobody loses or wins reach\n")


def test_who_is_cut_off_from_the_world(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "ip route del default", "--json")
    lost = [(one["from"], one["to"], one["address"], one["by"]) for one in schemas.loads("what_if", out)["lost"]]
    why = "no route leads to 1.1.1.1"
    assert (code, lost) == (1, [(name, "outside", "0.0.0.0/0", why) for name in ("this host", "web")])


def test_whom_the_answer_of_a_published_port_finds_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a default route a neighbour still gets his answer, and nobody else does."""
    told = {}
    for kind, command in (("lost", "ip route del default"), ("gained", "ip route add default via 203.0.113.1")):
        recording = "docker28.5-ufw" if kind == "lost" else "default-route-missing"
        assert main(("what-if", command, "--json", "--from", str(bundle(recording)))) == 1
        moved = schemas.loads("what_if", capsys.readouterr().out)[kind]
        told[kind] = [(one["to"], one["port"], one["by"]) for one in moved if one["from"] == "outside"]
    why = "the answer: no route leads to 1.1.1.1"
    assert told["lost"] == [("web", 8080, why), ("c1", 8081, why)]
    assert ("web", 8080, why) in told["gained"]


def test_without_the_engine_nobody_is_not_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blind = shutil.copytree(bundle("accept-missing"), tmp_path / "blind", ignore=shutil.ignore_patterns("docker"))
    assert main(("what-if", "iptables -P INPUT ACCEPT", "--from", str(blind))) == 5
    assert capsys.readouterr().out == "containers were not read: who loses or wins is not known\n"


def test_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "ip link set docker0 down")
    assert code == 1
    assert any(line.startswith(" loses outside, this host") for line in out.splitlines())
    assert "         web  [2001:db8:113::2]:8080/tcp\n" in out


def test_what_a_container_is_taken_to_listen_on_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _ran(capsys, "docker run -p 9090:90 --name new nginx", "--json")
    found = schemas.loads("what_if", out)
    assert code == 1
    assert found["assumed"] == ["new listens on 90/tcp: what its image starts is not known"]
    assert {one["port"] for one in found["gained"] if one["from"] == "outside"} == {9090, 90}


@pytest.mark.parametrize("command", ["reboot", "iptables -D FORWARD 77", "docker stop nobody"])
def test_what_is_not_understood_changes_nothing(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, notes = _ran(capsys, command)
    assert (code, out) == (2, "")
    assert notes.startswith("netdash: ")
