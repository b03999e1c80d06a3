"""The table of connections that events keep current."""

from __future__ import annotations

import struct

import pytest

from netdash.collect import conntrack
from netdash.collect.conntrack import Table, identity
from netdash.parse.conntrack import parse_entry
from tests.parse.test_conntrack import attribute, direction, entry

NEW, DELETE, CREATED = 0x0100, 0x0102, 0x0400


def _other(port: int) -> bytes:
    return entry(original=direction(1, "192.0.2.10", "203.0.113.2", port, 8080))


def test_a_connection_begins_changes_and_ends() -> None:
    table = Table()
    table.take(NEW, CREATED, entry(), 50.0)
    table.take(NEW, 0, direction(1, "192.0.2.10", "203.0.113.2", 51122, 8080) + attribute(3, b"\0\0\0\x08"), 51.0)
    ((body, began),) = table.tracking().entries
    found = parse_entry(body, 0.0)
    assert found is not None
    assert (found.state, found.replied, began) == ("ESTABLISHED", False, 50.0), "what an event leaves out stays"
    table.take(DELETE, 0, entry(), 52.0)
    told = table.tracking()
    assert told.entries == ()


def test_zones_keep_connections_apart() -> None:
    zoned = direction(1, "1.1.1.1", "2.2.2.2", 1, 2) + direction(2, "2.2.2.2", "1.1.1.1", 2, 1)
    assert identity(zoned + attribute(18, b"\0\5")) != identity(zoned + attribute(18, b"\0\6"))
    assert identity(zoned + attribute(3, b"\0\0\0\0")) == identity(zoned)


def test_what_is_beyond_the_number_that_is_kept_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack, "MOST", 2)
    table = Table()
    table.fill(iter([_other(1), _other(2), _other(3)]))
    assert (len(table.entries), table.left_out) == (2, 1)
    table.take(NEW, CREATED, _other(4), 1.0)
    assert (len(table.entries), table.tracking().left_out) == (2, 2)
    table.take(DELETE, 0, _other(9), 1.0)
    assert len(table.entries) == 2


def test_where_they_are_too_many_those_stay_that_were_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or each dump would tell of others that begin and end."""
    monkeypatch.setattr(conntrack, "MOST", 2)
    table = Table()
    table.fill(iter([_other(1), _other(2), _other(3)]))
    table.fill(iter([_other(4), _other(3), _other(2), _other(1)]))
    assert (set(table.entries), table.left_out) == ({identity(_other(1)), identity(_other(2))}, 2)
    table.fill(iter([_other(4), _other(3), _other(2)]))
    assert (set(table.entries), table.left_out) == ({identity(_other(2)), identity(_other(4))}, 1)


def test_a_dump_keeps_since_when_a_connection_is_known() -> None:
    table = Table()
    table.take(NEW, CREATED, _other(1), 50.0)
    table.fill(iter([_other(1), _other(2)]))
    assert [began for _, began in table.tracking().entries] == [50.0, None]


def test_messages_that_are_cut_off_end_in_no_exception() -> None:
    table, whole = Table(), entry(zone=attribute(18, struct.pack("!H", 5)))
    for at in range(len(whole)):
        for kind in (NEW, DELETE):
            table.take(kind, CREATED, whole[:at], 1.0)
            table.take(kind, 0, whole[:at] + b"\0\0\0\0", 1.0)
