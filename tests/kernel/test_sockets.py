"""Whether a socket answers, and whether a port is taken: one answer, whoever asks."""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from netdash.join.host import Builder
from netdash.join.host_ports import HostPorts
from netdash.kernel.devices import Entrance
from netdash.kernel.sockets import answers, bound_socket, find_listener, inside
from netdash.model.addresses import parse_spec
from netdash.model.host import Binding, Link, Listener, Proxy, Scope
from netdash.parse.docker import parse_inspected
from netdash.parse.proc import parse_listeners, parse_proc_net
from netdash.publish import checks
from netdash.publish.checks import conflicts
from netdash.trace.default_questions import of_port
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.reachability import reach
from netdash.trace.tracer import trace
from netdash.view.columns_engine import CONTAINERS
from netdash.view.columns_ports import PORTS
from netdash.view.form_choices import inside_note, look
from netdash.view.statements import text
from tests.conftest import RECORDINGS
from tests.support.show_hosts import container

ANY4, ANY6, WEB = ip_address("0.0.0.0"), ip_address("::"), ip_address("172.17.0.2")


@pytest.mark.parametrize(
    ("line", "ip", "device", "right"),
    [
        ("0.0.0.0:80", "172.17.0.2", "eth0", True),
        ("0.0.0.0:80", "fd00::2", "eth0", False),
        ("*:80", "172.17.0.2", "eth0", True),
        ("*:80", "fd00::2", "eth0", True),
        ("[::]:80", "172.17.0.2", "eth0", False),
        ("[::]:80", "fd00::2", None, True),
        ("172.17.0.2:80", "172.17.0.2", None, True),
        ("172.17.0.2:80", "172.17.0.3", "eth0", False),
        ("[::ffff:172.17.0.2]:80", "172.17.0.2", "eth0", True),
        ("0.0.0.0%eth0:80", "172.17.0.2", "eth0", True),
        ("0.0.0.0%eth1:80", "172.17.0.2", "eth0", False),
        ("0.0.0.0%eth0:80", "172.17.0.2", None, None),
        ("0.0.0.0%eth0:80", "fd00::2", None, False),
        ("*%eth0:80", "fd00::2", "eth0", True),
        ("[::]%eth1:80", "fd00::2", "eth0", False),
    ],
)
def test_a_socket_answers_by_address_family_and_device(line, ip, device, right):
    (socket,) = parse_listeners(f"tcp LISTEN 0 128 {line} 0.0.0.0:*")
    assert answers(socket, ip_address(ip), device) is right


def test_the_exact_address_comes_first_then_the_device_then_the_family():
    lines = "*:80 0.0.0.0:80 0.0.0.0%eth0:80 172.17.0.2:80".split()
    sockets = parse_listeners("\n".join(f"tcp LISTEN 0 128 {one} 0.0.0.0:*" for one in lines))
    for first in (sockets[3], sockets[2], sockets[1], sockets[0]):
        assert find_listener(sockets, "tcp", WEB, 80, "eth0") == (first, True)
        sockets = tuple(one for one in sockets if one is not first)
    assert find_listener(sockets, "tcp", WEB, 80, "eth0") == (None, True)


def test_proc_net_tells_a_mapped_address_as_the_ipv4_one():
    row = "0: 0000000000000000FFFF00000100007F:1F90 00000000000000000000000000000000:0000 0A 0 0 0 0 0 1"
    (socket,) = parse_proc_net(f"## /proc/PID/net/tcp6\nhead\n{row}\n")
    assert (str(socket.ip), socket.dual) == ("127.0.0.1", False)


# --- all agree --------------------------------------------------------------------------------------------------------


def bound_to(recording, name, device):
    """The recorded host with every socket of its containers bound to a device."""
    loaded = recording(name)
    told = {
        f"containers/{one.name}/listeners.txt": "".join(
            f"{each.proto} {'LISTEN' if each.proto == 'tcp' else 'UNCONN'} 0 0 {where}%{device}:{each.port} *:*\n"
            for each in one.listeners or ()
            for where in ("*" if each.dual else f"[{each.ip}]" if each.ip.version == 6 else each.ip,)
        )
        for one in Builder().build(loaded).containers
    }
    return Builder().build(replace(loaded, answers={**loaded.answers, **told}))


def agreed(host) -> int:
    """Compares the port list, the publish form and the trace; how many ports the trace had something to say of."""
    containers = {one.id: one for one in host.containers or ()}
    compared = 0
    for port in host.ports or ():
        owner = containers.get(port.container_id or "")
        if owner is None or port.target_ip is None or not port.live or port.container_port is None:
            continue
        if port.listening is not None:
            assert checks.listens(owner, port.target_ip, port.proto, port.container_port) is port.listening
        for usual in of_port(host, port):
            made = trace(host, usual.question)
            packet = made.hops[-1].packet
            if (packet.dst, packet.dport) != (port.target_ip, port.container_port) or made.hops[-1].place != owner.name:
                continue
            told = {Verdict.DELIVERED: True, Verdict.NO_LISTENER: False}.get(made.verdict)
            if told is not None:
                assert port.listening is told, (port, made.verdict)
                compared += 1
    return compared


def test_the_port_list_the_form_and_the_trace_agree_on_every_recorded_host(host):
    counted = [agreed(host(path.name)) for path in sorted(RECORDINGS.iterdir()) if (path / "docker").is_dir()]
    assert sum(counted) > 80


@pytest.mark.parametrize(("device", "listening"), [("eth0", True), ("eth7", False), ("lo", False)])
def test_they_agree_on_sockets_that_are_bound_to_a_device(recording, device, listening):
    host = bound_to(recording, "docker28.5-nft-full", device)
    assert agreed(host) > 10
    (port,) = [one for one in host.ports if (one.host_port, one.host_ip) == (8080, ANY4)]
    assert port.listening is listening


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("0.0.0.0:80", "● nginx listens"),
        ("0.0.0.0%eth0:80", "? listens only at device eth0"),
        ("127.0.0.1:80", "nothing listens on it now"),
    ],
)
def test_the_publish_form_names_who_answers(line, note):
    sockets = parse_listeners(f'tcp LISTEN 0 128 {line} 0.0.0.0:* users:(("nginx",pid=9,fd=3))')
    assert inside_note(container(listeners=sockets), parse_spec("80")).text == note


def test_by_which_device_packets_come_in_may_not_be_known(recording):
    loaded = recording("docker28.5-nft-full")
    told = {path: text for path, text in loaded.answers.items() if not path.startswith("containers/web/")}
    told["containers/web/listeners.txt"] = "tcp LISTEN 0 128 0.0.0.0%eth0:80 0.0.0.0:*"
    host = Builder().build(replace(loaded, answers=told))
    web = next(one for one in host.containers if one.name == "web")
    (port,) = [one for one in host.ports if (one.host_port, one.host_ip) == (8080, ANY4)]
    assert (port.listening, checks.listens(web, port.target_ip, "tcp", 80)) == (None, None)
    warning = checks.listening_warning(web, port.target_ip, "tcp", 80)
    assert warning is not None
    assert "only at device eth0" in text(warning)
    made = trace(host, Question(Origin.HOST, port.target_ip, "tcp", 80))
    assert (made.verdict, "eth0" in made.decided_by.text) == (Verdict.UNKNOWN, True)


# --- sockets of the host ----------------------------------------------------------------------------------------------


def with_host_sockets(recording, *lines):
    loaded = recording("docker28.5-nft-full")
    text = loaded.text("host/listeners.txt") + "".join(
        f'tcp LISTEN 0 128 {one} 0.0.0.0:* users:(("sshd",pid=9,fd=3))\n' for one in lines
    )
    return Builder().build(replace(loaded, answers={**loaded.answers, "host/listeners.txt": text}))


def bind_cells(host, number):
    rows = PORTS.rows(host)
    return [(row.cells[2].text, row.cells[3].text) for row in rows if row.cells[0].text == str(number)]


def test_a_device_and_both_families_are_shown(recording):
    host = with_host_sockets(recording, "0.0.0.0%docker0:9100", "0.0.0.0%eth0:9100", "*:9122")
    assert bind_cells(host, 9100) == [("0.0.0.0%docker0", "one device"), ("0.0.0.0%eth0", "one device")]
    assert bind_cells(host, 9122) == [("*", "all")]
    ports = [one for one in host.ports if one.host_port == 9100]
    assert {one.scope for one in ports} == {Scope.DEVICE}
    assert [bound_socket(one) for one in ports] == ["0.0.0.0%docker0:9100", "0.0.0.0%eth0:9100"]
    assert look(host, "tcp", 9100).free is False
    assert len(conflicts(host, "tcp", ip_address("127.0.0.1"), 9100)) == 2


def test_a_socket_bound_to_a_device_is_not_the_holder_of_a_published_port(recording):
    host = with_host_sockets(recording, "0.0.0.0%docker0:8080")
    ports = [one for one in host.ports if one.host_port == 8080 and one.host_ip == ANY4]
    assert [(one.device, one.holder.command) for one in ports] == [(None, "docker-proxy"), ("docker0", "sshd")]


def test_the_matrix_and_the_usual_questions_ask_both_families_of_a_dual_stack_socket(recording):
    host = with_host_sockets(recording, "*:9122", "[::]:9123")
    asked = {(one.port, one.ip.version) for one in reach(host).aims if one.kind == "host"}
    assert {(9122, 4), (9122, 6), (9123, 6)} <= asked
    assert (9123, 4) not in asked
    (port,) = [one for one in host.ports if one.host_port == 9122]
    assert {one.question.dst.version for one in of_port(host, port)} == {4, 6}


@pytest.mark.parametrize(
    ("sender", "dst", "right"),
    [
        (Origin.OUTSIDE, "203.0.113.2", Verdict.NO_LISTENER),
        (Origin.HOST, "172.17.0.1", Verdict.DELIVERED),
        (Origin.HOST, "203.0.113.2", Verdict.NO_LISTENER),
        (Origin.HOST, "127.0.0.1", Verdict.NO_LISTENER),
    ],
)
def test_an_own_packet_comes_in_by_the_device_that_has_the_address(recording, sender, dst, right):
    """As the kernel did it with a socket bound to docker0: lo carries the packet, and is not what counts."""
    host = with_host_sockets(recording, "0.0.0.0%docker0:9100")
    assert trace(host, Question(sender, ip_address(dst), "tcp", 9100)).verdict is right


def test_what_nobody_holds_is_not_called_listening(host):
    ports = [one for one in host("proxy-dead").ports if one.holder and one.holder.kind == "nobody" and one.live]
    assert [one.listening for one in ports] == [True]
    cells = [row.cells for row in PORTS.rows(host("proxy-dead")) if row.cells[6].text == "nobody"]
    assert [one[9].text for one in cells] == ["✗ not forwarded"]


# --- thousands of ports -----------------------------------------------------------------------------------------------


def many(count: int, rootless: bool):
    """A container that publishes and answers on `count` UDP ports, and its proxies."""
    target, outer = ip_address("172.17.0.3"), ip_address("127.0.0.1" if rootless else "0.0.0.0")
    numbers = range(10000, 10000 + count)
    ours = container(
        bindings=tuple(Binding("udp", one, ANY4, one) for one in numbers),
        listeners=tuple(Listener("udp", ANY4, one) for one in numbers),
    )
    proxies = tuple(Proxy(one, 1, "docker-proxy", "", "udp", outer, one, target, one) for one in numbers)
    sockets = tuple(Listener("udp", outer, one, pid=one, command="docker-proxy") for one in numbers)
    return HostPorts(Entrance({4: ("eth0", None), 6: (None, None)}), None, proxies, sockets), ours


def work(count: int, rootless: bool) -> int:
    """How many instructions of the interpreter the ledger takes."""
    ledger, ours = many(count, rootless)
    done = 0

    def step(frame, event, _):
        nonlocal done
        frame.f_trace_opcodes = True
        done += event == "opcode"
        return step

    before = sys.gettrace()
    sys.settrace(step)
    try:
        ports = ledger.ports((ours,))
    finally:
        sys.settrace(before)
    assert len(ports) == count
    assert all(port.proxy and port.listening for port in ports)
    return done


@pytest.mark.parametrize("rootless", [False, True])
def test_twice_the_ports_are_twice_the_work(rootless):
    assert work(160, rootless) < 2.3 * work(80, rootless)


# --- host ports that the engine chooses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "number", "choice"),
    [
        ("8080", 8080, None),
        ("8000-8010", None, (8000, 8010)),
        ("8000-8000", 8000, None),
        ("0", None, (0, 0)),
        ("", None, (0, 0)),
        ("8010-8000", 8010, None),
        ("x", None, None),
        ("1-2-3", None, None),
        ("70000", None, None),
    ],
)
def test_a_host_port_may_be_a_range_to_choose_from(told, number, choice):
    raw = {"Id": "a" * 64, "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": told}]}}}
    (binding,) = parse_inspected(raw).configured
    assert (binding.host_port, binding.choice) == (number, choice)


def test_a_stopped_container_shows_what_the_engine_will_choose_from(host):
    stopped = container(
        state="exited",
        configured=(
            Binding("tcp", 80, None, None, (8000, 8010)),
            Binding("udp", 70, ip_address("127.0.0.1"), None, (0, 0)),
            Binding("tcp", 90, None, None),
        ),
    )
    (row,) = CONTAINERS.rows(replace(host("app-on-loopback"), containers=(stopped,), ports=()))
    assert row.cells[8].text == "(8000-8010→80) (127.0.0.1:any→70/udp)"


def test_the_device_of_an_address_is_found_by_links_or_by_routes():
    from netdash.model.host import Inside, Route

    link = Link(2, "net1", None, True, "UP", 1500, None, None, None, None, (ip_interface("172.17.0.3/16"),))
    route = Route(4, "main", "unicast", ip_network("172.17.0.0/16"), None, "net2", None, 0, None, "link")
    socket = Listener("tcp", ANY4, 80, device="net2")
    for read, right in ((None, None), (Inside((link,), None, ()), False), (Inside(None, (route,), ()), True)):
        owner = container(listeners=(socket,), inside=read)
        assert inside(owner, "tcp", ip_address("172.17.0.3"), 80)[1] is right
