"""The config file and what it may say. Imports no Textual: the command line reads it before that is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from netdash.core.errors import Exit, NetdashError
from netdash.tui.keys import IDS

DEFAULT_INTERVAL = 5.0  # seconds between two polls of the counters
THEMES = ("netdash", "netdash-light", "ansi")
KNOWN = ("interval", "mouse", "theme", "read_only", "keys", "hosts")


@dataclass(frozen=True, slots=True)
class Options:
    interval: float = DEFAULT_INTERVAL
    mouse: bool = True
    theme: str | None = None  # None: by what the terminal can show
    read_only: bool = False  # nothing is ever changed
    keys: Mapping[str, str] = field(default_factory=dict)  # id of an action -> Textual's names of keys
    hosts: tuple[str, ...] = ()  # as --host; none: this one


def config_path() -> Path:
    from platformdirs import user_config_dir

    return Path(user_config_dir("netdash")) / "config.toml"


def load_config(path: Path | str | None = None) -> Options:
    """The options of the file; those by default when `path` is None and there is none. Raises NetdashError(USAGE)."""
    chosen = Path(path) if path is not None else config_path()
    try:
        text = chosen.read_text("utf-8")
    except FileNotFoundError:
        if path is None:
            return Options()
        raise _wrong(chosen, "does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(chosen, f"cannot be read: {error}") from error
    import tomllib  # only where there is a file: importing takes longer than reading it

    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(chosen, f"is not TOML: {error}") from error
    _check_names(chosen, told, KNOWN, "")
    return Options(
        interval=_interval(chosen, told.get("interval", DEFAULT_INTERVAL)),
        mouse=_switch(chosen, "mouse", told.get("mouse", True)),
        theme=_theme(chosen, told.get("theme")),
        read_only=_switch(chosen, "read_only", told.get("read_only", False)),
        keys=_keys(chosen, told.get("keys", {})),
        hosts=_hosts(chosen, told.get("hosts", [])),
    )


def _wrong(path: Path, what: str, hint: str = "") -> NetdashError:
    return NetdashError(f"{path} {what}", hint, Exit.USAGE)


def _check_names(path: Path, told: Mapping[str, object], known: tuple[str, ...], prefix: str) -> None:
    for name in told:
        if name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
            raise _wrong(path, f"has an unknown key: {prefix}{name}", hint)


def _interval(path: Path, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.2 <= value <= 3600:
        raise _wrong(path, "interval must be a number of seconds from 0.2 to 3600")
    return float(value)


def _switch(path: Path, name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong(path, f"{name} must be true or false")
    return value


def _theme(path: Path, value: object) -> str | None:
    if value is None or value in THEMES:
        return value
    raise _wrong(path, f"theme must be one of {', '.join(THEMES)}")


def _hosts(path: Path, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(path, "hosts must be a list of texts such as 'ssh://user@host' and 'local'")
    return tuple(value)


def _keys(path: Path, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise _wrong(path, "keys must be a table")
    _check_names(path, value, IDS, "keys.")
    for name, keys in value.items():
        if not isinstance(keys, str) or not keys.strip():
            raise _wrong(path, f"keys.{name} must be text such as 'j,down'")
    return value
