"""Text and geometry: cleaning, cutting, columns, filters; mostly as properties."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Ref
from netdash.tui.header import notice
from netdash.view import layout
from netdash.view.table import Column, Filter, Row, widths
from netdash.view.terminal import painted, table
from netdash.view.text import MAX_TEXT, Span, Tone, clean, fit, width
from netdash.view.views import BY_NAME, VIEWS
from tests.support.show_hosts import HOSTILE, container, host, hostile, port

PLAIN, HOSTILE_HOST = host(), hostile()

quick = settings(max_examples=60, deadline=None)
texts = st.text(max_size=80)


@quick
@given(texts)
def test_cleaned_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    cleaned = clean(text)
    assert all(character.isprintable() or character.isspace() for character in cleaned)
    assert not set(cleaned) & {"\x1b", "\n", "\r", "\t", "\x9b", "\u202e"}
    assert clean(cleaned) == cleaned


def test_long_text_is_cut_with_an_ellipsis() -> None:
    assert clean("x" * 10_000) == "x" * (MAX_TEXT - 1) + "…"


@quick
@given(texts, st.integers(0, 60))
def test_fitted_text_takes_exactly_its_cells(text: str, cells: int) -> None:
    cleaned = clean(text)
    assert width(fit(cleaned, cells)) == cells
    if width(cleaned) <= cells:
        assert fit(cleaned, cells).startswith(cleaned)


@quick
@given(st.lists(texts, max_size=8), st.integers(1, 90), st.integers(0, 10))
def test_no_drawn_line_is_too_wide(names: list[str], room: int, label: int) -> None:
    spans = [Span(clean(name)) for name in names]
    hops = [layout.Hop((span,), (Span("evidence"),)) for span in spans]
    lead = Span(" " * min(label, room // 2))
    lines = [*layout.path(lead, hops or [layout.Hop((Span("x"),))], room), *layout.paragraph(lead, spans, room)]
    lines.append(layout.spread(tuple(spans), (Span("right"),), room))
    assert max(map(layout.size, lines)) <= room


def test_a_wide_path_has_its_evidence_below_and_a_narrow_one_beside() -> None:
    hops = [layout.Hop((Span("a"),), (Span("rule"),)), layout.Hop((Span("b"),), (), ())]
    wide, narrow = layout.path(Span("IN "), hops, 100), layout.path(Span("IN "), hops, 80)
    assert ["".join(span.text for span in line) for line in wide] == ["IN a ────▶ b", "   rule"]
    assert ["".join(span.text for span in line) for line in narrow] == ["IN a rule"]


@quick
@given(st.integers(1, 220), st.sampled_from(VIEWS))
def test_columns_share_any_room(room: int, view: object) -> None:
    for given_host in (PLAIN, HOSTILE_HOST):
        rows = view.rows(given_host)  # type: ignore[attr-defined]
        shown = [size for size in widths(view.columns, rows, room) if size]  # type: ignore[attr-defined]
        assert sum(shown) + 2 * (len(shown) - 1) <= room


def test_columns_leave_in_their_order() -> None:
    view = BY_NAME["containers"]
    keys = [column.key for column in view.columns]
    usual = [not column.counted for column in view.columns]
    seen: list[set[str]] = []
    rows = view.rows(PLAIN)
    for room in range(200, 39, -1):
        shown = {key for key, size in zip(keys, widths(view.columns, rows, room, shown=usual), strict=True) if size}
        if not seen or shown != seen[-1]:
            seen.append(shown)
    left = [next(iter(before - after)) for before, after in pairwise(seen)]
    assert left[:6] == ["compose", "bridge", "image", "for", "network", "address"]


RULES = [
    ("nat", "DOCKER-ISOLATION-STAGE-1", "3", "DNAT → 172.17.0.3:80", "14", "", "! -i docker0 -p tcp " * 4, "ipt-nft"),
    ("filter", "DOCKER", "12", "ACCEPT", "9", "", "-d 172.17.0.3/32 ! -i docker0 -o docker0", "ipt-nft"),
]


@pytest.mark.parametrize("room", [77, 117, 157])
def test_text_is_cut_before_a_counter_leaves(room: int) -> None:
    view = BY_NAME["rules"]
    rows = [Row(Ref("rule", cells[2]), tuple(map(Span, cells))) for cells in RULES]
    sizes = dict(zip([column.key for column in view.columns], widths(view.columns, rows, room), strict=True))
    assert sizes["packets"] == 7
    assert sizes["text"] >= 20
    assert sizes["action"] >= 16
    assert sum(sizes.values()) + 2 * (sum(map(bool, sizes.values())) - 1) > room - 8  # the room is used


@pytest.mark.parametrize("room", [40, 80, 120, 200])
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_no_line_of_a_table_is_too_wide_or_raw(view: object, room: int) -> None:
    lines = list(table(view, list(view.rows(hostile())), room, colour=False))  # type: ignore[attr-defined,arg-type]
    assert max(map(width, lines)) <= room
    assert all(line.isprintable() and line == line.rstrip() for line in lines)


def test_colour_is_only_put_around_the_words() -> None:
    assert painted(Tone.BAD, " no ") == " \x1b[1;31mno\x1b[0m "
    assert painted(Tone.PLAIN, "yes") == "yes"
    assert painted(Tone.BAD, "   ") == "   "


COLUMNS = (Column("port", "PORT"), Column("state", "STATE"), Column("holder", "HELD BY"))
ROWS = [
    Row(Ref("x", name), tuple(map(Span, cells)))
    for name, cells in {
        "a": ("8080", "running", "docker-proxy"),
        "b": ("9080", "Exited 0", "Nobody"),
        "c": ("53", "running", "dns:cache"),
    }.items()
]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "abc"),
        ("   ", "abc"),
        ("running", "ac"),
        ("RUNNING proxy", "a"),
        ("!running", "b"),
        ("080 !8080", "b"),
        ("port:080", "ab"),
        ("state:exited", "b"),
        ("!state:exited", "ac"),
        ("hold:dock", "a"),
        ("dns:cache", "c"),
        ("!dns:cache", "ab"),
        ("!", "abc"),
        ("port:", "abc"),
        (":", "c"),
        ("nothing", ""),
        ("8080running", ""),
    ],
)
def test_the_filter_keeps(text: str, kept: str) -> None:
    assert "".join(row.ref.key for row in ROWS if Filter.parse(text, COLUMNS).matches(row)) == kept


@pytest.mark.parametrize(
    ("text", "cell", "found"),
    [
        ("8001", "8000-8002→9000-9002", True),
        ("9002", "127.0.0.1:8000-8002→9000-9002/udp", True),
        ("8005", "(8000-8010→80)", True),
        ("8001", "[fe80::1]:8000-8002→80", True),
        ("8003", "8000-8002→9000-9002", False),
        ("5", "10.0.0.1-10.0.0.9", False),
        ("5", "app-1-20", False),
        ("published:8001", "8000-8002", True),
    ],
)
def test_a_port_is_found_within_a_range_that_is_shown_folded(text: str, cell: str, found: bool) -> None:
    row = Row(Ref("container", "a"), (Span(cell),), ())
    assert Filter.parse(text, (Column("published", "PUBLISHED"),)).matches(row) is found


def test_a_key_that_names_no_column_is_refused_where_no_row_has_the_word() -> None:
    view = BY_NAME["containers"]
    rows = view.rows(host(containers=(container(image="nginx:1.25"),)))
    Filter.parse("nginx:1.25 8080: :80 10.0.0.1:80 !nginx:1", view.columns).check(view, rows)
    for text, hint in (("sate:up", "did you mean state:up? columns: name, state, "), ("port:80", "columns: name, ")):
        with pytest.raises(NetdashError) as caught:
            Filter.parse(text, view.columns).check(view, rows)
        assert caught.value.code == Exit.USAGE
        assert caught.value.hint.startswith(hint)


@quick
@given(texts)
def test_any_text_is_a_filter(text: str) -> None:
    assert {row.ref.key for row in ROWS if Filter.parse(text, COLUMNS).matches(row)} <= set("abc")


def test_hostile_text_can_be_searched_as_it_is_shown() -> None:
    rows = BY_NAME["containers"].rows(hostile())
    assert [row for row in rows if Filter.parse("\\x1b[31m", BY_NAME["containers"].columns).matches(row)]
    assert not [row for row in rows if Filter.parse(HOSTILE[:10], BY_NAME["containers"].columns).matches(row)]
    listed = BY_NAME["ports"].rows(host(ports=(port(),)))
    assert Filter.parse("all 8080", BY_NAME["ports"].columns).matches(listed[0])


def test_a_name_is_cut_in_its_middle() -> None:
    """Pods, and tasks of a service, differ at the ends of long names only."""
    names = [f"k8s_controller-manager_{'x' * 90}_{number}" for number in range(22)]
    cut = {fit(name, 24, middle=True) for name in names}
    assert len(cut) == 22
    assert {width(name) for name in cut} == {24}
    assert fit("名" * 20, 8, middle=True) == "名名…名 "
    assert fit("short", 8, middle=True) == "short   "
    assert [fit("names", cells, middle=True) for cells in range(4)] == ["", "…", "n…", "n…s"]


def test_the_dashboard_says_which_key_names_no_column() -> None:
    lines = notice(BY_NAME["rules"], PLAIN, "dport:80", "", 100)
    shown = " ".join(span.text.strip() for line in lines for span in line)
    assert "nothing matches dport:80" in shown
    assert "rules has no column dport; columns: table, chain, " in shown
