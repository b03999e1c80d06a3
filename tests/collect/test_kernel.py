"""What is asked of the kernel and of iproute2, and which of their tables an event concerns."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pyroute2  # type: ignore[import-untyped]
import pytest

from netdash.cli.lists import needed
from netdash.collect import container_namespaces, once
from netdash.collect.answer_store import AnswerStore
from netdash.collect.container_namespaces import Target
from netdash.collect.filter_rules import RuleReader
from netdash.collect.machine import MachineReader, RoutingTables
from netdash.collect.netlink import changed_tables, namespace_ids
from netdash.collect.procfs import HostListeners
from netdash.collect.sockets import Owner, Waiting, listing, owners_of, proc_net, sockets_of, waiting_sockets
from netdash.model.host import Failure
from netdash.model.source import Options, Source
from netdash.parse.proc import parse_listeners
from netdash.view.views import BY_NAME


@pytest.fixture
def iproute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `ip` prints: the file itself, which a tool of that name shows."""
    answer = tmp_path / "answer"
    tool = tmp_path / "ip"
    tool.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\ncat {answer}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return answer


LINKS = [
    {"ifindex": 1, "ifname": "lo", "flags": ["UP"]},
    {"ifindex": 2, "ifname": "br9", "flags": ["UP"]},
    {"ifindex": 3, "ifname": "veth9", "flags": ["UP"], "master": "br9"},
]


def test_a_link_that_did_not_change_stays_the_same_object(iproute: Path) -> None:
    tables = RoutingTables(5)
    iproute.write_text(json.dumps(LINKS))
    before = tables.read("links")[0]["ip/addr.json"]
    assert before == LINKS
    assert tables.devices() == {"lo": 1, "br9": 2}
    assert tables.read("links")[0]["ip/addr.json"] is before
    iproute.write_text(json.dumps([*LINKS[:2], {**LINKS[2], "flags": []}]))
    after = tables.read("links")[0]["ip/addr.json"]
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert [old is new for old, new in zip(before, after, strict=True)] == [True, True, False]


def test_only_the_table_that_changed_is_asked(iproute: Path) -> None:
    iproute.write_text("[]")
    assert set(RoutingTables(5).read("policy")[0]) == {"ip/rule4.json", "ip/rule6.json"}
    assert (iproute.parent / "asked").read_text() == "-j rule\n-6 -j rule\n"


def test_a_table_that_cannot_be_read_keeps_its_last_answer_and_says_so(iproute: Path) -> None:
    tables = RoutingTables(5)
    iproute.write_text("[]")
    tables.read("neighbours")
    iproute.unlink()
    answers, failures = tables.read("neighbours")
    assert answers == {"ip/neigh.json": "[]"}
    assert "No such file" in failures["neighbours"].reason


BUSYBOX = """#!/bin/sh
echo "BusyBox v1.35.0 multi-call binary." >&2
echo "ip rule [ list | add | del ] SELECTOR ACTION" >&2
exit 1
"""


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        (BUSYBOX, ("the ip of busybox prints no JSON", "install iproute2")),
        (None, ("ip is not installed", "install iproute2")),
    ],
    ids=["busybox", "none"],
)
def test_an_ip_that_prints_no_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, failure: tuple[str, str]
) -> None:
    if script:
        (tmp_path / "ip").write_text(script)
        (tmp_path / "ip").chmod(0o755)
    monkeypatch.setattr("netdash.collect.command._SBIN", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    answers, failures = RoutingTables(5).read("routes")
    assert answers == {}
    assert {name: (found.reason, found.remedy) for name, found in failures.items()} == {
        "routes": failure,
        "routes: route6": failure,
    }


def test_the_namespace_of_a_process_that_is_not_there() -> None:
    assert namespace_ids([2**22 + 1]) == {}
    assert set(namespace_ids([os.getpid(), 2**22 + 1])) == {str(os.getpid())}


def test_numbers_of_namespaces_that_the_kernel_does_not_tell_are_unknown_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routing = MagicMock()
    routing.return_value.__enter__.return_value.get_netnsid.side_effect = pyroute2.NetlinkError(errno.EPERM)
    monkeypatch.setattr(pyroute2, "IPRoute", routing)
    with pytest.raises(PermissionError) as error:
        namespace_ids([os.getpid()])
    monkeypatch.setattr(once, "namespace_ids", Mock(side_effect=error.value))
    assert once._inside(Options(sources=frozenset({Source.LINKS})), ()) == (
        {},
        {"netns": Failure("netns", "Operation not permitted")},
    )


# --- events -----------------------------------------------------------------------------------------------------------


def event(kind: int, family: int = socket.AF_INET) -> bytes:
    body = bytes([family]) + bytes(11)
    return (16 + len(body)).to_bytes(4, sys.byteorder) + kind.to_bytes(2, sys.byteorder) + bytes(10) + body


@pytest.mark.parametrize(
    ("messages", "tables"),
    [
        ([event(16)], {"links", "routes"}),
        ([event(16, socket.AF_BRIDGE)], {"links"}),
        ([event(17), event(21)], {"links", "routes"}),
        ([event(20), event(24)], {"links", "routes"}),
        ([event(25)], {"routes"}),
        ([event(32), event(33)], {"policy"}),
        ([event(28)], {"neighbours"}),
        ([event(28, socket.AF_BRIDGE)], set()),
        ([event(36), event(3)], set()),
        ([b"\x01"], set()),
        ([bytes(16), event(28)], {"neighbours"}),
    ],
)
def test_which_tables_an_event_concerns(messages: list[bytes], tables: set[str]) -> None:
    assert changed_tables(b"".join(messages)) == tables


# --- sockets ----------------------------------------------------------------------------------------------------------


def test_sockets_that_wait_are_listed_as_ss_does() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=7) as server, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        tcp_port, udp_port = server.getsockname()[1], udp.getsockname()[1]
        lines = listing(waiting_sockets()).splitlines()
    assert f"tcp LISTEN 0 7 127.0.0.1:{tcp_port} 0.0.0.0:*" in lines
    assert f"udp UNCONN 0 0 127.0.0.1:{udp_port} 0.0.0.0:*" in lines


def test_a_udp_socket_with_a_peer_waits_for_nobody_else() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", 9))
        port = udp.getsockname()[1]
        assert port not in {one.port for one in waiting_sockets() if one.proto == "udp"}


@pytest.mark.parametrize(
    ("address", "v6only", "device", "local"),
    [
        (bytes(4), False, "", "0.0.0.0:80 0.0.0.0:*"),
        (bytes(16), False, "", "*:80 *:*"),
        (bytes(16), True, "", "[::]:80 [::]:*"),
        (bytes(15) + b"\1", True, "", "[::1]:80 [::]:*"),
        (bytes(4), False, "eth0", "0.0.0.0%eth0:80 0.0.0.0:*"),
    ],
)
def test_how_an_address_is_written(address: bytes, v6only: bool, device: str, local: str) -> None:
    assert Waiting("tcp", address, 80, device, v6only, 0, 5, 1).line() == f"tcp LISTEN 0 5 {local}"


NAMED = """
import ctypes, socket, sys
server = socket.create_server(("127.0.0.1", 0))
ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", ['x",pid=1,fd=3)', "\ntcp LISTEN a b", "\x85", "a b", ""])
def test_a_process_cannot_pass_for_another_by_its_name(name: str) -> None:
    argv = [sys.executable, "-c", NAMED, name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        listed = parse_listeners(HostListeners().read())
        process.communicate()
    assert [(each.pid, each.command) for each in listed if each.port == port and each.proto == "tcp"] == [
        (process.pid, "".join(each if each.isprintable() else "?" for each in name))
    ]


def test_of_several_processes_the_first_has_the_socket(tmp_path: Path) -> None:
    for pid, name in ((30, "late"), (4, "early")):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "comm").write_text(f"{name}\n")
        (tmp_path / str(pid) / "fd" / "5").symlink_to("socket:[77]")
        (tmp_path / str(pid) / "fd" / "6").symlink_to("/dev/null")
    (tmp_path / "self").mkdir()
    (tmp_path / "9").mkdir()
    one = Waiting("tcp", bytes(4), 80, "", False, 0, 5, 77)
    owners = owners_of([one], str(tmp_path))
    assert owners == {77: [Owner("early", 4, 5), Owner("late", 30, 5)]}
    assert (
        listing([one], owners)
        == 'tcp LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("early",pid=4,fd=5),("late",pid=30,fd=5))\n'
    )


def test_a_process_that_cannot_be_entered_is_left_out() -> None:
    assert sockets_of({"gone": 2**22 + 1}) == {}
    assert proc_net(2**22 + 1, sockets=True, routes=True) is None


def test_routes_of_a_process_are_read_without_its_sockets() -> None:
    text = proc_net(os.getpid(), sockets=False, routes=True)
    assert text is not None
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## /proc/PID/net/route"]
    assert proc_net(os.getpid(), sockets=False, routes=False) is None


def test_a_bridge_s_timers_are_no_change(iproute: Path) -> None:
    tables = RoutingTables(5)
    bridge = {"ifindex": 2, "ifname": "br9", "linkinfo": {"info_kind": "bridge", "info_data": {"gc_timer": 1.5}}}
    iproute.write_text(json.dumps([bridge]))
    before = tables.read("links")[0]["ip/addr.json"]
    iproute.write_text(json.dumps([bridge]).replace("1.5", "299.01"))
    assert tables.read("links")[0]["ip/addr.json"] is before


def test_a_table_that_comes_late_on_a_busy_machine_is_not_left_alone_for_long(iproute: Path) -> None:
    """A bridge stood without carrier on the screen for as long."""
    iproute.write_text("[]")
    tool = iproute.parent / "ip"
    tool.write_text(f"{tool.read_text()}sleep 0.5\n")
    tables = RoutingTables(5)
    tables.read("links")
    assert 0 < tables.rested["links"] - time.monotonic() < 5


# --- what is asked again, and when ------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[MachineReader, list[str]]]:
    """A reader that does not run, and what it reads."""
    asked: list[str] = []
    reader = MachineReader(AnswerStore(), interval=5.0, limit=1.0)
    for name in ("_read_sockets", "_look_inside", "_read_drops"):
        monkeypatch.setattr(reader, name, lambda *_, **__: None)
    monkeypatch.setattr(reader, "_read_sysctls", lambda: asked.append("sysctls"))
    reader._due["sysctls"] = float("inf")

    def read(_: RuleReader) -> tuple[dict[str, object], dict[str, Failure]]:
        asked.append("rules")
        return {}, {}

    monkeypatch.setattr(RuleReader, "read", read)
    yield reader, asked
    reader._wake_reader.close()
    reader._wake_writer.close()


def test_a_poll_reads_no_rules_that_an_event_had_read_just_now(machine: tuple[MachineReader, list[str]]) -> None:
    reader, asked = machine
    reader._read_rules()
    reader._poll()
    assert asked == ["rules"]
    reader._settled("rules")  # an event that came since
    reader._poll()
    assert asked == ["rules", "rules"]
    reader._rules_read -= 3.0
    reader._poll()
    assert asked == ["rules", "rules", "rules"]


def test_what_somebody_asks_for_is_read_whatever_was_read_before(machine: tuple[MachineReader, list[str]]) -> None:
    reader, asked = machine
    reader._read_rules()
    reader.refresh()
    reader._take_orders(reader._wake_reader)
    reader._poll()
    assert asked == ["rules", "rules"]


def test_containers_that_are_not_followed_yet_were_not_looked_into(
    machine: tuple[MachineReader, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, _ = machine
    monkeypatch.setattr(container_namespaces, "belongs", lambda *_: True)
    reader.follow((Target("a" * 64, "web", 4242, False),))
    reader._put_inside(())
    assert Source.INSIDE in reader._store.recording().pending
    reader._take_orders(reader._wake_reader)
    assert Source.INSIDE in reader._store.recording().pending
    reader._put_inside(("a" * 64,))
    assert Source.INSIDE not in reader._store.recording().pending


def test_what_was_read_by_the_number_of_a_process_that_ended_is_not_the_containers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target, alive = Target("a" * 64, "web", os.getpid(), False), True
    monkeypatch.setattr(container_namespaces, "belongs", lambda *_: alive)
    monkeypatch.setattr(container_namespaces, "_own_state", lambda *_: {"route.json": "[]" if alive else "[{}]"})
    inside = container_namespaces.Inside()
    inside.follow((target,))
    inside.read(target.identity, 1.0)
    before = inside.answers()
    assert before == {"containers/web/route.json": "[]"}
    alive = False
    inside.read(target.identity, 1.0)
    assert inside.answers() == before


def test_what_cards_showed_is_read_again_although_they_are_closed(
    machine: tuple[MachineReader, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest ago first; what the engine lists no more is not."""
    reader, _ = machine
    asked: list[int] = []
    monkeypatch.setattr(container_namespaces, "belongs", lambda *_: True)
    monkeypatch.setattr(container_namespaces, "namespace_of", lambda pid: f"net:[{pid}]")
    monkeypatch.setattr(container_namespaces, "_own_state", lambda pid, _: asked.append(pid) or {"route.json": "[]"})
    monkeypatch.setattr("netdash.collect.machine._LOOKED_AT", 0.0)
    running = [Target(letter * 64, letter, pid, False) for letter, pid in (("a", 41), ("b", 42), ("c", 43))]
    reader._inside.follow(running)
    reader._read_again()
    assert (asked, "again" in reader._due) == ([], False)
    for target in running:
        reader.watch_container(target.identity)
        reader._read_container()
    reader.watch_container("")
    reader._read_container()
    assert asked == [41, 42, 43]
    assert reader._due["again"] <= time.monotonic() + 60.0
    for _ in range(4):
        reader._read_again()
    reader._inside.follow(running[:1])
    reader._read_again()
    reader._read_again()
    assert asked[3:] == [41, 42, 43, 41, 41, 41]


def test_sysctls_of_devices_are_read_again_where_there_are_other_devices(
    machine: tuple[MachineReader, list[str]], iproute: Path
) -> None:
    reader, _ = machine
    soon = []
    for links in (LINKS, [*LINKS[:2], {**LINKS[2], "flags": []}], [*LINKS[:1], {**LINKS[1], "ifindex": 9}]):
        reader._due["sysctls"] = float("inf")
        iproute.write_text(json.dumps(links))
        reader._read_table("links")
        soon.append(reader._due["sysctls"] < float("inf"))
    assert soon == [True, False, True]


def test_sysctls_are_read_as_often_as_what_no_event_tells() -> None:
    """A host that no longer forwards is no host whose containers get out."""
    reader = MachineReader(AnswerStore(), interval=5.0, limit=1.0)
    reader._read_sysctls()
    assert reader._due["sysctls"] <= time.monotonic() + 5.0
    reader._wake_reader.close()
    reader._wake_writer.close()


def test_the_list_of_containers_asks_for_no_numbers_of_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for them takes longer to load than the list to be read."""
    asked: list[object] = []
    monkeypatch.setattr(once, "namespace_ids", lambda pids: asked.append(pids) or {})
    for view, times in (("containers", 0), ("links", 1)):
        once._inside(Options(sources=needed(BY_NAME[view], json=False)), ())
        assert len(asked) == times, view
