"""What stands for a glyph where the terminal's encoding has none of it. Owns the one table of netdash's glyphs."""

from __future__ import annotations

import codecs

ASCII = {
    "—": "-",  # none
    "●": "*",
    "○": "o",
    "◐": "%",
    "◦": "'",
    "✓": "+",
    "✗": "x",
    "◆": "#",
    "‖": '"',
    "…": "~",
    "·": ";",
    "→": ">",
    "▶": ">",
    "▸": ">",
    "⇒": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "⏎": "&",
    "─": "=",
    "│": "|",
    "┬": "T",
    "▌": ">",
    "▎": ":",
    "▏": "_",
    "▐": "]",
}
"""One cell each, so that nothing moves. "?" is not among them: it means unknown."""

ERRORS = "netdash-glyphs"  # the name of this way to encode, for `reconfigure(errors=…)`


encoding: str | None = None  # of the terminal; None: it has every character


def use_encoding(name: str) -> None:
    """Text that is made safe from now on is for a stream of this encoding."""
    global encoding
    encoding = None if codecs.lookup(name).name == "utf-8" else name


def written(character: str, encoding: str | None) -> str | None:
    """How the character is written in this encoding, unless `_encoded` does the rest; None where it cannot be."""
    if encoding is not None:
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            return "Enter" if character == "⏎" else character if character in ASCII else None
    return character


def _encoded(error: UnicodeError) -> tuple[str, int]:
    """The glyphs of the table; anything else that comes here is an ornament of Textual's, and becomes a blank."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII.get(one, " ") for one in error.object[error.start : error.end]), error.end


codecs.register_error(ERRORS, _encoded)
