"""What is wrong is on the screen unasked: marks and reasons in the lists, the banner, the pane Health."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.bundle.storage import load
from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.finding import keep_health
from netdash.model.host import Host
from netdash.tui.examiner import Examiner, carry
from netdash.tui.host_view import HostView
from netdash.view import marks
from tests.conftest import RECORDINGS
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, settle, show, text


def see(host: Host, *keys: str, size: tuple[int, int] = (80, 24)) -> str:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, *keys)
        seen.append(text(app))

    show(host, scene, size)
    return seen[0]


@pytest.mark.parametrize("name", ["docker28.5-nft-full", "docker29.7-nftables-full", "docker20.10-nft-full"])
def test_a_healthy_host_is_calm(host: Callable[[str], Host], name: str) -> None:
    seen = see(host(name), "0")
    assert "✗" not in seen
    assert seen.splitlines()[1].startswith("[0 Health")


def test_one_line_says_why_nothing_can_be_told(tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(RECORDINGS / "accept-missing", tmp_path / "bundle"))
    (bundle / "host" / "sysctl.txt").unlink()
    lines = see(Builder().build(load(bundle))).splitlines()
    assert "?1" in lines[1]
    assert "sysctls: not in this recording" in lines[1]


def test_one_line_says_that_nothing_was_read_inside_the_containers() -> None:
    whole = crowd(3)
    unread = tuple(replace(container, listeners=None) for container in whole.containers or ())
    lines = see(replace(whole, containers=unread)).splitlines()
    assert "?3" in lines[1]
    assert "network namespaces of the containers: not read" in lines[1]


def test_a_row_that_is_hit_says_why_and_the_card_how_to_mend_it(host: Callable[[str], Host]) -> None:
    lines = see(host("forward-drop-ahead")).splitlines()
    row = next(line for line in lines if line.startswith("▌● web"))
    assert "✗" in row
    assert "filter/FORWARD #1" in row
    assert "filter/FORWARD #1" in lines[1]
    assert any(line.startswith(" FIX   iptables -D FORWARD") for line in lines)


def test_health_opens_a_finding_with_its_evidence_and_its_fix(host: Callable[[str], Host]) -> None:
    seen = see(host("forward-drop-ahead"), "0", size=(120, 40))
    assert "forward-drop-ahead" in seen
    for word in ("hits", "seen", "fix"):
        assert f"\n  {word}" in seen


@pytest.mark.parametrize(("words", "there"), [("is:broken", True), ("!is:broken", False), ("is:ok", False)])
def test_the_filter_knows_how_a_row_fares(host: Callable[[str], Host], words: str, there: bool) -> None:
    rows = see(host("forward-drop-ahead"), "slash", *words, "enter").splitlines()[4:8]
    assert any("web" in row for row in rows) is there


def test_what_begins_to_be_wrong_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = crowd(3)
    links = tuple(replace(link, master=None) if link.name == "veth1" else link for link in whole.links or ())
    broken = replace(whole, links=links, taken=5_010.0)

    said: list[str] = []

    async def scene(pilot, app):
        monkeypatch.setattr(dashboard(pilot), "say", lambda words, *_: said.append(words))
        for taken in (5_010.0, 5_020.0):
            app.feed.publish(replace(broken, taken=taken))
            await settle(pilot)
        await press(pilot, "0")
        assert "veth1" in text(app)
        app.feed.publish(replace(whole, taken=5_030.0))
        await settle(pilot)

    show(whole, scene, (100, 30))
    assert [words.split()[1] for words in said] == ["veth1,", "nothing"]


def test_what_is_wrong_is_said_although_the_host_was_examined_before_there_was_a_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, said = crowd(3), []
    links = tuple(replace(link, master=None) if link.name == "veth1" else link for link in whole.links or ())
    broken = replace(whole, links=links, taken=5_010.0)
    monkeypatch.setattr(Examiner, "wants", lambda *_: False)
    for host in (whole, broken):
        keep_health(host, examine(host))

    async def scene(pilot, app):
        monkeypatch.setattr(dashboard(pilot), "say", lambda words, *_: said.append(words))
        app.feed.publish(broken)
        await settle(pilot)

    show(whole, scene, (100, 30))
    assert [words.split()[1] for words in said] == ["veth1,"]


def test_a_container_that_has_stopped_waits_for_its_verdict() -> None:
    whole = crowd(3)
    first, *rest = whole.containers or ()
    after = replace(whole, containers=(replace(first, state="exited", pid=None), *rest), taken=5_010.0)
    carry(examine(whole), whole, after)
    assert [marks.cells(after, container)[0] is marks.WAITS for container in after.containers or ()] == [
        True,
        False,
        False,
    ]


def test_what_is_open_to_too_many_is_found_by_the_filter(host: Callable[[str], Host]) -> None:
    rows = see(host("v29-loopback-publish-from-lan"), "slash", *"is:exposed", "enter").splitlines()
    assert any("web" in row and "a neighbour on eth0 can reach 8080/tcp" in row for row in rows[3:7])


def test_the_evidence_of_a_check_leads_to_its_row(host: Callable[[str], Host]) -> None:
    found = examine(host("dnat-missing-proxied")).findings
    refs = [evidence.ref for finding in found for evidence in finding.evidence if evidence.ref is not None]
    assert refs
    assert all(HostView(host("dnat-missing-proxied")).find(ref) for ref in refs)


def test_a_long_fix_is_shown_whole(host: Callable[[str], Host]) -> None:
    seen = see(host("docker-user-host-port"), "0")
    shown = " ".join(seen.partition("  fix ")[2].partition("rewrites")[0].split())
    assert shown in {
        " ".join(fix.command) for finding in examine(host("docker-user-host-port")).findings for fix in finding.fix
    }
