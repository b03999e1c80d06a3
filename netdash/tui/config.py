"""The config file and what it may say, also the names of keys; and `netdash config`, which prints it as a file that
can be used as it is.

Imports no Textual: the command line reads it before that is loaded."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from netdash.bundle.archive import read_regular
from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.records import dataclass, field
from netdash.tui.actions import IDS, KEYS

if TYPE_CHECKING:
    from pathlib import Path

_NAMED = frozenset(
    "up down left right home end pageup pagedown insert delete enter escape tab space backspace".split()
    + [f"f{number}" for number in range(1, 25)]
)
_SHORTER = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_SAME = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+left_square_bracket": "escape",
    "ctrl+space": "ctrl+at",
}
"""What a terminal sends for both."""
_MODIFIERS = re.compile(r"(?:(?:ctrl|shift|alt)\+)*")


def _of_character(character: str) -> str:
    if character.isalnum():
        return character
    name = unicodedata.name(character, "").lower().replace("-", "_").replace(" ", "_")
    return _SHORTER.get(name, name)


@cache
def _marks() -> frozenset[str]:
    """The names of the punctuation of ASCII."""
    return frozenset(_of_character(chr(code)) for code in range(33, 127) if not chr(code).isalnum())


def canonical(name: str) -> str | None:
    """The one name of a key: `slash` for `/`, `tab` for `ctrl+i`; None where no key has this name."""
    found = _MODIFIERS.match(name)
    modifiers = found[0] if found else ""
    key = name[len(modifiers) :]
    key = _of_character(key) if len(key) == 1 and key.isprintable() else _SHORTER.get(key, key)
    if not (key in _NAMED or key in _marks() or (len(key) == 1 and key.isalnum())):
        return None
    return _SAME.get(modifiers + key, modifiers + key)


DEFAULT_INTERVAL = 5.0  # seconds between two polls of the counters
THEMES = ("netdash", "netdash-light", "netdash-contrast", "ansi")
MOST = 1 << 20  # bytes of the file
_ALWAYS = "ctrl+c"  # quits, whatever the file says
KNOWN = ("interval", "mouse", "theme", "read_only", "keys", "hosts", "sudo", "columns", "ambiguous", "first_frame")
WIDTHS = ("narrow", "wide")


@dataclass(frozen=True, slots=True)
class Options:
    interval: float = DEFAULT_INTERVAL
    mouse: bool = True
    theme: str | None = None  # None: by the terminal's colours and background
    read_only: bool = False  # nothing is ever changed
    keys: Mapping[str, str] = field(default_factory=dict)  # id of an action -> Textual's names of keys
    hosts: tuple[str, ...] = ()  # as --host; none: this one
    sudo: bool = False  # other hosts are read as root by their sudo
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # view -> the columns it shows; else all
    ambiguous: str = (
        "narrow"  # how the terminal draws characters of ambiguous width, as marks and frames: one of WIDTHS
    )
    first_frame: bool = True  # is painted before Textual is loaded


Keep = Callable[[str, Sequence[str]], None]
"""Keeps the columns of a view in the config file. Raises NetdashError."""


def config_path() -> str:
    """As the XDG Base Directory Specification has it."""
    home = os.path.join("/", os.path.expanduser("~"))  # without a home "~" stays, and must not be below this folder
    return os.path.join(os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config", "netdash", "config.toml")


def load_config(path: Path | str | None = None) -> Options:
    """The options of the file; those by default when `path` is None and there is none. Raises NetdashError(USAGE)."""
    chosen = path if path is not None else config_path()
    try:
        text = read_regular(chosen, MOST).decode("utf-8")
    except FileNotFoundError:
        if path is None:
            return Options()
        raise _wrong(chosen, "does not exist") from None
    except OSError as error:
        raise NetdashError(f"cannot read {chosen}: {error.strerror}", code=Exit.USAGE) from error
    except UnicodeDecodeError as error:
        raise _wrong(chosen, "is not UTF-8") from error
    import tomllib  # only where there is a file: importing takes longer than reading it

    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: also an integer of thousands of digits
        raise _wrong(chosen, f"is not TOML: {error}") from error
    return _File(chosen, text, values).options()


def _wrong(path: Path | str, what: str, hint: str = "") -> NetdashError:
    return NetdashError(f"{path} {what}", hint, Exit.USAGE)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path | str
    text: str
    values: Mapping[str, object]

    def options(self) -> Options:
        self._check_names(self.values, KNOWN, "")
        return Options(
            interval=self._interval(),
            mouse=self._switch("mouse", True),
            theme=self._theme(),
            read_only=self._switch("read_only", False),
            keys=self._keys(),
            hosts=self._hosts(),
            sudo=self._switch("sudo", False),
            columns=self._columns(),
            ambiguous=self._ambiguous(),
            first_frame=self._switch("first_frame", True),
        )

    def _wrong(self, name: str, what: str, hint: str = "") -> NetdashError:
        """`name` as it is written with its table, as "keys.down": the message begins with its line."""
        line = _line_of(self.text, name)
        return _wrong(f"{self.path}:{line}:" if line else f"{self.path}:", what, hint)

    def _check_names(self, values: Mapping[str, object], known: tuple[str, ...], prefix: str) -> None:
        for name in values:
            if name not in known:
                hint = did_you_mean(name, known, prefix) or f"known: {', '.join(known)}"
                raise self._wrong(prefix + name, f"unknown key: {prefix}{_printable(name)}", hint)

    def _interval(self) -> float:
        value = self.values.get("interval", DEFAULT_INTERVAL)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.2 <= value <= 3600:
            raise self._wrong("interval", "interval must be a number of seconds from 0.2 to 3600")
        return float(value)

    def _switch(self, name: str, default: bool) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, f"{name} must be true or false")
        return value

    def _theme(self) -> str | None:
        value = self.values.get("theme")
        if value is None or (isinstance(value, str) and value in THEMES):
            return value
        raise self._wrong("theme", f"theme must be one of {', '.join(THEMES)}")

    def _ambiguous(self) -> str:
        value = self.values.get("ambiguous", WIDTHS[0])
        if isinstance(value, str) and value in WIDTHS:
            return value
        raise self._wrong("ambiguous", f"ambiguous must be one of {', '.join(WIDTHS)}")

    def _hosts(self) -> tuple[str, ...]:
        value = self.values.get("hosts", [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise self._wrong("hosts", "hosts must be a list of texts such as 'ssh://user@host' and 'local'")
        return tuple(value)

    def _columns(self) -> Mapping[str, tuple[str, ...]]:
        value = self.values.get("columns", {})
        if not isinstance(value, dict):
            raise self._wrong("columns", "columns must be a table")
        if not value:
            return {}
        from netdash.view.views import BY_NAME  # only where the file asks for it: the command line reads it too

        self._check_names(value, tuple(BY_NAME), "columns.")
        for view, keys in value.items():
            known = [column.key for column in BY_NAME[view].columns if column.screen is not False]
            if not isinstance(keys, list) or not all(key in known for key in keys):
                name = f"columns.{view}"
                raise self._wrong(name, f"{name} must be a list of columns", f"columns: {', '.join(known)}")
        return {view: tuple(keys) for view, keys in value.items()}

    def _keys(self) -> Mapping[str, str]:
        """Each action's keys by their one name. No key may have two actions."""
        value = self.values.get("keys", {})
        if not isinstance(value, dict):
            raise self._wrong("keys", "keys must be a table")
        self._check_names(value, IDS, "keys.")
        chosen = {identity: self._key_list(identity, keys) for identity, keys in value.items()}
        owner: dict[str, str] = {}
        for identity, keys in (_default_keys() | chosen).items():
            for key in keys:
                other = owner.setdefault(key, identity)
                if other != identity:
                    named = identity if identity in chosen else other
                    raise self._wrong(
                        f"keys.{named}",
                        f"{key} is the key of {other} and of {identity}",
                        "give one of them another key",
                    )
        return {identity: ",".join(keys) for identity, keys in chosen.items()}

    def _key_list(self, identity: str, value: object) -> tuple[str, ...]:
        name = f"keys.{identity}"
        if not isinstance(value, str) or not value.replace(",", " ").strip():
            raise self._wrong(name, f"{name} must be text such as 'j,down'")
        found = []
        for word in map(str.strip, value.split(",")):
            key = canonical(word)
            if key is None:
                hint = "as a, A, f1, enter, slash, ctrl+r, shift+tab"
                raise self._wrong(name, f"{name}: no key is named {_printable(word)!r}", hint)
            if key == _ALWAYS:
                raise self._wrong(name, f"{name}: {_ALWAYS} always quits", "choose another key")
            found.append(key)
        return tuple(dict.fromkeys(found))


# --- what the dashboard writes there ----------------------------------------------------------------------------------


def with_columns(path: Path | str, text: str, view: str, keys: Iterable[str]) -> str:
    """The file's text with the columns of a view, all else as it was, comments too. Raises NetdashError(USAGE) where
    that is written in a way that only its author can change."""
    import tomllib

    named = ", ".join(f'"{key}"' for key in keys)
    line = f"{view} = [{named}]"
    try:
        wanted = tomllib.loads(text)
        wanted["columns"] = {**wanted.get("columns", {}), **tomllib.loads(line)}
    except (ValueError, TypeError) as error:
        raise _wrong(path, "is not as it was read", f"by hand: columns.{line}") from error
    for made in _written(text, view, line):
        with contextlib.suppress(ValueError):
            if tomllib.loads(made) == wanted:
                return made
    raise _wrong(path, f"has its columns where only its author can change them: columns.{line}")


def _written(text: str, view: str, line: str) -> Iterator[str]:
    """In the place of the line that says it now, in the table of columns, or in one at the end."""
    lines = text.split("\n")
    at = _line_of(text, f"columns.{view}")
    if at is not None:
        key, _, old = lines[at - 1].partition("=")
        comment = re.search(r"\]\s*(#.*)", old)
        said = f"{key.rstrip()} ={line.partition('=')[2]}{'  ' + comment[1] if comment else ''}"
        yield "\n".join([*lines[: at - 1], said, *lines[at:]])
    for number, head in enumerate(lines, 1):
        if re.match(r"\s*\[\s*columns\s*\]", head):
            yield "\n".join([*lines[:number], line, *lines[number:]])
    yield f"{text.rstrip()}\n\n[columns]\n{line}\n".lstrip()


def _default_keys() -> dict[str, tuple[str, ...]]:
    views = {identity: (identity.removeprefix("view_"),) for identity in IDS if identity.startswith("view_")}
    return {key.id: tuple(key.keys.split(",")) for key in KEYS} | views


def _line_of(text: str, name: str) -> int | None:
    """The number of the line where a value is given; None where it is not written as `key = …` on a line of its own."""
    import tomllib

    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("["):
            table = key = line
        else:
            key = f"{table}\n{line.partition('=')[0]}=0"
        with contextlib.suppress(tomllib.TOMLDecodeError, RecursionError):
            if name in _names(tomllib.loads(key)):
                return number
    return None


def _names(values: Mapping[str, object]) -> Iterator[str]:
    for name, value in values.items():
        yield name
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in _names(value))


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name[:60])


def lines(path: str | None) -> Iterator[str]:
    """TOML: what the file says, else the default, and as comments what else there is. Raises NetdashError(USAGE)."""
    place = path if path is not None else config_path()
    options = load_config(path)
    yield f"# {place}{'' if os.path.exists(place) else ' (does not exist: these are the defaults)'}"
    yield ""
    yield from _settings(options)
    if options.columns:
        yield ""
        yield "[columns]"
        yield from (f"{view} = [{', '.join(map(_text, keys))}]" for view, keys in options.columns.items())
    yield ""
    yield "[keys]"
    for key in KEYS:
        own = options.keys.get(key.id)
        name = f"{key.id} = {_text(own or key.keys)}"
        yield f"{name if own else f'# {name}':<44}# {key.help}"


def _settings(options: Options) -> Iterator[str]:
    yield f"interval = {options.interval:g}  # seconds between two looks at counters"
    yield f"mouse = {_switch(options.mouse)}"
    theme = f"theme = {_text(options.theme or THEMES[0])}"
    yield f"{theme if options.theme else f'# {theme}'}  # {', '.join(THEMES)}; without it: by the terminal"
    yield f"ambiguous = {_text(options.ambiguous)}  # wide: the terminal draws ● in two cells; ASCII instead"
    yield f"read_only = {_switch(options.read_only)}  # true: nothing is ever changed"
    yield f"first_frame = {_switch(options.first_frame)}  # false: nothing is painted before the whole screen is there"
    hosts = f"hosts = [{', '.join(map(_text, options.hosts or ('local',)))}]"
    yield f"{hosts if options.hosts else f'# {hosts}'}  # as --host; without it: this host"
    yield f"sudo = {_switch(options.sudo)}  # true: other hosts are read as root, where their sudo asks for no password"


def _switch(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str) -> str:
    from json import dumps  # a JSON text of printable characters is a TOML text

    return dumps(value, ensure_ascii=False)
