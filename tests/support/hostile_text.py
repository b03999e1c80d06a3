"""Hostile text, and what of a text may be written to a terminal: lines of visible text and netdash's own sequences."""

from __future__ import annotations

import io
import re

from netdash.view.text import MAX_MARKS

PAYLOADS = (
    *(
        "\x1b]52;c;QUFB\x07",
        "\x1b]0;title\x1b\\",
        "\x1b[2J",
        "\x1b[35;7m",
        "\x1bc",
        "\x1bP+q\x1b\\",
        "\x1b_Gf=100;AA\x1b\\",
    ),
    *(
        "\x9b2J",
        "\x9d52;c;QUFB\x9c",
        "\x90q\x9c",
        "\x85",
        "\x07",
        "\x08\x08\x08",
        "\r",
        "\n",
        "\n-A x\n",
        "\t",
        "\x0b\x0c",
    ),
    *(
        "\x00",
        "\x7f",
        "\x0e",
        "\u202e",
        "\u2066\u2069",
        "\u200e\u200f",
        "\u200b\u200d\ufeff",
        "e" + "\u0301" * 40,
        "\u0301",
    ),
    *("\udc9b2J", "\ud83d", "\u2028", "\u2029", "\U000e0041", "\ufe0f", "\u3164", "\xa0", "\U0010ffff", "漢" * 9),
    *(
        "[red]",
        "[@click=app.quit]x[/]",
        "fe80::1%\x1b]0;t\x07",
        "fe80::1%\u202e",
        "fe80::1%\n",
        "$(reboot)",
        "`x`;'\"",
        "--help",
    ),
)
_OWN = re.compile(r"\x1b\[(?:2|1;36|1|32|33|1;31|3;33|36|0)m")  # the colours of the command line


class FoundError(AssertionError):
    """Something that must not reach a terminal did."""


def check(where: str, text: str, own: re.Pattern[str] = _OWN) -> None:
    """Raises FoundError where `text` holds more than lines of visible text and sequences of netdash's own."""
    bare = own.sub("", text)
    wrong = {character for character in bare if not character.isprintable() and character != "\n"}
    if wrong or "\u0301" * (MAX_MARKS + 1) in bare:
        at = next((bare.index(character) for character in wrong), 0)
        raise FoundError(f"{where}: {sorted(wrong)!r} in {bare[max(0, at - 60) : at + 60]!r}")


class Terminal(io.TextIOWrapper):
    """Standard output as a terminal has it: what was written is kept as bytes."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return True

    def taken(self) -> str:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        text = raw.getvalue().decode("utf-8")
        raw.seek(0)
        raw.truncate()
        return text
