"""Text with a tone and a link, free of colour and markup. Owns where foreign text is made safe to print."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from netdash.core.model import Ref


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


@dataclass(frozen=True, slots=True)
class Span:
    text: str
    tone: Tone = Tone.PLAIN
    ref: Ref | None = None  # where Enter leads


Line = tuple[Span, ...]

MAX_TEXT = 512  # characters of one foreign string that are ever shown


@lru_cache(maxsize=16384)
def clean(text: str, limit: int = MAX_TEXT) -> str:
    """`text` safe for a terminal: control, format and unassigned characters become visible, cut with … at `limit`."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character


@lru_cache(maxsize=16384)
def width(text: str) -> int:
    """Terminal cells that cleaned `text` takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, cells: int) -> str:
    """Cleaned `text` cut with … to at most `cells` terminal cells, and padded with spaces to exactly that."""
    have = width(text)
    if have <= cells:
        return text + " " * (cells - have)
    if cells < 1:
        return ""
    kept, used = "", 0
    for character in text:
        step = _cells(character)
        if used + step > cells - 1:
            break
        kept += character
        used += step
    return kept + "…" + " " * (cells - used - 1)
