"""Command lines, sockets and sysctls as the tools print them."""

from ipaddress import ip_address

import pytest

from netdash.core.model import Listener
from netdash.core.parse.proc import (
    hexadecimal_address,
    parse_listeners,
    parse_proc_net,
    parse_proxies,
    parse_proxy,
    parse_sysctls,
)


def test_every_recorded_proxy_is_understood(recording):
    for name in ("docker20.10-nft-full", "docker28.5-nft-full", "docker29.7-nftables-full"):
        text = recording(name).text("host/docker-proxy.txt")
        proxies = parse_proxies(text, None)
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
    assert parse_proxies(line, None) == ()


def test_memory_is_unknown_when_it_was_not_read():
    line = "812 700 docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 80 -container-ip 10.0.0.2 -container-port 80"
    assert parse_proxies(line, None)[0].rss is None
    assert parse_proxies(line, "812 4096\n9 x\n")[0].rss == 4096


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

    from netdash.core.join import Builder

    whole = recording("docker28.5-nft-full")
    route = "## /proc/PID/net/route\nIface\tDestination\tGateway\neth0\t00000000\t010011AC\n"
    answers = {path: answer for path, answer in whole.answers.items() if not path.startswith("containers/web/")}
    joined = Builder().build(replace(whole, answers={**answers, "containers/web/proc-net.txt": route}))
    assert next(one for one in joined.containers if one.name == "web").listeners is None
