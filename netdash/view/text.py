"""Text with a tone and a link, free of colour and markup. The one place where text is made safe to print, or to paste
into a shell."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NewType

from netdash.model.records import dataclass

if TYPE_CHECKING:
    from netdash.model.host import Ref


class Tone(Enum):
    """What a piece of text means; each surface chooses its own colours."""

    PLAIN = "plain"
    DIM = "dim"
    TITLE = "title"
    KEY = "key"  # a name, an address: what the eye looks for
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"  # a "?" and its reason
    HOP = "hop"  # arrows and joints


SafeText = NewType("SafeText", str)
"""Text that may be written to a terminal as it is. Only this module, and `plain` with the colours of the command line,
call it (tests/test_architecture.py); all others call `safe` or `clean`."""

MAX_TEXT = 512  # characters of one foreign string that are ever shown
MAX_MARKS = 2  # combining marks on one character; more are drawn over the lines around it
_MARKS = ("Mn", "Me")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # printable by their category, but not seen
_SELECTORS = ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))  # change the character before, and its width


@dataclass(frozen=True, slots=True, init=False)
class Span:
    """A piece of a line. Whatever text it is given is made safe here: no caller has to remember that."""

    text: SafeText
    tone: Tone
    ref: Ref | None  # where Enter leads

    def __init__(self, text: str, tone: Tone = Tone.PLAIN, ref: Ref | None = None) -> None:
        put = object.__setattr__  # it is frozen
        put(self, "text", safe(text))
        put(self, "tone", tone)
        put(self, "ref", ref)

    def with_text(self, text: str) -> Span:
        return Span(text, self.tone, self.ref)


Line = tuple[Span, ...]


def safe(text: str) -> SafeText:
    """`text` with an escape (\\x1b, \\u202e) for each character that a terminal acts on, or that is not seen."""
    if text.isascii() and text.isprintable():
        return SafeText(text)
    return _visible(text, encoding)


def safe_lines(lines: Iterable[str]) -> SafeText:
    """Lines to copy as one text: the breaks between them are real, a break inside one is escaped as all else is."""
    return SafeText("\n".join(map(safe, lines)))


def clean(text: str, limit: int = MAX_TEXT) -> SafeText:
    """Foreign `text` made safe, cut with … at `limit` characters."""
    return safe(text if len(text) <= limit else text[: limit - 1] + "…")


@lru_cache(maxsize=2048)
def _visible(text: str, encoding: str | None) -> SafeText:
    made: list[str] = []
    marks = MAX_MARKS  # a mark at the start would be drawn on what is left of the text
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else 0
        seen = character.isprintable() and marks <= MAX_MARKS and not _is_hidden(character)
        made.append((seen and written(character, encoding)) or _escaped(ord(character)))
    return SafeText("".join(made))


def _is_hidden(character: str) -> bool:
    return character in _BLANK or any(low <= ord(character) <= high for low, high in _SELECTORS)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Terminal cells that cleaned `text` takes."""
    return len(text) if text.isascii() else _width(text)


@lru_cache(maxsize=2048)
def _width(text: str) -> int:
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.category(character) in _MARKS:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, cells: int, middle: bool = False) -> SafeText:
    """`text` made safe, cut with … to at most `cells` terminal cells, and padded with spaces to exactly that. `middle`:
    cut there, because long names often differ at their ends only."""
    text = safe(text)
    have = width(text)
    if have <= cells:
        return SafeText(text + " " * (cells - have))
    if cells < 1:
        return SafeText("")
    end = _first(text[::-1], (cells - 1) // 2)[::-1] if middle else ""
    cut = _first(text, cells - 1 - width(end)) + "…" + end
    return SafeText(cut + " " * (cells - width(cut)))


def _first(text: str, cells: int) -> str:
    """As many of its first characters as fit."""
    used = 0
    for at, character in enumerate(text):
        used += _cells(character)
        if used > cells:
            return text[:at]
    return text


# --- glyphs that the terminal lacks -----------------------------------------------------------------------------------

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
    "▾": "v",
    "⇒": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "⏎": "&",
    "µ": "u",
    "─": "=",
    "│": "|",
    "┬": "T",
    "├": "|",
    "└": "`",
    "═": "=",
    "║": "|",
    "╠": "|",
    "╚": "`",
    "┄": ".",
    "◀": "<",
    "▌": ">",
    "▎": ":",
    "▏": "_",
    "▐": "]",
    "▁": "_",
    "▂": ".",
    "▃": ",",
    "▄": "-",
    "▅": "=",
    "▆": "+",
    "▇": "*",
    "█": "#",
}
"""One cell each, so that nothing moves. "?" is not among them: it means unknown."""

GLYPH_ERRORS = "netdash-glyphs"  # the error handler's name, for `reconfigure(errors=…)`

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
    return "".join(ASCII.get(glyph, " ") for glyph in error.object[error.start : error.end]), error.end


codecs.register_error(GLYPH_ERRORS, _encoded)


# --- commands to copy -------------------------------------------------------------------------------------------------

_OF_NFT = r"[A-Za-z_.][A-Za-z0-9_./\\-]*"  # nft reads its arguments as one text of its own language


def shell_command(template: str, *names: str) -> SafeText:
    """The template with a quoted name for each {}. A name that cannot be put there as it is gives a comment that says
    so: an escape in its place would name another thing, and a name that begins with - would be an option."""
    for name in names:
        if not name or name.startswith("-") or clean(name) != name:
            return _impossible(name)
    import shlex

    return safe(template.format(*map(shlex.quote, names)))


def nft_command(template: str, *names: str) -> SafeText:
    """The same for nft, where quotes of the shell do not keep a name from being syntax."""
    unquotable = next((name for name in names if not re.fullmatch(_OF_NFT, name)), None)
    return shell_command(template, *names) if unquotable is None else _impossible(unquotable)


def _impossible(name: str) -> SafeText:
    return safe(f"# no safe command: the name {clean(repr(name), 60)} cannot be written in one")


def listed(names: Sequence[str], room: int) -> str:
    """As many names as fit, and how many are left out."""
    shown = ""
    for at, name in enumerate(names):
        longer = f"{shown}, {name}" if shown else name
        left = len(names) - at - 1
        if width(longer) + (len(f" +{left}") if left else 0) > room and shown:
            return f"{shown} +{left + 1}"
        shown = longer
    return shown
