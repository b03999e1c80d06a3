"""Which columns a list shows is chosen over the list, at once, and kept in the config file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.cli.main import _keep_columns
from netdash.model.errors import NetdashError
from netdash.tui.app import Netdash
from netdash.tui.config import Options, load_config
from netdash.tui.host_view import Listing
from netdash.view.text import Span
from tests.support.tui_hosts import crowd
from tests.support.tui_stage import Stage, dashboard, press, settle, show, text


def titles(app: Netdash) -> str:
    return next(line for line in text(app).splitlines() if line.startswith("   NAME"))


def play(*keys: str, options: Options | None = None, keep=None) -> tuple[str, str]:
    """The titles of the list, and the last line, after these keys."""
    app = Netdash(Stage(crowd(3)), options or Options(theme="netdash"), None, keep)
    seen: list[str] = []

    async def run() -> None:
        async with app.run_test(size=(120, 40)) as pilot:
            await settle(pilot)
            await press(pilot, *keys)
            seen.extend((titles(app), text(app).splitlines()[-1]))

    asyncio.run(run())
    return seen[0], seen[1]


def test_a_column_is_switched_off_and_kept() -> None:
    kept: list[tuple[str, Sequence[str]]] = []
    shown, _ = play("vertical_line", *"jjjj", "space", "enter", keep=lambda *what: kept.append(what))
    assert "ADDRESS" not in shown
    assert "NETWORK" in shown
    ((view, columns),) = kept
    assert view == "containers"
    assert "address" not in columns
    assert {"name", "in", "out", "for", "network"} <= set(columns)


@pytest.mark.parametrize(("column", "title"), [(1, "IN↑"), (2, "OUT↑")])
def test_the_sign_of_the_order_has_room_beside_long_reasons(column: int, title: str) -> None:
    async def scene(pilot, app):
        grid = dashboard(pilot).panes.grid
        rows = [replace(row, why=Span("x" * 70)) for row in grid.listing]
        grid.show(Listing(replace(grid.listing.ask, sort=column), rows, range(len(rows))), 0)
        await settle(pilot)
        assert f" {title} " in titles(app)

    show(crowd(3), scene, (80, 24))


def test_escape_gives_it_up() -> None:
    kept: list[object] = []
    shown, _ = play("vertical_line", *"jjjj", "space", "escape", keep=lambda *what: kept.append(what))
    assert "ADDRESS" in shown
    assert not kept


@pytest.mark.parametrize("down", ["", "j", "jj"])
def test_the_name_and_the_verdicts_stay(down: str) -> None:
    shown, _ = play("vertical_line", *down, "space", "enter")
    assert shown.split()[:3] == ["NAME", "IN", "OUT"]


def test_what_the_file_says_is_shown() -> None:
    options = Options(theme="netdash", columns={"containers": ("image",)})
    assert play(options=options)[0].split() == ["NAME", "IN", "OUT", "IMAGE"]


def test_a_file_that_cannot_be_written_is_said() -> None:
    def keep(*_: object) -> None:
        raise NetdashError("cannot write /x: read-only file system")

    _, said = play("vertical_line", *"jjjj", "space", "enter", keep=keep)
    assert "not kept: cannot write /x" in said


def test_the_file_keeps_its_comments_its_mode_and_its_place(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text("# mine\nmouse = false\n")
    real.chmod(0o640)
    link = tmp_path / "config.toml"
    link.symlink_to(real)
    _keep_columns(link, "containers", ("name", "image"))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_text().startswith("# mine\nmouse = false\n")
    assert load_config(link).columns == {"containers": ("name", "image")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "dotfiles.toml"]


def test_a_file_where_others_can_write_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(NetdashError, match="can be written by other users"):
        _keep_columns(folder / "config.toml", "containers", ("name",))
    assert not list(folder.iterdir())


def test_where_there_is_no_file_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "netdash" / "config.toml"
    _keep_columns(path, "ports", ("port", "proto", "bind"))
    assert load_config(path).columns == {"ports": ("port", "proto", "bind")}


def test_counters_are_read_only_while_a_column_shows_them() -> None:
    stage = Stage(crowd(3))
    app = Netdash(stage, Options(theme="netdash"))

    async def run() -> None:
        async with app.run_test(size=(160, 40)) as pilot:
            await settle(pilot)
            assert not stage.watched.counters
            assert " RX" not in titles(app)
            assert stage.watched.addresses, "of the container whose card is on screen its connections are read"
            await press(pilot, "vertical_line", "G", *"kkk", "space", "enter")
            assert stage.watched.counters
            assert " RX" in titles(app)
            await press(pilot, "3")
            assert not stage.watched.counters, "the networks show none"
            await press(pilot, "1", "vertical_line", "G", *"kkk", "space", "enter")
            assert not stage.watched.counters
            await press(pilot, "m")
            assert stage.watched.counters, "the map shows them"
            await press(pilot, "escape")
            await press(pilot, "j")
            assert not stage.watched.counters

    asyncio.run(run())
