"""The names that keys have in the config file, which are Textual's. Imports no Textual: the command line asks it."""

from __future__ import annotations

import re
import string
import unicodedata

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


_MARKS = frozenset(map(_of_character, string.punctuation))


def canonical(name: str) -> str | None:
    """The one name of a key: `slash` for `/`, `tab` for `ctrl+i`; None where no key has this name."""
    found = _MODIFIERS.match(name)
    modifiers = found[0] if found else ""
    key = name[len(modifiers) :]
    key = _of_character(key) if len(key) == 1 and key.isprintable() else _SHORTER.get(key, key)
    if not (key in _NAMED or key in _MARKS or (len(key) == 1 and key.isalnum())):
        return None
    return _SAME.get(modifiers + key, modifiers + key)
