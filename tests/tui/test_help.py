"""The help, and what the foot promises: each key that is named there does something, each other says why not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.tui.actions import ACTIONS, BY_ID, Needs
from netdash.tui.frame import hints
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import dashboard, press, show, text


def foot(seen: str) -> str:
    return seen.splitlines()[-1]


def test_one_page_where_it_fits_and_a_sign_of_more_where_not() -> None:
    async def whole(pilot, app):
        await press(pilot, "?")
        assert "more: " not in text(app)
        for word in ("Move", "quit (Ctrl-C too)", "Change"):
            assert word in text(app)

    async def part(pilot, app):
        await press(pilot, "?")
        assert "more: PgDn" in text(app)
        await press(pilot, *["pagedown"] * 4)
        assert "more: PgDn" not in text(app)
        assert "quit (Ctrl-C too)" in text(app)

    show(crowd(3), whole, (120, 40))
    show(crowd(3), part, (80, 24))


def test_the_help_is_searched() -> None:
    async def scene(pilot, app):
        await press(pilot, "?", "/", *"sort", "enter")
        assert "sort by the next column" in text(app)
        assert "back one level" not in text(app)
        await press(pilot, "/", *"zzz")
        assert "no key is said to do that: zzz" in text(app)
        await press(pilot, "escape")
        assert "back one level" in text(app)
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)

    show(crowd(3), scene, (120, 40))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_every_key_at_the_foot_does_something(size: tuple[int, int]) -> None:
    async def scene(pilot, app):
        screen = dashboard(pilot)
        for start in (("1",), ("4", "j"), ("1", "tab"), ("2", "slash", *"200", "enter")):
            await press(pilot, *["escape"] * 3, *start)
            for identity, _ in list(hints(screen._state())):
                if identity == "quit":
                    continue
                before = text(app)
                await press(pilot, BY_ID[identity].keys.split(",")[0])
                assert text(app) != before, (start, identity)
                await press(pilot, *["escape"] * 4, *(["p"] if app.paused else []), *start)

    show(crowd(9), scene, size)


@pytest.mark.parametrize("needs", [Needs.LIVE, Needs.ROW, Needs.ORDER, Needs.LINKED, Needs.CHANGES])
def test_a_key_that_cannot_work_says_why(needs: Needs) -> None:
    async def scene(pilot, app):
        for action in ACTIONS:
            if action.needs is needs and action.keys:
                await press(pilot, "?", "escape", action.keys.split(",")[0])
                why = dashboard(pilot).why_not(action.id)
                assert why
                assert why[:60] in foot(text(app))
                assert app.screen is dashboard(pilot)

    show(replace(crowd(0), live=False), scene)


def test_the_foot_of_a_trace_says_what_its_keys_do_there() -> None:
    async def scene(pilot, app):
        await press(pilot, "t")
        assert "j k which packet  ⏎ rule by rule" in foot(text(app))
        await press(pilot, "enter")
        assert "⏎ go there" in foot(text(app))
        await press(pilot, "escape")
        assert "Esc close" in foot(text(app))
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)

    show(crowd(3), scene)
