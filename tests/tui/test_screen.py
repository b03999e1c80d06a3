"""The dashboard's screen as text, at three sizes and in the states that need care."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from rich.cells import cell_len

from netdash.model.host import Failure, FailureKind, Host
from netdash.tui import actions
from netdash.tui.config import Options
from netdash.tui.host_app import _same_on_screen
from netdash.tui.popup import ASIDE, help_lines
from netdash.view.layout import size as line_size
from netdash.view.views import PANES
from tests.support.tui_hosts import container, crowd
from tests.support.tui_stage import dashboard, press, settle, show, text

GOLDEN = Path(__file__).parents[1] / "golden" / "screens"
SIZES = ((80, 24), (120, 40), (160, 48))


@pytest.fixture(autouse=True)
def _one_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def compare(name: str, seen: str) -> None:
    """With NETDASH_REGOLDEN set, what is seen becomes what is expected."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("NETDASH_REGOLDEN"):
        path.write_text(seen, "utf-8")
    assert seen == path.read_text("utf-8")


def see(host: Host | None, *keys: str, size: tuple[int, int] = (120, 40), options: Options | None = None) -> str:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, *keys)
        seen.append(text(app))

    show(host, scene, size, options)
    return seen[0]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_containers(host: Callable[[str], Host], size: tuple[int, int]) -> None:
    compare(f"containers-{size[0]}x{size[1]}", see(host("su1"), size=size))


@pytest.mark.parametrize("digit", "2345678")
def test_views(host: Callable[[str], Host], digit: str) -> None:
    compare(f"view-{digit}-120x40", see(host("docker29.7-nftables-full"), digit))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("digit", "28")
def test_drift(host: Callable[[str], Host], digit: str, size: tuple[int, int]) -> None:
    """The view of it, and the mark on a port with the lines in its card."""
    compare(f"drift-{digit}-{size[0]}x{size[1]}", see(host("dnat-missing-proxied"), digit, size=size))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_line_fills_the_screen_exactly(host: Callable[[str], Host], size: tuple[int, int]) -> None:
    async def scene(pilot, app):
        for digit in "0123456789":
            await press(pilot, digit, "j", "j")
            strips = app.screen._compositor.render_strips()
            assert [sum(cell_len(segment.text) for segment in strip) for strip in strips] == [size[0]] * size[1]

    show(host("docker28.5-nft-full"), scene, size)


def test_rules_of_an_unknown_engine_are_said_not_to_be_compared() -> None:
    failure = Failure("drift", "what Docker 30.0 writes is not known")
    seen = see(replace(crowd(2), drift=None, failures={"drift": failure}), "8")
    assert "Drift: nothing was compared" in seen
    assert "what Docker 30.0 writes is not known" in seen


def test_pending_source_says_that_it_is_being_read() -> None:
    host = replace(crowd(2), ruleset=None, pending=frozenset({"rules"}))
    seen = see(host, "4")
    assert "reading rules…" in seen
    assert "could not be read" not in seen


def test_failed_source_says_what_why_and_how() -> None:
    failure = Failure("rules", "not permitted", "run with sudo")
    host = replace(crowd(2), ruleset=None, privileged=False, failures={"rules": failure})
    seen = see(host, "4")
    assert "rules could not be read" in seen
    assert "not permitted" in seen
    assert "run with sudo" in seen
    assert "not root" in seen
    wide = see(host)
    assert "Rules ?" in wide
    assert "Rules 0 of 0" not in wide


def test_no_containers_yet() -> None:
    seen = see(crowd(0))
    assert "0 containers" in seen
    assert "docker run" in seen


def test_no_host_yet() -> None:
    assert "reading…" in see(None)


def test_filter_that_matches_nothing() -> None:
    seen = see(crowd(3), "slash", *"zebra", "enter")
    assert "nothing matches zebra" in seen
    assert "0 of 3" in seen


@pytest.mark.parametrize("size", [(60, 15), *SIZES])
def test_state_is_told_at_every_size(host: Callable[[str], Host], size: tuple[int, int]) -> None:
    assert "◦ recorded" in see(host("su1"), size=size).splitlines()[0]
    long = replace(crowd(1), name="a-rather-long-host-name.example", privileged=False)
    assert "● live" in see(long, size=size).splitlines()[0]


def test_recording_is_never_taken_for_live() -> None:
    recorded = see(replace(crowd(1), live=False, taken=0.0))
    assert "◦ recorded" in recorded
    assert "● live" not in recorded
    assert "pause" not in recorded.splitlines()[-1]


@pytest.mark.parametrize("size", [(59, 24), (80, 14), (30, 5)])
def test_too_small_says_so(size: tuple[int, int]) -> None:
    seen = see(crowd(3), "j", "4", size=size)
    assert f"{size[0]}x{size[1]} is too small" in seen
    assert "web-1" not in seen


def test_resize_while_running() -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        for size in ((40, 10), (160, 48), (80, 24)):
            await pilot.resize_terminal(*size)
            await settle(pilot)
            seen.append(text(app))

    show(crowd(3), scene)
    small, wide, narrow = seen
    assert "too small" in small
    assert "Proxies 1 of 3" in wide
    assert "Proxies 1 of 3" not in narrow
    assert "web-2" in narrow
    assert narrow == see(crowd(3), size=(80, 24))


def test_engine_that_stopped_answering() -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        gone = replace(crowd(2, taken=5_090.0), failures={"docker": Failure("docker", "no answer within 2 s")})
        app.feed.publish(gone)
        await settle(pilot)
        seen.append(text(app))
        assert dashboard(pilot).panes.grid.faded
        app.feed.publish(crowd(2, taken=5_095.0))
        await settle(pilot)
        seen.append(text(app))
        assert not dashboard(pilot).panes.grid.faded

    show(crowd(2), scene)
    assert "engine gone 1 min" in seen[0]
    assert "no answer within 2 s" in seen[0].splitlines()[0]
    assert "web-1" in seen[0]
    assert "● live" not in seen[0]
    assert "● live" in seen[1]


def test_live_is_said_only_of_what_was_heard() -> None:
    """It stood there before anything was read, and for ever when nothing came."""
    heard = crowd(2, taken=5_000.0)
    first = replace(heard, pending=frozenset(("docker", "rules")))
    for shown, state in (
        (replace(first, containers=None), "◦ reading"),
        (replace(first, heard=4_999.0), "● live"),
        (replace(heard, heard=4_985.0), "● live"),
        (replace(heard, heard=4_970.0), "? silent 30 s"),
        (replace(heard, containers=None, failures={"docker": Failure("docker", "no answer")}), "◦ without engine"),
    ):
        assert see(shown, size=(120, 40)).splitlines()[0].rstrip().endswith(state)


def test_what_of_the_engine_is_unread_is_named() -> None:
    failures = {"containers": Failure("containers", "web-1 could not be inspected: no answer within 3 s")}
    shown = replace(crowd(2), failures=failures)
    assert see(shown, size=(120, 40)).splitlines()[0].rstrip().endswith("● live ?containers")
    assert see(shown, size=(80, 24)).splitlines()[0].rstrip().endswith("● live ?")


def test_a_refused_list_is_no_empty_one() -> None:
    refused = Failure("networks", "/networks is refused with 403 by a proxy", "NETWORKS=1")
    seen = see(replace(crowd(2), networks=None, failures={"networks": refused}), "3", size=(120, 40))
    assert "no networks" not in seen
    assert "/networks is refused with 403 by a proxy" in seen
    assert "→ NETWORKS=1" in seen


HOSTILE = (
    "[red]markup[/]",
    "\x1b[31mred\x1b]52;c;AA\x07",
    "名前名前名前",
    "x" * 10_000,
    "a\nb\tc",
    "e\u0301\u202e\u200b",
)


@pytest.mark.parametrize("name", HOSTILE, ids=["markup", "escape", "wide", "long", "lines", "invisible"])
def test_hostile_names_print_as_themselves(name: str) -> None:
    host = crowd(2)
    people = (container(0, name=name, image=name, compose=name), *(host.containers or ())[1:])
    found: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "2", "1", "tab", "y", "escape", "question_mark")
        strips = app.screen._compositor.render_strips()
        assert {sum(cell_len(segment.text) for segment in strip) for strip in strips} == {120}
        found.append(text(app))

    show(replace(host, containers=people), scene)
    assert not any(ord(character) < 32 for character in found[0].replace("\n", ""))
    assert "\u202e" not in found[0]


def test_without_colour_the_cursor_and_the_states_are_still_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def scene(pilot, app):
        styles = [segment.style for strip in app.screen._compositor.render_strips() for segment in strip]
        assert all(
            style is None or (style.color is None and style.bgcolor is None) or _default(style) for style in styles
        )
        assert any(style and style.reverse for style in styles)
        seen = text(app)
        assert "▌" in seen
        assert "[1 Containers]" in seen

    show(crowd(2), scene, options=Options())


def _default(style) -> bool:
    return all(colour is None or colour.is_default for colour in (style.color, style.bgcolor))


def test_a_view_that_could_not_be_read_names_those_that_could() -> None:
    failed = {"rules": Failure("rules", "rules need root", "run with sudo")}
    host = replace(crowd(3), ruleset=None, privileged=False, failures=failed)
    seen = see(host, "4", size=(80, 24))
    assert "→ run with sudo" in seen
    assert "what could be read: 1 Ctr  2 Ports  3 Net  5 Routes  6 Proxy  7 Links" in seen


def test_linked_panes_show_everything_where_nothing_is_selected() -> None:
    failed = {"docker": Failure("docker", "refused", "start it")}
    seen = see(replace(crowd(3), containers=None, networks=None, engine=None, failures=failed))
    assert "─ Routes 2 ─" in seen
    assert "192.0.2.1" in seen


def test_what_decides_comes_first_in_a_linked_pane() -> None:
    lines = see(crowd(3, rules=6), "j").splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith("─ Rules")) + 1
    assert "DNAT → 10.8.0.3:80" in lines[first]
    assert "MASQUERADE" in lines[first + 1]


def test_the_foot_keeps_help_and_quit() -> None:
    for size in ((60, 15), (80, 24), (120, 40)):
        foot = see(crowd(3), "tab", size=size).splitlines()[-1]
        assert "? help" in foot
        assert "q quit" in foot


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (160, 48)])
def test_moving_the_cursor_moves_no_pane(size: tuple[int, int]) -> None:
    def borders(seen: str) -> list[int]:
        return [at for at, line in enumerate(seen.splitlines()) if line.startswith("─")]

    assert borders(see(crowd(30), size=size)) == borders(see(crowd(30), "j", "j", "j", "G", size=size))


def test_the_way_into_a_port_is_told_once() -> None:
    seen = see(crowd(3), "2", "j", size=(120, 40))
    assert seen.count(" PATH ") == 1
    assert len([line for line in seen.splitlines() if line.startswith(("▌IN ", " IN "))]) == 1


def test_a_poll_of_a_host_at_rest_says_nothing_new(host: Callable[[str], Host]) -> None:
    shown = replace(host("docker28.5-nft-full"), taken=100.0)
    assert _same_on_screen(shown, replace(shown, taken=105.0))
    assert not _same_on_screen(shown, replace(shown, taken=160.0))  # the ages on screen are old
    assert not _same_on_screen(shown, replace(shown, containers=(shown.containers or ())[1:]))
    assert not _same_on_screen(shown, replace(shown, pending=frozenset(("rules",))))
    young = replace(shown, containers=tuple(replace(one, started_at=70.0) for one in shown.containers or ()))
    assert not _same_on_screen(young, replace(young, taken=105.0))  # an age in seconds is on screen
    gone = replace(shown, failures={"docker": Failure("docker", "does not answer")})
    assert not _same_on_screen(gone, replace(gone, taken=105.0))  # the seconds since then are on screen


@cache
def views(wide: int) -> dict[str, str]:
    """The screen after each digit, of one dashboard on which they are pressed one after the other."""
    seen: dict[str, str] = {}

    async def scene(pilot, app):
        for digit in "0123456789":
            await press(pilot, digit)
            seen[digit] = text(app)

    show(crowd(3), scene, (wide, 24))
    return seen


@pytest.mark.parametrize("digit", "0123456789")
@pytest.mark.parametrize("wide", [60, 72, 80, 100, 160])
def test_every_tab_is_on_screen(digit: str, wide: int) -> None:
    seen = next(line for line in views(wide)[digit].splitlines() if line.lstrip(" [").startswith("0"))
    assert re.findall(r"(?<![✗!?])\d", seen) == list("0123456789")
    assert re.search(rf"\[{digit} \w+( [✗!?]\d+)?\]", seen)


def test_a_filter_leaves_the_digits_of_the_tabs() -> None:
    seen = see(crowd(3), "slash", *"zzz", "enter", size=(80, 24)).splitlines()
    assert re.match(r" 0( \?3)? +\[1 Ctr\] +2 +3 +4 +5 +6 +7 +8 +9 +D +/zzz 0 of \d", seen[1])
    assert not {"follow", "trace", "copy"} & set(seen[-1].split())


@pytest.mark.parametrize("wide", [60, 80, 120])
def test_the_help_is_told_whole_and_names_every_view(wide: int) -> None:
    lines = help_lines(actions.IDS, {}, wide)
    assert max(map(line_size, lines)) + 1 <= wide - ASIDE  # the first column is the cursor's
    told = " ".join(" ".join(span.text for span in line) for line in lines)
    assert f"{PANES[0].digit} … {PANES[-2].digit} {PANES[-1].digit}" in told
    assert " ".join(told.split()).count("a view, the cursor on what belongs to the selection") == 1


def test_the_help_can_be_asked_for_before_the_terminal_told_its_size() -> None:
    assert help_lines(actions.IDS, {}, 0) == help_lines(actions.IDS, {}, 80)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            Failure("docker", "there is no Docker engine on /run/docker.sock", "", FailureKind.NO_ENGINE),
            "no engine",
        ),
        (Failure("docker", "no permission to use unix:///run/docker.sock"), "engine ?"),
        (None, "engine ?"),
    ],
)
def test_no_engine_is_said_only_where_there_is_none(failure: Failure | None, told: str) -> None:
    failures = {"docker": failure} if failure else {}
    bare = replace(crowd(3), engine=None, containers=None, failures=failures)
    assert told in see(bare).splitlines()[0]


def test_an_error_in_the_dashboard_fails_its_test_and_keeps_no_other_waiting() -> None:
    async def scene(pilot, app):
        app.call_later(lambda: 1 / 0)
        await press(pilot, "j")

    with pytest.raises(ZeroDivisionError):
        show(crowd(1), scene)
