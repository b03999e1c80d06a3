"""The list by compose project: headlines that fold, what is folded is counted, and no key acts on another row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.model.host import Host, Ref
from tests.support.tui_hosts import container, crowd
from tests.support.tui_stage import dashboard, press, settle, show, text

PROJECTS = ("shop", "blog", None)


def grouped(number: int = 9, *more: int) -> Host:
    """Containers of two projects and of none, in turn; `more`: further ones of shop."""
    whole = crowd(number)
    made = tuple(replace(one, compose=PROJECTS[at % 3]) for at, one in enumerate(whole.containers or ()))
    return replace(whole, containers=(*made, *(container(each, compose="shop") for each in more)))


def names(pilot) -> list[str]:
    return [row.cells[0].text for row in dashboard(pilot).panes.grid.listing]


def here(pilot) -> Ref:
    return dashboard(pilot).panes.grid.row.ref


def test_headlines_stand_in_the_order_of_names_and_say_how_many_there_are() -> None:
    async def scene(pilot, app):
        await press(pilot, "z")
        assert [name for name in names(pilot) if name[0] in "▾▸"] == ["▾ blog", "▾ shop", "▾ no project"]
        assert "3 containers  ?3" in text(app)
        await press(pilot, "z")
        assert names(pilot)[:3] == ["web-0", "web-1", "web-2"]

    show(grouped(), scene, (80, 24))


@pytest.mark.parametrize("key", ["enter", "space"])
def test_a_headline_folds_and_what_is_folded_is_counted(key: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "z", "g", key)
        assert here(pilot) == Ref("project", "blog")
        assert names(pilot)[:2] == ["▸ blog", "▾ shop"]
        assert "3 folded" in text(app).splitlines()[1] + text(app).splitlines()[2]
        await press(pilot, key)
        assert "web-1" in names(pilot)
        assert "folded" not in text(app)

    show(grouped(), scene)


def test_sorted_the_worst_project_comes_first() -> None:
    async def scene(pilot, app):
        await press(pilot, "z", *":sort published", "enter", "S")
        assert [name for name in names(pilot) if name[0] == "▾"] == ["▾ no project", "▾ blog", "▾ shop"]

    show(grouped(), scene)


def test_the_cursor_stays_on_its_thing() -> None:
    async def scene(pilot, app):
        await press(pilot, "j", "j", "j", "j")
        before = here(pilot)
        await press(pilot, "z")
        assert here(pilot) == before
        app.feed.publish(grouped(9, 100, 101))
        await settle(pilot)
        assert here(pilot) == before
        await press(pilot, "g", "j")
        first = here(pilot)
        await press(pilot, "k", "z")
        assert here(pilot) == first

    show(grouped(), scene)


def test_grouped_again_the_cursor_of_a_folded_row_is_on_its_headline() -> None:
    async def scene(pilot, app):
        await press(pilot, "z", "g", "enter", "z", "g", "j")
        assert names(pilot)[dashboard(pilot).panes.grid.cursor] == "web-1"
        await press(pilot, "z")
        assert here(pilot) == Ref("project", "blog")

    show(grouped(), scene)


def test_what_is_gone_to_is_never_folded_away() -> None:
    async def scene(pilot, app):
        await press(pilot, "z", "g", "enter", *":go web-1", "enter")
        assert here(pilot) == Ref("container", container(1).id)

    show(grouped(), scene)


@pytest.mark.parametrize("key", ["t", "w", "y", "P"])
def test_no_key_takes_a_headline_for_a_container(key: str) -> None:
    async def scene(pilot, app):
        await press(pilot, "z", "g", key)
        assert app.screen is dashboard(pilot)
        shown = text(app).splitlines()[-1]
        assert "headline of a group" in shown or "nothing is changed here" in shown

    show(grouped(), scene)


def test_a_project_that_is_gone_stays_struck_until_a_key() -> None:
    async def scene(pilot, app):
        await press(pilot, "z", "g")
        whole = grouped()
        left = tuple(one for one in whole.containers or () if one.compose != "blog")
        app.feed.publish(replace(whole, containers=left, taken=6_000.0))
        await settle(pilot)
        assert here(pilot) == Ref("project", "blog")
        assert dashboard(pilot).panes.grid.on_struck
        await press(pilot, "j")
        assert "▾ blog" not in names(pilot)

    show(grouped(), scene)


def test_rows_that_come_above_do_not_move_the_line_of_the_cursor() -> None:
    async def scene(pilot, app):
        await press(pilot, "G")
        grid = dashboard(pilot).panes.grid
        line = grid.cursor - grid.top
        whole = grouped(40)
        app.feed.publish(replace(whole, containers=(container(500), *(whole.containers or ()))))
        await settle(pilot)
        assert grid.cursor - grid.top == line
        assert grid.top > 0

    show(grouped(40), scene, (80, 24))


def test_a_list_of_other_things_says_that_it_is_not_grouped() -> None:
    async def scene(pilot, app):
        await press(pilot, "5", "z")
        assert "can be grouped, nothing else" in text(app)

    show(grouped(), scene)
