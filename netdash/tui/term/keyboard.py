"""The bytes that a terminal sends, cut into whole units and made Textual's messages. Any byte may come, in any pieces,
and each unit ends: at its own end, at a limit of size, or of time. What Textual does not know is dropped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from textual import events
from textual._xterm_parser import XTermParser
from textual.message import Message

from netdash.model.records import dataclass
from netdash.tui.term.modes import GROUND, is_light

ALONE = 0.2  # seconds after which an ESC is the key, and no longer the beginning of a sequence
CUT = 1.0  # seconds after which the rest of a sequence, a character or a paste does not come any more
LONGEST = 4096  # bytes of a sequence
_KEY = 32  # bytes of a sequence that may be a key, the mouse, or an answer that is waited for
LONGEST_PASTE = 65536

_PASTE, _PASTED = b"\x1b[200~", b"\x1b[201~"
_MOUSE = b"\x1b[M"  # X10: three bytes of any value follow
_STRINGS = (b"]", b"P", b"_", b"^", b"X")  # OSC, DCS, APC, PM, SOS: to BEL or ST


class Kind(Enum):
    TEXT = "text"  # one character
    SEQUENCE = "sequence"  # ESC and what belongs to it
    PASTE = "paste"
    GROUND = "ground"  # the terminal's background: RED/GREEN/BLUE, 1 to 4 hexadecimal digits each


class Background(Message):
    """What the terminal says of its background."""

    def __init__(self, light: bool) -> None:
        super().__init__()
        self.light = light


@dataclass(frozen=True, slots=True)
class Unit:
    kind: Kind
    text: str


class Splitter:
    """`feed` returns the units that are whole; `tick` those that time has made whole."""

    def __init__(self) -> None:
        self._left = b""
        self._paste = bytearray()
        self._pasting = False
        self._since = 0.0  # when the last byte came

    @property
    def waits(self) -> bool:
        """Whether something has begun that `tick` may have to end."""
        return bool(self._left) or self._pasting

    def feed(self, data: bytes, now: float) -> list[Unit]:
        units = self.tick(now)  # what was cut off long ago is not continued
        if self._left == b"\x1b" and not self._pasting and data[:1] not in (b"[", b"O", b"]"):
            self._left = b""  # pressed, and then another key: a terminal sends those of Alt at once
            units.append(Unit(Kind.SEQUENCE, "\x1b"))
        self._left += data
        self._since = now
        return units + self._cut()

    def tick(self, now: float) -> list[Unit]:
        quiet = now - self._since
        if self._left == b"\x1b" and not self._pasting and quiet >= ALONE:
            self._left = b""
            return [Unit(Kind.SEQUENCE, "\x1b")]
        if not self.waits or quiet < CUT:
            return []
        if self._pasting:
            self._paste += self._left
            self._left = b""
            return [self._pasted()]
        left, self._left = self._left, b""
        return [] if left.startswith(b"\x1b") else [Unit(Kind.TEXT, text) for text in _any(left)]

    def _cut(self) -> list[Unit]:
        units: list[Unit] = []
        while self._left:
            if self._pasting:
                if not self._end_of_paste(units):
                    break
            elif self._left.startswith(_PASTE):
                self._left = self._left[len(_PASTE) :]
                self._pasting = True
            else:
                size = _sequence(self._left) if self._left.startswith(b"\x1b") else _character(self._left)
                if not size:
                    break
                unit, self._left = self._left[:size], self._left[size:]
                units += _units(unit)
        return units

    def _end_of_paste(self, units: list[Unit]) -> bool:
        """Takes what is pasted, to its end if that has come."""
        text, end, rest = self._left.partition(_PASTED)
        if not end:
            keep = next((size for size in range(len(_PASTED) - 1, 0, -1) if text.endswith(_PASTED[:size])), 0)
            text, rest = text[: len(text) - keep], text[len(text) - keep :]
        self._paste += text[: LONGEST_PASTE - len(self._paste)]
        self._left = rest
        if end:
            units.append(self._pasted())
        return bool(end)

    def _pasted(self) -> Unit:
        text, self._paste, self._pasting = _any(bytes(self._paste)), bytearray(), False
        return Unit(Kind.PASTE, text)


def _sequence(data: bytes) -> int:
    """The size of the sequence at the beginning of `data`; 0 when its end has not come."""
    second = data[1:2]
    if not second:
        return 0
    if second == b"[":
        return _control(data)
    if second == b"O":
        return 3 if len(data) > 2 else 0
    if second == b"\x1b":
        return 1
    if second in _STRINGS:
        return _string(data)
    size = _character(data[1:])
    return size and size + 1  # with Alt


def _control(data: bytes) -> int:
    if data.startswith(_MOUSE):
        return 6 if len(data) >= 6 else 0
    for at, byte in enumerate(data[2:], 2):
        if 0x40 <= byte <= 0x7E and not (byte == 0x5B and at == 2):  # ESC [ [ A: function keys of the Linux console
            return at + 1
        if not (0x20 <= byte <= 0x3F or byte == 0x5B):
            return at  # no sequence: what does not belong to it is looked at by itself
    return len(data) if len(data) > LONGEST else 0


def _string(data: bytes) -> int:
    ends = [(at, size) for mark, size in ((b"\x07", 1), (b"\x1b\\", 2)) if (at := data.find(mark, 2)) >= 0]
    if ends:
        at, size = min(ends)
        return at + size
    return len(data) if len(data) > LONGEST else 0


def _character(data: bytes) -> int:
    """The size of the UTF-8 character at the beginning of `data`; 1 for a byte that begins none, 0 when its end has not
    come."""
    first = data[0]
    size = 1 if first < 0xC2 or first > 0xF4 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    rest = data[1:size]
    if any(not 0x80 <= byte < 0xC0 for byte in rest):
        return 1
    return size if len(data) >= size else 0


def _units(unit: bytes) -> list[Unit]:
    if not unit.startswith(b"\x1b"):
        return [Unit(Kind.TEXT, text) for text in _any(unit)]
    if unit.startswith(_MOUSE) and len(unit) == 6:
        button, x, y = (byte - 32 for byte in unit[3:])
        released = button & 3 == 3 and button < 32
        sgr = f"\x1b[<{0 if released else button};{x};{y}{'m' if released else 'M'}"
        return [Unit(Kind.SEQUENCE, sgr)] if x > 0 and y > 0 and button >= 0 else []
    if ground := re.fullmatch(GROUND, unit):
        return [Unit(Kind.GROUND, ground[1].decode("ascii"))]
    if unit == _PASTED or unit[1:2] in _STRINGS or len(unit) > _KEY:
        return []
    return [Unit(Kind.SEQUENCE, _any(unit))]


def _any(data: bytes) -> str:
    """Text of any bytes: those that are no UTF-8 are read as Latin-1, which is what sends them. C1 controls are left
    out."""
    text = data.decode("utf-8", "surrogateescape")
    text = "".join(chr(ord(word) - 0xDC00) if 0xDC80 <= ord(word) <= 0xDCFF else word for word in text)
    return "".join(word for word in text if not 0x80 <= ord(word) < 0xA0)


class Keyboard:
    def __init__(self) -> None:
        self._parser = XTermParser()

    def messages(self, unit: Unit) -> Sequence[Message]:
        if unit.kind is Kind.PASTE:
            return [events.Paste(unit.text.replace("\x00", ""))]
        if unit.kind is Kind.GROUND:
            return [Background(is_light(unit.text))]
        if unit.text == "\x1b":
            return [events.Key("escape", "\x1b")]
        try:
            found = list(self._parser.feed(unit.text))
        except (ValueError, OverflowError):  # a code that is no character
            found = []
        if not found or self._parser._awaiting.timeout is not None:
            self._parser = XTermParser()  # it does not know the sequence, and would take the next key for its end
        return found
