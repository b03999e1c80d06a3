from __future__ import annotations

import dataclasses

import pytest

from netdash.model.packet import Packet
from netdash.model.records import replace


def test_a_copy_is_what_dataclasses_make() -> None:
    packet = Packet(4, "tcp", sport=1, mark=7)
    assert replace(packet, dport=80, mark=0) == dataclasses.replace(packet, dport=80, mark=0)
    assert replace(packet) == packet


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        replace(Packet(4), colour="red")
