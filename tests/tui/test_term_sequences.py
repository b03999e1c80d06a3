"""Bytes of a terminal as units and events: whatever comes, in whatever pieces."""

from __future__ import annotations

import random

import pytest
from textual.events import Key, MouseDown, MouseUp, Paste
from textual.message import Message

from netdash.tui.term.keyboard import ALONE, CUT, LONGEST, LONGEST_PASTE, Keyboard, Kind, Splitter, Unit


def units(*pieces: bytes | float) -> list[Unit]:
    """A number is a pause in seconds; a long one follows."""
    splitter, now, found = Splitter(), 100.0, []
    for piece in (*pieces, 10.0):
        if isinstance(piece, bytes):
            found += splitter.feed(piece, now)
        else:
            now += piece
            found += splitter.tick(now)
    assert not splitter.waits
    return found


def events(*pieces: bytes | float) -> list[Message]:
    keyboard = Keyboard()
    return [message for unit in units(*pieces) for message in keyboard.messages(unit)]


def keys(*pieces: bytes | float) -> list[str]:
    return [event.key for event in events(*pieces) if isinstance(event, Key)]


KEYS = [
    (b"j", ["j"]),
    (b":rules\r", ["colon", *"rules", "enter"]),
    (b"\x1b[A", ["up"]),
    (b"\x1bOA", ["up"]),
    (b"\x1b[[A", ["f1"]),
    (b"\x1b[6~", ["pagedown"]),
    (b"\x1b", ["escape"]),
    (b"\x1b[27u", ["escape"]),
    (b"\x1b\x1b[A", ["escape", "up"]),
    ("é".encode(), ["é"]),
    ("日".encode(), ["日"]),
]


@pytest.mark.parametrize(("data", "told"), KEYS)
def test_keys(data: bytes, told: list[str]) -> None:
    assert keys(data) == told
    assert keys(data, b"q") == [*told, "q"] or data == b"\x1b"


@pytest.mark.parametrize(("data", "told"), [each for each in KEYS if each[0] != b"\x1b\x1b[A"])
@pytest.mark.parametrize("pause", [0.0, 0.15])
def test_keys_in_pieces(data: bytes, told: list[str], pause: float) -> None:
    pieces = [piece for byte in data for piece in (bytes([byte]), pause)]
    assert keys(*pieces) == told


def test_esc_and_then_another_key_are_two_and_those_of_alt_are_none() -> None:
    assert keys(b"\x1b", 0.1, b"j") == ["escape", "j"]
    assert keys(b"\x1b", 0.1, b"P") == ["escape", "P"]
    assert keys(b"\x1b", ALONE, b"[") == ["escape", "left_square_bracket"]
    assert keys(b"\x1bq") == []
    assert keys(b"\x1b[113;3u", b"j") == ["alt+q", "j"]


def test_what_is_no_utf_8_is_latin_1_and_ends_nothing() -> None:
    assert keys(b"\xe9", CUT, b"j") == ["é", "j"]
    assert keys(b"\xc3j") == ["Ã", "j"]
    assert keys(b"\xc3", 2.0, b"q") == ["Ã", "q"]
    assert keys(b"\xe6\x97", 2.0, b"q")[-1] == "q"
    assert keys(b"\x80\x9b\x9dq") == ["q"]  # C1 controls
    assert keys(b"\xed\xa0\x80q")[-1] == "q"  # a surrogate


def test_a_mouse_beyond_column_95() -> None:
    pressed, released = events(b"\x1b[M \xb6!", b"\x1b[M#\xb6!")
    assert isinstance(pressed, MouseDown)
    assert isinstance(released, MouseUp)
    assert (pressed.x, pressed.y, pressed.button) == (149, 0, 1)
    assert events(b"\x1b[M\x00\x01\x02", b"\x1b[M\x1b\x1b\x1b") == []
    assert keys(b"\x1b[M \xff\xffq") == ["q"]


def test_a_paste_is_never_a_key() -> None:
    (paste,) = events(b"\x1b[200~q\r:q\r\x1b[A\xe9\x1b[201~")
    assert isinstance(paste, Paste)
    assert paste.text == "q\r:q\r\x1b[Aé"
    for data in (b"\x1b[200~abc\x1b[201~", b"\x1b[200~\x1b\x1b[201~", b"\x1b[200~\x1b[201~"):
        pieces = [piece for byte in data for piece in (bytes([byte]), 0.15)]
        assert [unit.kind for unit in units(*pieces)] == [Kind.PASTE]


def test_a_broken_paste_ends_with_the_silence_after_it() -> None:
    found = events(b"\x1b[200~docker rm", 1.5, b"j")
    assert [type(each) for each in found] == [Paste, Key]
    assert keys(b"\x1b[201~q") == ["q"]
    (huge,) = units(b"\x1b[200~" + b"x" * 3 * LONGEST_PASTE + b"\x1b[201~")
    assert len(huge.text) == LONGEST_PASTE


def test_answers_and_what_nobody_knows_are_no_keys() -> None:
    for data in (
        b"\x1b[?62;22c",
        b"\x1b]11;rgb:0000/0000/0000\x1b\\",
        b"\x1b]11;rgb:0000/0000/0000\x07",
        b"\x1bP1$r0m\x1b\\",
        b"\x1b[999999999999999;1u",
        b"\x1b[1;1;1;1;1;1;1q",
        b"\x1b[" + b"1;" * LONGEST + b"q",
        b"\x1b_" + b"x" * 2 * LONGEST,
    ):
        assert keys(data, b"j") == ["j"], data
    assert keys(b"\x1b[1;", 2.0, b"j") == ["j"]


def test_any_bytes_in_any_pieces() -> None:
    """No exception, nothing that hangs, and what comes after a silence is a key again."""
    dice = random.Random(12)
    parts = [b"\x1b", b"[", b"M", b"O", b"]", b"\x1b[200~", b"\x1b[201~", b"\x1b[<0;", b"1;", b"\x07", b"\xc3", b"\xff"]
    for _ in range(2_000):
        pieces: list[bytes | float] = []
        for _ in range(dice.randrange(1, 12)):
            pieces.append(dice.choice(parts) if dice.random() < 0.6 else dice.randbytes(dice.randrange(1, 5)))
            pieces.append(dice.choice([0.0, 0.05, 0.15, 0.3, 1.5]))
        found = events(*pieces, 2.0, b"q")
        assert isinstance(found[-1], Key)
        assert found[-1].key == "q"
