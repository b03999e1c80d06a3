"""`netdash capture`: what it refuses, its exit codes, and what a capture prints."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from pathlib import Path

import pytest
from dpkt import pcapng

from netdash.cli import capture, printing
from netdash.cli.arguments import Arguments
from netdash.cli.main import main
from netdash.cli.parser import parse
from netdash.model.errors import Exit, NetdashError
from tests.conftest import bundle
from tests.support import frames, schemas, trace_hosts
from tests.support.frames import CLIENT, HOST, INSIDE, OUTSIDE, WEB

FULL = "docker28.5-nft-full"


def test_a_recording_has_no_packets(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(("--from", str(bundle(FULL)), "capture", "c1"))
    assert (code, capsys.readouterr().err) == (
        Exit.USAGE,
        "netdash: nothing can be captured on a recording: it has no packets\n",
    )


@pytest.mark.parametrize(
    "words",
    [("--peer", "nobody"), ("--port", "0"), ("-c", "0"), ("--snap", "20"), ("--seconds", "-1"), ("-c", "99999999")],
)
def test_wrong_options(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert main(("capture", "c1", *words)) == Exit.USAGE
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_another_host_gets_commands_to_copy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "traced_host", lambda _: trace_hosts.host(frames.NAT))
    assert main(("--host", "ssh://root@far", "capture", "web", "--port", "8080")) == Exit.REFUSED
    said = capsys.readouterr()
    assert said.out.splitlines()[0].startswith("ssh root@far 'tcpdump -ni vweb -s 96 -c 100 ")
    assert len(said.out.splitlines()) == 3
    assert "capturing is for this host" in said.err


@pytest.mark.parametrize(
    ("packets", "lost", "unknown", "code"), [(0, 0, 0, 3), (2, 0, 0, 0), (2, 1, 1, 1), (2, 0, 1, 5)]
)
def test_exit_codes(packets: int, lost: int, unknown: int, code: int) -> None:
    assert capture.exit_code(packets, lost, unknown) == code


class Sockets:
    """In place of the kernel's: a ping and its answer, once."""

    left = (
        frames.raw(frames.echo(WEB, CLIENT), INSIDE, 0.0),
        frames.raw(frames.echo(HOST, CLIENT), OUTSIDE, 0.00005),
        frames.raw(frames.echo(CLIENT, HOST, 0), OUTSIDE, 0.1),
        frames.raw(frames.echo(CLIENT, WEB, 0), INSIDE, 0.10005),
        frames.raw(frames.tcp(HOST, 22, CLIENT, 5), OUTSIDE, 0.2),
    )

    def __init__(self, *_: object) -> None:
        self.gone: list[str] = []
        self._left = list(self.left)

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *_: object) -> None:
        self.gone.append("closed")

    def read(self, _: float) -> list[object]:
        left, self._left = self._left, []
        return list(left)

    def ethernet(self, _: int) -> bool:
        return True

    def count_drops(self) -> int:
        return 3


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.collect.capture.PacketSockets", Sockets)
    monkeypatch.setattr(capture, "traced_host", lambda _: trace_hosts.host(frames.NAT))


def _arguments(*words: str) -> Arguments:
    return parse(("capture", "web", "-c", "2", *words))


@pytest.mark.usefixtures("packets")
def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert capture.run(_arguments()) == Exit.FINE
    said = capsys.readouterr()
    assert [line.partition(" │ ")[0][9:] for line in said.out.splitlines()] == [
        "172.17.0.2 → 192.0.2.10 ICMP echo request id 7 seq 1",
        "192.0.2.10 → 203.0.113.2 ICMP echo reply id 7 seq 1",
    ]
    assert "2 packets, 2 seen on both sides, 3 dropped by the kernel" in said.err
    assert "ended by the limit of 2 packets" in said.err


@pytest.mark.usefixtures("packets")
def test_a_missed_packet_may_be_one_that_the_kernel_dropped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sockets, "left", Sockets.left[:1])
    assert capture.run(parse(("capture", "web", "--seconds", "0.2", "-c", "1"))) == Exit.UNKNOWN
    assert "rules and routes let it through; 3 packets came too fast to be captured" in capsys.readouterr().out


@pytest.mark.usefixtures("packets")
def test_one_that_came_late_is_not_counted_as_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def one_by_one(self: Sockets, _: float) -> list[object]:
        return [self._left.pop(0)] if self._left else []

    monkeypatch.setattr(Sockets, "left", Sockets.left[:2])
    monkeypatch.setattr(Sockets, "read", one_by_one)
    file = tmp_path / "x.pcapng"
    assert capture.run(parse(("capture", "web", "--seconds", "0.2", "-w", str(file)))) == Exit.FINE
    said = capsys.readouterr()
    assert "came late" in said.out
    with file.open("rb") as saved:
        assert len(list(pcapng.Reader(saved))) == 2, "each packet is saved once"
    assert "1 packet, 1 seen on both sides, 3 dropped" in said.err


def test_a_route_that_is_added_meanwhile_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = iter([trace_hosts.host(frames.NAT) for _ in range(3)])
    kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    monkeypatch.setattr(capture, "traced_host", lambda _: next(hosts))
    monkeypatch.setattr(capture, "generation", lambda: 7)
    monkeypatch.setattr(capture, "routing_events", lambda: ours)
    first = next(hosts)
    newest = capture._Newest(_arguments(), first)
    assert newest() is first
    kernel.send(struct.pack("=IHHII", 28, 28, 0, 0, 0) + bytes(12))
    assert newest() is first, "a neighbour is no route"
    kernel.send(struct.pack("=IHHII", 28, 24, 0, 0, 0) + bytes(12))
    second = newest()
    assert second is not first
    assert newest() is second
    newest.close()
    kernel.close()


@pytest.mark.usefixtures("packets")
def test_no_file_is_left_where_capturing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Sockets) -> Sockets:
        raise NetdashError("packets cannot be captured without CAP_NET_RAW", "run with sudo", Exit.REFUSED)

    monkeypatch.setattr(Sockets, "__enter__", refused)
    assert _code(_arguments("-w", str(tmp_path / "x"))) == Exit.REFUSED
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("packets")
def test_ctrl_c_ends_it_and_loses_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = Sockets.read

    def interrupted(self: Sockets, seconds: float) -> list[object]:
        if self._left:
            os.kill(os.getpid(), signal.SIGINT)
        return read(self, seconds)

    monkeypatch.setattr(Sockets, "read", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert capture.run(parse(("capture", "web"))) == Exit.FINE
    assert "2 packets, 2 seen on both sides" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("packets")
def test_json_lines_and_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    assert capture.run(_arguments("--json", "-w", str(path), "--read-only")) == Exit.FINE
    head, *told = map(json.loads, capsys.readouterr().out.splitlines())
    schemas.valid("capture", head)
    assert all(schemas.valid("captured", one) for one in told)
    assert (head["schema"], [point["device"] for point in head["points"]]) == (1, ["vweb", "eth0", "eth1"])
    assert [(one["fate"], len(one["seen"])) for one in told] == [("paired", 2)] * 2
    data = path.read_bytes()
    assert data.count(b"\x06\x00\x00\x00") >= 4
    assert b"payload" not in data


@pytest.mark.usefixtures("packets")
def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    assert _code(_arguments("-w", str(tmp_path / "x"))) == Exit.REFUSED
    assert (tmp_path / "x").read_text() == "old"


def _code(arguments: Arguments) -> int:
    try:
        return capture.run(arguments)
    except Exception as error:
        return printing.report(error)
