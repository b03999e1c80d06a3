"""What a frame says, whatever it holds."""

from __future__ import annotations

import random
import struct

import pytest

from netdash.capture.model import Dns, Fate, Outcome, Pair, Seen
from netdash.collect.dissect import dissect
from netdash.view.capture import lines, pair_json
from netdash.view.json_host import dumps
from tests.support import frames, trace_hosts
from tests.support.frames import CLIENT, HOST, WEB, seen
from tests.support.hostile_text import check

MUTATIONS = 10_000


def question(name: bytes, answers: bytes = b"", flags: int = 0x0100, count: int = 0) -> bytes:
    return struct.pack("!6H", 0x1234, flags, 1, count, 0, 0) + name + struct.pack("!HH", 1, 1) + answers


NAME = b"\x03web\x07example\x00"
ADDRESS = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes((192, 0, 2, 10))
HTTPS = b"\xc0\x0c" + struct.pack("!HHIH", 65, 1, 60, 3) + b"abc"
ESCAPE = b"\x0aex\x1b[31mred\x07example\x00"


def test_tcp() -> None:
    found = seen(frames.tcp(WEB, 40100, CLIENT, 80, flags=0x18, data=b"secret"))
    assert found.tcp is not None
    assert (found.tcp.flags, found.tcp.length) == (frozenset({"PSH", "ACK"}), 6)
    assert (str(found.src), found.sport, str(found.dst), found.dport) == (WEB, 40100, CLIENT, 80)


def test_payload_is_neither_kept_nor_saved_unless_it_is_asked_for() -> None:
    frame = frames.tcp(WEB, 40100, CLIENT, 80, flags=0x18, data=b"secret" * 100)
    assert b"secret" not in seen(frame).frame
    assert seen(frame).payload == b""
    kept = seen(frame, payload=True)
    assert kept.payload.startswith(b"secret")
    assert len(kept.frame) == 96


@pytest.mark.parametrize("frame", [frames.udp(WEB, 1, CLIENT, 2, b"secret"), frames.echo(WEB, CLIENT)])
def test_payload_of_other_protocols(frame: bytes) -> None:
    assert not seen(frame).frame.endswith((b"secret", b"payload"))


def test_dns_is_told_though_it_is_payload() -> None:
    asked = seen(frames.udp(WEB, 5000, CLIENT, 53, question(NAME)))
    assert asked.dns == Dns(0x1234, False, 0, "web.example", "A", ())
    answer = question(NAME, HTTPS + ADDRESS, 0x8180, 2)
    assert seen(frames.udp(CLIENT, 53, WEB, 5000, answer)).dns == Dns(
        0x1234, True, 0, "web.example", "A", ("HTTPS", "192.0.2.10")
    )


def test_an_icmp_error_names_the_packet_and_the_mtu() -> None:
    quoted = frames.udp(HOST, 5000, CLIENT, 53)
    found = seen(frames.unreachable("203.0.113.1", HOST, quoted, 4, 1400)).icmp
    assert found is not None
    assert found.mtu == 1400
    assert found.quoted is not None
    assert [str(part) for part in found.quoted] == ["udp", HOST, "5000", CLIENT, "53"]


def test_a_tag_in_the_data_is_read_over() -> None:
    frame = frames.echo(WEB, CLIENT)
    tagged = frame[:12] + b"\x81\x00\x00\x64" + frame[12:]
    assert (seen(tagged).vlan, seen(tagged).identity) == (100, seen(frame).identity)


def test_a_tag_that_the_kernel_took_out_is_saved_where_it_was() -> None:
    frame = frames.echo(WEB, CLIENT)
    found = dissect(frames.raw(frame, tag=b"\x81\x00\x20\x64"), False, 96)
    assert found is not None
    assert (found.vlan, found.size) == (100, len(frame) + 4)
    assert found.frame.startswith(frame[:12] + b"\x81\x00\x20\x64" + frame[12:30])


def test_later_fragments_have_no_ports() -> None:
    found = seen(frames.ipv4(WEB, CLIENT, bytes(40), 17, _flags_offset=0x2000 | 185))
    assert (found.fragment, found.offset, found.sport, found.malformed) == (True, 1480, None, False)


def test_a_cut_off_header_is_told() -> None:
    assert seen(frames.tcp(WEB, 40100, CLIENT, 80)[:40]).malformed


FRAMES = (
    frames.tcp(WEB, 40100, CLIENT, 80, flags=0x18, data=b"GET \x1b]0;owned\x07"),
    frames.udp(WEB, 5000, CLIENT, 53, question(ESCAPE)),
    frames.udp(CLIENT, 53, WEB, 5000, question(NAME, HTTPS + ADDRESS, 0x8180, 2)),
    frames.echo(WEB, CLIENT),
    frames.echo6("fd00::2", "2001:db8::1"),
    frames.unreachable("203.0.113.1", HOST, frames.udp(HOST, 5000, CLIENT, 53), 4, 1400),
    frames.ipv6("fd00::2", "2001:db8::1", b"\x06\x00\x01\x02\x00\x00\x00\x00" + bytes(24), 60),
)


def mutated(dice: random.Random) -> bytes:
    frame = bytearray(dice.choice(FRAMES))
    for _ in range(dice.randint(1, 6)):
        frame[dice.randrange(14, len(frame))] = dice.randrange(256)
    return bytes(frame[: dice.randint(14, len(frame))] if dice.random() < 0.3 else frame)


def test_no_packet_ends_in_an_exception_or_reaches_the_terminal_raw() -> None:
    dice, plan, read = random.Random(15), frames.plan_of(trace_hosts.host()), 0
    for _ in range(MUTATIONS):
        found: Seen | None = dissect(frames.raw(mutated(dice)), True, 96)
        if found is None:
            continue
        read += 1
        pair = Pair((found, found), True, Outcome(Fate.PAIRED))
        for line in lines(plan, pair, 80):
            check("capture", "".join(span.text for span in line))
        assert dumps(pair_json(plan, pair), None).isascii()
    assert read > MUTATIONS / 3
