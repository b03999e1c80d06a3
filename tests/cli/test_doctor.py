"""`netdash doctor` on the command line: exit codes, one container, a report, and what appears and goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.cli import watching
from netdash.cli.main import main
from tests.conftest import bundle
from tests.support import schemas


def _doctor(capsys: pytest.CaptureFixture[str], name: str, *arguments: str) -> tuple[int, str]:
    code = main(["--from", str(bundle(name)), "doctor", *arguments])
    return code, capsys.readouterr().out


def test_exit_codes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _doctor(capsys, "ip-forward-off")[0] == 1
    assert _doctor(capsys, "docker28.5-ufw")[0] == 0
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "docker-proxy.txt").write_text("")
    assert main(["--from", str(tmp_path), "doctor"]) == 3
    assert "✓" not in capsys.readouterr().out
    assert main(["--from", str(tmp_path), "doctor", "--mask"]) == 3
    assert "✓" not in capsys.readouterr().out
    part = shutil.copytree(bundle("docker28.5-ufw"), tmp_path / "part", ignore=shutil.ignore_patterns("rules"))
    assert main(["--from", str(part), "doctor"]) == 3


@pytest.mark.parametrize(
    ("host", "file", "source"),
    [
        ("forward-drop-ahead", "host/sysctl.txt", "sysctls"),
        ("forward-drop-ahead", "ip/route4.json", "routes"),
        ("forward-drop-ahead", "ip/rule4.json", "routes: rule4"),
        ("accept-missing", "rules/iptables-save.txt", "rules"),
    ],
)
def test_what_was_not_read_may_be_broken_although_something_is_only_to_be_known(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, host: str, file: str, source: str
) -> None:
    part = shutil.copytree(bundle(host), tmp_path / "part")
    (part / file).unlink()
    assert main(["--from", str(part), "doctor"]) == 3
    out = capsys.readouterr().out
    assert f"? not checked: {source}: " in out
    assert "✗" not in out
    assert main(["--from", str(part), "doctor", "web"]) == 3


def test_a_way_out_that_hangs_on_other_routers_is_no_doubt_of_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert _doctor(capsys, "masq-missing")[0] == 0


def test_a_recording_is_not_watched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--from", str(bundle("ip-forward-off")), "doctor", "--watch"]) == 2
    assert "a recording does not change" in capsys.readouterr().err


def test_one_container_is_told_of_what_hits_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = _doctor(capsys, "veth-no-master", "web", "--json")
    assert code == 1
    assert [one["code"] for one in schemas.loads("doctor", out)["findings"]][:1] == ["veth-no-master"]
    code, out = _doctor(capsys, "container-eth0-down", "nobody")
    assert (code, out) == (2, "")


def test_json_names_containers_and_says_severities_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    told = schemas.loads("doctor", _doctor(capsys, "docker-user-host-port", "--json")[1])
    assert told["schema"] == 1
    first = told["findings"][0]
    assert (first["severity"], first["proved"]) == ("high", True)
    assert first["hits"] == [{"container": "web", "port": "8080/tcp", "network": "bridge", "direction": "in"}]
    assert first["fix"][0].keys() == {"command", "changes", "survives"}
    assert isinstance(told["not_checked"], dict)


def test_a_report_is_written_and_the_exit_code_stays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "incident.md"
    assert _doctor(capsys, "ip-forward-off", "--report", str(target), "--mask")[0] == 1
    text = target.read_text("utf-8")
    assert "critical: ip-forward-off" in text
    assert "web" not in text
    assert "container-1" in text
    assert _doctor(capsys, "ip-forward-off", "--report", str(tmp_path / "no" / "folder.md"))[0] == 74


class _Reader:
    """Publishes recordings one after the other, then interrupts as Ctrl-C does."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.stopped = False

    def start(self, publish: Callable[[Recording], None]) -> None:
        self.publish = publish

    def refresh(self) -> None: ...

    def stop(self) -> None:
        self.stopped = True

    def newest(self, _: object) -> object:
        for name in self._names:
            yield load(bundle(name))
        raise KeyboardInterrupt


def test_findings_are_told_as_they_appear_and_go(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = _Reader("docker28.5-ufw", "ip-forward-off", "ip-forward-off", "docker28.5-ufw")
    monkeypatch.setattr(watching, "_reader", lambda _: reader)
    monkeypatch.setattr(watching, "_newest", reader.newest)
    assert main(["doctor", "--watch", "--json"]) == 130
    events = [schemas.loads("doctor_change", line) for line in capsys.readouterr().out.splitlines()]
    told = [(one["event"], one["finding"]["code"]) for one in events if one["finding"]["severity"] != "info"]
    assert told == [("appeared", "ip-forward-off"), ("gone", "ip-forward-off")]
    assert reader.stopped
