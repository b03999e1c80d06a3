"""Command lines, sockets and sysctls as the tools print them."""

from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Listener
from netdash.parse.proc import (
    hexadecimal_address,
    parse_listeners,
    parse_memory,
    parse_proc_net,
    parse_proc_routes,
    parse_proxies,
    parse_proxy,
    parse_proxy_sockets,
    parse_sysctls,
)


def test_every_recorded_proxy_is_understood(recording):
    for name in ("docker20.10-nft-full", "docker28.5-nft-full", "docker29.7-nftables-full"):
        text = recording(name).text("host/docker-proxy.txt")
        proxies = parse_proxies(text)
        assert len(proxies) == len(text.splitlines())
        assert all(proxy.command == "docker-proxy" for proxy in proxies)


def test_a_proxy_with_and_without_its_parent():
    argv = "/usr/sbin/docker-proxy -proto udp -host-ip :: -host-port 53 -container-ip 10.0.0.2 -container-port 5353"
    with_parent, without = parse_proxy(f"812 700 {argv} -use-listen-fd"), parse_proxy(f"812 {argv}")
    assert (with_parent.ppid, without.ppid) == (700, None)
    assert (without.proto, str(without.host_ip), without.host_port) == ("udp", "::", 53)
    assert (str(without.container_ip), without.container_port) == ("10.0.0.2", 5353)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "812",
        "812 700 /bin/sh -c docker-proxy",
        "812 7 docker-proxy -host-ip 1.2.3 -host-port 1 -container-ip x",
    ],
)
def test_another_process_is_no_proxy(line):
    assert parse_proxies(line) == ()


def test_memory_is_unknown_when_it_was_not_read():
    line = "812 700 docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 80 -container-ip 10.0.0.2 -container-port 80"
    answers = {"host/docker-proxy.txt": line}
    assert (Builder().build(Recording(answers=answers)).proxies or ())[0].rss is None
    answers["host/memory.txt"] = "812 4096\n9 x\n"
    assert (Builder().build(Recording(answers=answers)).proxies or ())[0].rss == 4096


def test_listeners_of_ss():
    text = (
        'tcp LISTEN 0 9 *:7777 *:* users:(("busybox",pid=23765,fd=3))\n'
        "tcp LISTEN 0 4096 [::1]:8085 [::]:*\n"
        "udp UNCONN 0 0 10.0.0.1%docker0:67 0.0.0.0:*\n"
        "udp ESTAB 0 0 10.0.0.1:67 10.0.0.2:68\n"
        "tcp LISTEN 0 0 nonsense\n"
    )
    assert parse_listeners(text) == (
        Listener("tcp", ip_address("::"), 7777, dual=True, pid=23765, command="busybox"),
        Listener("tcp", ip_address("::1"), 8085),
        Listener("udp", ip_address("10.0.0.1"), 67, device="docker0"),
    )


def test_proc_net_agrees_with_the_kernels_tables(recording):
    text = recording("docker28.5-nft-full").text("containers/web/proc-net.txt")
    assert parse_proc_net(text) == (Listener("tcp", ip_address("::"), 80, dual=True),)


def test_proc_net_tells_udp_servers_from_clients():
    text = (
        "## /proc/1/net/udp\n  sl  local\n"
        "  10: 0100007F:0035 00000000:0000 07 0:0 0:0 0 0 0 1\n"
        "  11: 020011AC:9C40 0A00000A:0035 01 0:0 0:0 0 0 0 1\n"
    )
    assert parse_proc_net(text) == (Listener("udp", ip_address("127.0.0.1"), 53),)


@pytest.mark.parametrize(
    ("text", "ip"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000000000000000000001000000", "::1"),
        ("0000000000000000FFFF0000020011AC", "::ffff:172.17.0.2"),
    ],
)
def test_addresses_in_host_byte_order(text, ip):
    assert hexadecimal_address(text) == ip_address(ip)


def test_addresses_that_are_none():
    assert hexadecimal_address("xyz") is None
    assert hexadecimal_address("00") is None


def test_sysctls():
    assert parse_sysctls("net.ipv4.ip_forward = 1\nnonsense\na = b = c\n") == {"net.ipv4.ip_forward": "1", "a": "b = c"}


def test_routes_alone_say_nothing_of_listeners(host, recording):
    from dataclasses import replace

    from netdash.join.host import Builder

    whole = recording("docker28.5-nft-full")
    route = "## /proc/PID/net/route\nIface\tDestination\tGateway\neth0\t00000000\t010011AC\n"
    answers = {path: answer for path, answer in whole.answers.items() if not path.startswith("containers/web/")}
    joined = Builder().build(replace(whole, answers={**answers, "containers/web/proc-net.txt": route}))
    assert next(one for one in joined.containers if one.name == "web").listeners is None


@pytest.mark.parametrize(
    "name",
    [
        'x",pid=1,fd=3)',
        'x",pid=1,fd=3))',
        '",pid=1,fd=3',
        '"),("',
        ')),(("',
        "))",
        '\\"',
        "a b",
        "tcp LISTEN 0 0 ",
        " *:22 *:* users",
        "",
        "\x85tcp\x0b\x1c",
    ],
)
def test_a_process_name_with_the_syntax_of_ss_is_a_name(name):
    for before, behind in (("", ""), ('("a",pid=5,fd=1),', ',("b",pid=6,fd=2)'), (f'("{name}",pid=8,fd=1),', "")):
        text = f'tcp LISTEN 0 9 0.0.0.0:7777 0.0.0.0:* users:({before}("{name}",pid=777,fd=4){behind})\n'
        (found,) = parse_listeners(text + "udp UNCONN 0 0 [::1]:53 [::]:*\n")[:-1]
        first = (5, "a") if before.startswith('("a"') else (8, name) if before else (777, name)
        assert (found.pid, found.command, found.port) == (*first, 7777)


@pytest.mark.parametrize(
    "names", [("\ntcp LISTEN a b", " *:22 "), ("))\ntcp LISTEN a", " b *:22 *:*"), ('x",1,2\n', "")]
)
def test_a_process_name_of_two_lines_makes_no_listener(names):
    users = ",".join(f'("{name}",pid=7,fd=3)' for name in names)
    with pytest.raises(ValueError, match="does not end"):
        parse_listeners(f"tcp LISTEN 0 9 0.0.0.0:7777 0.0.0.0:* users:({users})\n")


def test_the_owners_of_an_old_ss_are_not_known():
    (found,) = parse_listeners('tcp LISTEN 0 9 0.0.0.0:7777 0.0.0.0:* users:(("sshd",123,3))\n')
    assert (found.port, found.pid) == (7777, None)


def test_a_listing_that_is_not_understood_is_a_failure_and_no_shorter_listing():
    text = 'tcp LISTEN 0 9 0.0.0.0:7777 0.0.0.0:* users:(("a\ntcp LISTEN 0 0 *:22 *:*\n'
    host = Builder().build(Recording(answers={"host/listeners.txt": text}))
    assert host.listeners is None
    assert "not understood" in host.failures["listeners"].reason


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_an_argument_cannot_begin_the_line_of_another_process(end):
    argv = "docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 80 -container-ip 10.0.0.2 -container-port 80"
    assert [proxy.pid for proxy in parse_proxies(f"812 700 {argv} {end}1 1 {argv}\n")] == [812]
    assert parse_memory(f"812 4096{end}1 5\n") == {}


@pytest.mark.parametrize("pid", ["²", "9" * 5000, "-1", "1.0"])
def test_a_number_that_the_kernel_would_not_print_is_none(pid):
    argv = "docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 80 -container-ip 10.0.0.2 -container-port 80"
    assert parse_proxies(f"{pid} 1 {argv}", None) == ()


def test_hostile_files_of_proc_are_no_error():
    row = "eth0 00000000 0101A8C0 {flags} 0 0 {metric} 00000000 0 0 0"
    for flags, metric in (("zz", "0"), ("0003", "²"), ("0" * 5000, "0"), ("0003", "9" * 5000)):
        text = "## /proc/PID/net/route\nIface\n" + row.format(flags=flags, metric=metric)
        assert parse_proc_routes(text) == ()
    text = "## /proc/PID/net/tcp\n  sl\n  0: 00000000:{} 00000000:0000 0A\n"
    for port in ("", "zz", "-1", "12345678", "+0_1", "00²"):
        assert parse_proc_net(text.format(port)) == ()


def test_a_device_cannot_be_named_like_another_setting():
    text = "net.ipv4.conf.a=b.forwarding = 1\nnet.x = ²\nnet.y = \x1b[2J\nnet.z = 1 2\nnonsense\n"
    assert parse_sysctls(text) == {"net.ipv4.conf.a=b.forwarding": "1", "net.z": "1 2"}


def test_the_sockets_of_proxies_as_ss_prints_them() -> None:
    text = (
        'tcp   ESTAB      0 0   172.17.0.1:43282 172.17.0.2:80 users:(("docker-proxy",pid=23043,fd=14)) ino:1 <-> ts'
        " sack bbr rto:204 cwnd:11 bytes_sent:8 bytes_retrans:3 bytes_acked:9 lastsnd:2108 lastrcv:2160 lastack:2108\n"
        'tcp   CLOSE-WAIT 0 5   [::ffff:127.0.0.1]:8080 [::ffff:127.0.0.1]:9 users:(("docker-proxy",pid=23043,fd=20))'
        " ino:2 --> ts sack rto:204 bytes_sent:40 bytes_received:257 lastsnd:7\n"
        'udp   ESTAB      0 0   172.17.0.1:1 172.17.0.2:53 users:(("docker-proxy",pid=23044,fd=5)) ino:3\n'
        "tcp   ESTAB      0 0   10.0.0.1:22 10.0.0.2:5000\n"
        'tcp   ESTAB      0 0   10.0.0.1:22 10.0.0.2:999999 users:(("docker-proxy",pid=23044,fd=5))\n'
    )
    first, second, third = parse_proxy_sockets(text)
    assert (first.pid, first.local[1], str(first.peer[0])) == (23043, 43282, "172.17.0.2")
    assert (first.sent, first.received, first.sent_ago, first.received_ago) == (5, 0, 2108, 2160)
    assert str(second.local[0]) == "127.0.0.1"
    assert (second.sent, second.received) == (None, 256), "some waits to be sent; the end counts as a byte"
    assert (third.proto, third.sent, third.received) == ("udp", None, None)
    for at in range(len(text)):
        assert len(parse_proxy_sockets(text[:at])) <= 3
