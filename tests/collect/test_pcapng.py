"""The file that a capture saves, read back with dpkt."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dpkt import pcapng

from netdash.capture.model import Plan
from netdash.collect.capture import PcapngFile
from netdash.model.errors import Exit, NetdashError
from tests.support import frames, trace_hosts


@pytest.fixture(scope="module")
def plan() -> Plan:
    return frames.plan_of(trace_hosts.host(frames.NAT))


def saved(path: Path, plan: Plan) -> bytes:
    file = PcapngFile(path, False)
    file.begin(plan, [True, True, False], 96)
    file.add([frames.seen(frames.tcp("172.17.0.2", 5, "192.0.2.10", 80, data=b"secret" * 50), 1, 0.25)])
    file.close()
    return path.read_bytes()


def test_an_interface_block_a_point(tmp_path: Path, plan: Plan) -> None:
    data = saved(tmp_path / "x.pcapng", plan)
    at, interfaces, packets = 0, [], []
    while at < len(data):
        kind, size = int.from_bytes(data[at : at + 4], "little"), int.from_bytes(data[at + 4 : at + 8], "little")
        block = data[at : at + size]
        if kind == pcapng.PCAPNG_BT_IDB:
            interfaces.append(pcapng.InterfaceDescriptionBlockLE(block))
        elif kind == pcapng.PCAPNG_BT_EPB:
            packets.append(pcapng.EnhancedPacketBlockLE(block))
        at += size
    told = [{option.code: option.data for option in one.opts} for one in interfaces]
    assert [one[pcapng.PCAPNG_OPT_IF_NAME] for one in told] == [b"vweb", b"eth0", b"eth1"]
    assert [one.linktype for one in interfaces] == [1, 1, 101]
    assert told[0][pcapng.PCAPNG_OPT_COMMENT] == b"container web, network bridge"
    (packet,) = packets
    assert (packet.iface_id, packet.caplen, packet.pkt_len) == (1, 54, 354)
    assert (packet.ts_high << 32) + packet.ts_low == frames.START + frames.SECOND // 4
    assert b"secret" not in data


def test_only_its_owner_reads_it(tmp_path: Path, plan: Plan) -> None:
    before = os.umask(0)
    try:
        saved(tmp_path / "x.pcapng", plan)
    finally:
        os.umask(before)
    assert (tmp_path / "x.pcapng").stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_kept_unless_it_is_forced(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_text("old")
    with pytest.raises(NetdashError, match="is there already") as raised:
        PcapngFile(path, False)
    assert (raised.value.code, path.read_text()) == (Exit.REFUSED, "old")
    PcapngFile(path, True).close()
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("", 0o600)


def test_no_link_is_followed_and_no_device_written(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("old")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(NetdashError):
            PcapngFile(tmp_path / name, True)
    assert target.read_text() == "old"
