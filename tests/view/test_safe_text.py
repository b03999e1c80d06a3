"""What may reach a terminal or a clipboard: characters, addresses, commands, glyphs in narrow encodings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest

from netdash.model.addresses import address, interface, subnet
from netdash.tui.copy import choices
from netdash.view import text as view_text
from netdash.view.text import Span, clean, fit, safe, shell_command, width
from netdash.view.views import VIEWS
from tests.conftest import DEMO, ROOT
from tests.support.tui_hosts import container, crowd


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b]52;c;AA\x07", "a\\x1b]52;c;AA\\x07"),
        ("\x9b2J\x85\x7f\x00", "\\x9b2J\\x85\\x7f\\x00"),
        ("a\u202eb\u2066\u200b\ufeff", "a\\u202eb\\u2066\\u200b\\ufeff"),
        ("\udc9b2J", "\\udc9b2J"),  # a byte of an argument that was no UTF-8
        ("e\u0301\u0308\u0300", "e\u0301\u0308\\u0300"),  # marks pile up over the line above
        ("\u0301e", "\\u0301e"),  # a mark would stand on the text before
        ("\u2800\u3164\xa0", "\\u2800\\u3164\\xa0"),  # blanks that are not spaces
        ("\u2764\ufe0f\U000e0100", "\u2764\\ufe0f\\U000e0100"),
        ("日本 ● ─▶", "日本 ● ─▶"),
    ],
)
def test_what_a_terminal_acts_on_is_written_as_an_escape(text: str, shown: str) -> None:
    assert safe(text) == clean(text) == Span(text).text == shown
    assert safe(shown) == shown
    assert fit(text, 40).rstrip() == shown
    assert width(fit(text, 3)) == 3


def test_a_span_is_safe_however_it_is_made() -> None:
    assert Span("a").with_text("\x1b[2J").text == "\\x1b[2J"
    assert replace(Span("a"), text="\x1b[2J").text == "\\x1b[2J"


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["eth0", "2", "br-0a1b2c3d4e5f", "wg_0.1"])
def test_a_zone_is_the_name_of_a_device(zone: str) -> None:
    assert str(address(f"fe80::1%{zone}")) == f"fe80::1%{zone}"
    assert str(interface(f"fe80::1%{zone}", 64)) == str(interface(f"fe80::1%{zone}/64", None)) == f"fe80::1%{zone}/64"


@pytest.mark.parametrize("zone", ["\x1b]52;c;AA\x07", "a b", "", "x" * 16, "\u202e", "eth0\n", "é", "a%b"])
def test_any_other_zone_makes_the_address_malformed(zone: str) -> None:
    text = f"fe80::1%{zone}"
    assert address(text) is None
    assert interface(text, 64) is None
    assert interface(f"{text}/64", None) is None
    assert subnet(f"{text}/64") is None


# --- the clipboard ----------------------------------------------------------------------------------------------------

NAMES = ["a\nreboot", "a\rreboot", "\x1b[201~reboot\r", "\x07", "\u202etxt", "--help", "", "a\u2028b", "x" * 600]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_command_can_carry_gives_a_comment(name: str) -> None:
    shown = shell_command("docker inspect {}", name)
    assert shown.startswith("# no safe command: ")
    assert shown.isprintable()


@pytest.mark.parametrize("name", ["web", "a b", "$(reboot)", "`reboot`", "a'b", 'a"b', "!!", "a;b", "~", "日本", "{}"])
def test_other_names_are_quoted(name: str) -> None:
    assert shlex.split(shell_command("docker inspect {}", name)) == ["docker", "inspect", name]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_copied_is_one_line_of_safe_text(name: str) -> None:
    host = replace(crowd(3), containers=(container(0, name=name),))
    host = replace(
        host,
        networks=tuple(replace(one, name=name) for one in host.networks or ()),
        links=tuple(replace(one, name=name, mac=name) for one in host.links or ()),
        routes=tuple(replace(one, table=name) for one in host.routes or ()),
        proxies=tuple(replace(one, argv=name, command=name) for one in host.proxies or ()),
    )
    for view in VIEWS:
        for thing in view.rows(host).things:
            for _, text in choices(host, view, thing):
                assert text == safe(text)


# --- glyphs -----------------------------------------------------------------------------------------------------------


def test_no_glyph_becomes_the_mark_of_the_unknown() -> None:
    assert all(len(one) == 1 and one.isascii() and one.isprintable() for one in view_text.ASCII.values())
    assert "?" not in view_text.ASCII.values()
    marks = [view_text.ASCII[one] for one in "—●○◐◦✓✗◆‖…·"]
    assert len({*marks}) == len(marks)


def test_every_glyph_of_the_code_has_an_ascii_one() -> None:
    used = {one for path in (ROOT / "netdash").rglob("*.py") for one in path.read_text("utf-8") if not one.isascii()}
    assert used <= set(view_text.ASCII)


NARROW = [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}]


@pytest.mark.parametrize("environment", NARROW, ids=str)
@pytest.mark.parametrize("command", ["containers", "ports", "networks"])
def test_a_narrow_encoding_keeps_none_unknown_and_state_apart(environment: dict[str, str], command: str) -> None:
    wide = _printed(command, ("PYTHONIOENCODING", "utf-8")).decode()
    assert "●" in wide or command != "containers"
    assert "—" in wide or command == "ports"
    shown = _printed(command, *environment.items())
    assert shown.decode("latin-1").translate(LATIN) == wide.translate(str.maketrans(view_text.ASCII))


LATIN = str.maketrans({"·": view_text.ASCII["·"]})  # Latin-1 has it


@cache
def _printed(command: str, *environment: tuple[str, str]) -> bytes:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "PYTHON"))}
    asked = [sys.executable, "-m", "netdash", "--from", str(DEMO), command]
    done = subprocess.run(
        asked, capture_output=True, timeout=30, env={**kept, **dict(environment)}, cwd=ROOT, check=True
    )
    return done.stdout


def test_foreign_text_that_the_encoding_has_not_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_text, "encoding", "latin-1")
    assert safe("café 日 ● ?") == "café \\u65e5 ● ?"
    assert safe("⏎ go") == "Enter go"
    assert safe("café 日 ● ?").encode("latin-1", view_text.GLYPH_ERRORS) == b"caf\xe9 \\u65e5 * ?"
