"""The config file: what it may say, and one line for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from netdash.core.errors import Exit, NetdashError
from netdash.tui.config import DEFAULT_INTERVAL, Options, load_config


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, "utf-8")
    return path


def test_all_that_can_be_said(tmp_path: Path) -> None:
    told = 'interval = 5\nmouse = false\ntheme = "ansi"\nread_only = true\nhosts = ["ssh://a", "local"]\n'
    path = write(tmp_path, told + '[keys]\ndown = "n,down"\nview_4 = "r"\n')
    keys = {"down": "n,down", "view_4": "r"}
    assert load_config(path) == Options(5.0, False, "ansi", True, keys, ("ssh://a", "local"))


def test_no_file_and_an_empty_one_give_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config() == Options(DEFAULT_INTERVAL, True, None, False, {})
    assert load_config(write(tmp_path, "")) == Options()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("intervall = 2", "unknown key: intervall", "did you mean interval?"),
        ("[keys]\ndwn = 'n'", "unknown key: keys.dwn", "did you mean keys.down?"),
        ("zzz = 1", "unknown key: zzz", "known: interval, mouse, theme, read_only, keys, hosts"),
        ("interval = 0", "interval must be", ""),
        ("interval = true", "interval must be", ""),
        ("interval = 'fast'", "interval must be", ""),
        ("hosts = 'ssh://a'", "hosts must be a list", ""),
        ("hosts = [1]", "hosts must be a list", ""),
        ("mouse = 1", "mouse must be true or false", ""),
        ("theme = 'pink'", "theme must be one of", ""),
        ("theme = 3", "theme must be one of", ""),
        ("keys = 1", "keys must be a table", ""),
        ("[keys]\ndown = 3", "keys.down must be text", ""),
        ("interval = ", "is not TOML", ""),
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
