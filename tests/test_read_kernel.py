"""What netlink tells, in iproute2's shape: this machine's own tables against `ip -j`, and messages one by one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from netdash.collect.kernel_words import table_names
from netdash.collect.links_and_routes import Kernel
from netdash.collect.listeners import HostListeners
from netdash.collect.netlink import decoder
from netdash.collect.sockets import Owner, Waiting, listing, owners_of, proc_net, sockets_of, waiting_sockets
from netdash.parse.proc import parse_listeners

LINK = "ifindex ifname flags mtu operstate address master link link_index link_netnsid linkinfo addr_info".split()
ROUTE = "type dst gateway via dev table protocol scope prefsrc metric flags nexthops pref".split()
RULE = "priority not src srclen dst dstlen iif oif fwmark fwmask table action".split()
NEIGHBOUR = "dst dev lladdr state".split()

needs_ip = pytest.mark.skipif(shutil.which("ip") is None, reason="needs iproute2")


@pytest.fixture
def kernel() -> Iterable[Kernel]:
    one = Kernel()
    one.links()
    yield one
    one.close()


def ip(*words: str) -> list[dict[str, object]]:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout or "[]")
    assert isinstance(answer, list)
    return answer


def of(rows: Iterable[Mapping[str, object]], keys: Iterable[str]) -> list[str]:
    return sorted(json.dumps({key: row[key] for key in keys if key in row}, sort_keys=True) for row in rows)


def _link_as_we_keep_it(row: dict[str, object]) -> dict[str, object]:
    addresses = row.get("addr_info")
    assert isinstance(addresses, list)
    row["addr_info"] = [
        {key: one[key] for key in ("family", "local", "prefixlen", "scope")} for one in addresses if one
    ]
    info = row.pop("linkinfo", None)
    if isinstance(info, dict) and "info_kind" in info:
        row["linkinfo"] = {"info_kind": info["info_kind"]}
    return row


@needs_ip
def test_links_and_addresses_are_those_of_ip(kernel: Kernel) -> None:
    theirs = [_link_as_we_keep_it(row) for row in ip("-j", "-d", "addr") if "ifindex" in row]
    assert of(kernel.links(), LINK) == of(theirs, LINK)


@needs_ip
@pytest.mark.parametrize("version", [4, 6])
def test_routes_and_rules_are_those_of_ip(kernel: Kernel, version: int) -> None:
    routes = ip(f"-{version}", "-j", "-d", "route", "show", "table", "all")
    assert of(kernel.routes(version), ROUTE) == of(routes, ROUTE)
    assert of(kernel.rules(version), RULE) == of(ip(f"-{version}", "-j", "rule"), RULE)


@needs_ip
def test_neighbours_are_those_of_ip(kernel: Kernel) -> None:
    stable = NEIGHBOUR[:2]  # states change while the test looks
    assert of(kernel.neighbours(), stable) == of(ip("-j", "neigh"), stable)


def test_the_namespace_of_a_process_that_is_not_there(kernel: Kernel) -> None:
    assert kernel.namespaces([2**22 + 1]) == {}


# --- events -----------------------------------------------------------------------------------------------------------


def message(event: str, **fields: object) -> dict[str, object]:
    attrs = fields.pop("attrs", {})
    assert isinstance(attrs, dict)
    return {"event": event, "family": 0, "flags": 0, **fields, "attrs": list(attrs.items())}


def veth(**attrs: object) -> dict[str, object]:
    shown = {"IFLA_IFNAME": "veth9", "IFLA_MTU": 1500, "IFLA_OPERSTATE": "UP", **attrs}
    return message("RTM_NEWLINK", index=9001, flags=0x11043, attrs=shown)


def named(kernel: Kernel, name: str) -> Mapping[str, object] | None:
    return next((row for row in kernel.known_links() if row["ifname"] == name), None)


def test_a_new_link_its_bridge_and_its_end_in_a_container(kernel: Kernel) -> None:
    assert kernel.apply(message("RTM_NEWLINK", index=9000, attrs={"IFLA_IFNAME": "br9"})) == "links"
    kind = {"attrs": [("IFLA_INFO_KIND", "veth")]}
    new = veth(IFLA_MASTER=9000, IFLA_LINK=4, IFLA_LINK_NETNSID=2, IFLA_LINKINFO=kind)
    assert kernel.apply(new) == "links"
    assert kernel.apply(new) == ""
    assert named(kernel, "veth9") == {
        "ifindex": 9001,
        "ifname": "veth9",
        "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"],
        "mtu": 1500,
        "operstate": "UP",
        "link_index": 4,
        "link_netnsid": 2,
        "linkinfo": {"info_kind": "veth"},
        "master": "br9",
        "addr_info": [],
    }


def test_a_renamed_bridge_renames_the_master_of_its_ports(kernel: Kernel) -> None:
    kernel.apply(message("RTM_NEWLINK", index=9000, attrs={"IFLA_IFNAME": "br9"}))
    kernel.apply(veth(IFLA_MASTER=9000))
    kernel.apply(message("RTM_NEWLINK", index=9000, attrs={"IFLA_IFNAME": "lan"}))
    row = named(kernel, "veth9")
    assert row
    assert row["master"] == "lan"


def test_a_bridges_message_about_its_port_takes_nothing_away(kernel: Kernel) -> None:
    kernel.apply(veth())
    before = named(kernel, "veth9")
    port = message("RTM_DELLINK", index=9001, family=7, attrs={"IFLA_IFNAME": "veth9"})
    assert kernel.apply(port) == ""
    assert named(kernel, "veth9") == before


def test_a_link_goes_with_its_addresses(kernel: Kernel) -> None:
    kernel.apply(veth())
    address = {"index": 9001, "family": 2, "prefixlen": 24, "scope": 0, "attrs": {"IFA_LOCAL": "192.0.2.1"}}
    assert kernel.apply(message("RTM_NEWADDR", **address)) == "links"
    row = named(kernel, "veth9")
    assert row
    assert row["addr_info"] == [{"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "scope": "global"}]
    assert kernel.apply(message("RTM_DELLINK", index=9001, attrs={"IFLA_IFNAME": "veth9"})) == "links"
    assert named(kernel, "veth9") is None
    kernel.apply(veth())
    again = named(kernel, "veth9")
    assert again
    assert again["addr_info"] == []


def test_a_neighbour_comes_changes_and_goes(kernel: Kernel) -> None:
    def neighbour(event: str, state: int) -> dict[str, object]:
        attrs = {"NDA_DST": "192.0.2.99", "NDA_LLADDR": "02:42:00:00:00:01"}
        return message(event, family=2, ifindex=9001, state=state, attrs=attrs)

    kernel.apply(veth())
    assert kernel.apply(neighbour("RTM_NEWNEIGH", 2)) == "neighbours"
    row = {"dst": "192.0.2.99", "dev": "veth9", "lladdr": "02:42:00:00:00:01", "state": ["REACHABLE"]}
    assert row in kernel.known_neighbours()
    assert kernel.apply(neighbour("RTM_NEWNEIGH", 2)) == ""
    assert kernel.apply(neighbour("RTM_DELNEIGH", 2)) == "neighbours"
    assert row not in kernel.known_neighbours()


@pytest.mark.parametrize(
    ("event", "source"), [("RTM_NEWROUTE", "routes"), ("RTM_DELRULE", "policy"), ("RTM_NEWQDISC", ""), ("", "")]
)
def test_which_source_an_event_concerns(kernel: Kernel, event: str, source: str) -> None:
    assert kernel.apply(message(event)) == source


def test_raw_messages_are_decoded(kernel: Kernel) -> None:
    """A NEWNEIGH as the kernel sends it: 192.0.2.9 on device 1, incomplete."""
    body = bytes([2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]) + bytes([8, 0, 1, 0]) + socket.inet_aton("192.0.2.9")
    raw = (16 + len(body)).to_bytes(4, "little") + (28).to_bytes(2, "little") + bytes(10) + body
    assert [kernel.apply(one) for one in decoder()(raw)] == ["neighbours"]
    assert "192.0.2.9" in [row["dst"] for row in kernel.known_neighbours()]


def test_names_of_tables(tmp_path: Path) -> None:
    file = tmp_path / "rt_tables"
    file.write_text("# comment\n254\tmain\n100 vpn # mine\n0x65 odd\n\nbroken\n")
    assert table_names([file, tmp_path / "absent"]) == {
        0: "unspec",
        253: "default",
        254: "main",
        255: "local",
        100: "vpn",
    }


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
