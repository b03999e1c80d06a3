"""The config file: what it may say, and one line for everything else."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest

from netdash.model.errors import Exit, NetdashError
from netdash.tui.actions import KEYS, Action
from netdash.tui.config import DEFAULT_INTERVAL, Options, canonical, load_config, with_columns


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_all_that_can_be_said(tmp_path: Path) -> None:
    told = 'interval = 5\nmouse = false\ntheme = "ansi"\nread_only = true\nhosts = ["ssh://a", "local"]\n'
    told += 'first_frame = false\n[columns]\ncontainers = ["name", "address"]\n'
    path = write(tmp_path, told + '[keys]\ndown = "n,down"\nview_4 = "r"\n')
    keys, columns = {"down": "n,down", "view_4": "r"}, {"containers": ("name", "address")}
    assert load_config(path) == Options(
        5.0, False, "ansi", True, keys, ("ssh://a", "local"), columns=columns, first_frame=False
    )


def test_no_file_and_an_empty_one_give_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config() == Options(DEFAULT_INTERVAL, True, None, False, {})
    assert load_config(write(tmp_path, "")) == Options()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("intervall = 2", "unknown key: intervall", "did you mean interval?"),
        ("[keys]\ndwn = 'n'", "unknown key: keys.dwn", "did you mean keys.down?"),
        (
            "zzz = 1",
            "unknown key: zzz",
            "known: interval, mouse, theme, read_only, keys, hosts, sudo, columns, ambiguous, first_frame",
        ),
        ("interval = 0", "interval must be", ""),
        ("interval = true", "interval must be", ""),
        ("interval = 'fast'", "interval must be", ""),
        ("hosts = 'ssh://a'", "hosts must be a list", ""),
        ("hosts = [1]", "hosts must be a list", ""),
        ("mouse = 1", "mouse must be true or false", ""),
        ("theme = 'pink'", "theme must be one of", ""),
        ("theme = 3", "theme must be one of", ""),
        ("keys = 1", "keys must be a table", ""),
        ("columns = 1", "columns must be a table", ""),
        ("[columns]\ncontainer = []", ":2: unknown key: columns.container", "did you mean columns.containers?"),
        ("[columns]\nports = 'port'", ":2: columns.ports must be a list of columns", "columns: port, proto, bind"),
        ("[columns]\nports = ['prt']", ":2: columns.ports must be a list of columns", ""),
        ("[columns]\ncontainers = ['state']", ":2: columns.containers must be a list of columns", ""),
        ("[keys]\ndown = 3", "keys.down must be text", ""),
        ("interval = ", "is not TOML", ""),
        ("interval = " + "9" * 5000, "is not TOML", ""),
        ("interval = 1e999", "interval must be", ""),
        ("interval = nan", "interval must be", ""),
        ("interval = 99999999999999999999", ":1: interval must be", ""),
        ("theme = ['netdash']", "theme must be one of", ""),
        ("mouse = true\n\n[keys]\n dwn = 'n'", ":4: unknown key: keys.dwn", ""),
        ("keys.dwn = 'n'", ":1: unknown key: keys.dwn", ""),
        ('[keys]\n"a\\u001b[2Jb" = "n"', ":2: unknown key: keys.a?[2Jb", ""),
        ("[keys]\nup = 'k'\ndown = 'j,flarp'", ":3: keys.down: no key is named 'flarp'", "as a, A, f1"),
        ('[keys]\ndown = "\\u001b"', ":2: keys.down: no key is named '?'", ""),
        ("[keys]\ndown = 'j,,k'", ":2: keys.down: no key is named ''", ""),
        ("[keys]\ndown = ','", ":2: keys.down must be text", ""),
        ("[keys]\ntrace = 'y'", ":2: y is the key of ", "another key"),
        ("[keys]\ndown = 'z'\nup = 'z'", ":3: z is the key of down and of up", ""),
        ("[keys]\ndown = '/'", ":2: slash is the key of ", ""),
        ("[keys]\ndown = 'ctrl+m'", ":2: enter is the key of ", ""),
        ("[keys]\nview_2 = '1'", ":2: 1 is the key of ", ""),
        ("[keys]\nquit = ''", ":2: keys.quit must be text", ""),
        ("[keys]\ndown = 'ctrl+c'", ":2: keys.down: ctrl+c always quits", ""),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(NetdashError) as caught:
        load_config(write(tmp_path, text))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.code is Exit.USAGE
    assert "\n" not in caught.value.message


def test_named_file_that_is_missing_or_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(NetdashError) as caught:
            load_config(path)
        assert caught.value.code is Exit.USAGE
    broken = tmp_path / "bytes.toml"
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(NetdashError):
        load_config(broken)


def test_two_actions_may_change_their_keys(tmp_path: Path) -> None:
    path = write(tmp_path, "[keys]\ntrace = 'y'\ncopy = 't, é,ctrl+right_square_bracket, ~'\n")
    assert load_config(path).keys == {"trace": "y", "copy": "t,é,ctrl+right_square_bracket,tilde"}


def test_key_names_are_those_of_the_dashboard() -> None:
    from textual.keys import _character_to_key

    for key in (*KEYS, *(Action("", mark, "", "") for mark in string.punctuation if mark != ",")):
        for name in key.keys.split(","):
            assert canonical(name) == (_character_to_key(name) if len(name) == 1 else name)


@pytest.mark.parametrize("kind", ["fifo", "device", "large"])
def test_a_file_without_an_end_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(NetdashError, match="larger than 1 MiB" if kind == "large" else "not a regular file") as caught:
        load_config(path)
    assert caught.value.code is Exit.USAGE


# --- what the dashboard writes there ----------------------------------------------------------------------------------

KEPT = ("name", "address")
LINE = 'containers = ["name", "address"]'


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", f"[columns]\n{LINE}\n"),
        ("# mine\nmouse = false  # no mouse\n", f"# mine\nmouse = false  # no mouse\n\n[columns]\n{LINE}\n"),
        ("[keys]\ndown = 'n'", f"[keys]\ndown = 'n'\n\n[columns]\n{LINE}\n"),
        ("[columns]  # few\nports = ['port']\n[keys]\n", f"[columns]  # few\n{LINE}\nports = ['port']\n[keys]\n"),
        ("[columns]\n containers = ['image'] # old\n", f"[columns]\n {LINE}  # old\n"),
        ("columns.containers = []\nmouse = true", f"columns.{LINE}\nmouse = true"),
        ("# [columns]\nx = '''\n[columns]\n'''", f"# [columns]\nx = '''\n[columns]\n'''\n\n[columns]\n{LINE}\n"),
    ],
)
def test_columns_are_written_and_all_else_stays(text: str, made: str) -> None:
    assert with_columns(Path("config.toml"), text, "containers", KEPT) == made


@pytest.mark.parametrize(
    "text",
    ["columns = {}", "[columns]\ncontainers = [\n 'name',\n]\n", "columns = 3", "mouse = ", "[[columns]]\n"],
)
def test_a_file_that_is_written_otherwise_is_left_alone(text: str) -> None:
    with pytest.raises(NetdashError) as caught:
        with_columns(Path("config.toml"), text, "containers", KEPT)
    assert f"columns.{LINE}" in caught.value.message + caught.value.hint
