"""`netdash config`: the configuration as a file that can be used as it is, its place, every action with its keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from netdash.tui.actions import KEYS
from netdash.tui.config import THEMES, Options, config_path, load_config


def lines(path: str | None) -> Iterator[str]:
    """TOML: what the file says, else the default, and as comments what else there is. Raises NetdashError(USAGE)."""
    place = Path(path) if path is not None else config_path()
    options = load_config(path)
    yield f"# {place}{'' if place.exists() else ' (does not exist: these are the defaults)'}"
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
