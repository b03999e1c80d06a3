"""Whether who asks gets its answer, against what a kernel (6.18) did with real packets: hosts that differ from one base
in a few files. kernel.txt has a line a packet: sender, `proto target port`, and what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.kernel.conntrack_entries import unzoned
from netdash.model.errors import NetdashError
from netdash.model.host import Host
from netdash.parse.conntrack import parse_conntrack
from netdash.trace.model import Trace, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from tests.conftest import RECORDINGS

EXCHANGE = RECORDINGS / "exchange"
BASE = EXCHANGE / "base"
ADDRESSES = {("out", 4): "192.0.2.10", ("out", 6): "2001:db8:2::10", ("lan", 4): "203.0.113.1"}
PACKETS = [
    (path.parent.name, line)
    for path in sorted(EXCHANGE.glob("*/kernel.txt"))
    for line in path.read_text("utf-8").splitlines()
    if line.count("\t") == 2
]


@cache
def _host(name: str) -> Host:
    """The base, with the files of the case in the place of its own."""
    folder, recording = EXCHANGE / name, load(BASE)
    own = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    texts = {file: path.read_text("utf-8") for file, path in own.items() if "/" in file}
    return Builder().build(replace(recording, answers={**recording.answers, **texts}))


def test_every_recorded_packet_is_asked() -> None:
    assert len(PACKETS) > 70


@pytest.mark.parametrize(
    ("name", "line"), PACKETS, ids=[f"{name}: {' '.join(line.split()[:4])}" for name, line in PACKETS]
)
def test_the_asker_gets_its_answer_as_the_kernel_let_it(name: str, line: str) -> None:
    host = _host(name)
    who, words, kernel = line.split("\t")
    proto, target, port, *rest = [*words.split(" "), ""]
    more = dict(word.split("=", 1) for word in rest if "=" in word)
    six = ":" in target
    address = more.get("src") or ADDRESSES.get((who, 6 if six else 4))
    sender = f"outside@{address}" if who in ("out", "lan") else who
    shown = f"[{target}]" if six and port not in ("", "0") else target
    sport = int(more["sport"]) if "sport" in more else None
    asked, _ = question(
        host, sender, f"{shown}:{port}" if port not in ("", "0") else shown, Asked(proto, sport, iif=more.get("iif"))
    )
    answer = trace(host, asked)
    assert answer.answered is kernel.startswith("OK"), answer.exchange.why or answer.decided_by
    saw = re.search(r"sees (\S+)", kernel)
    if answer.answered and saw and answer.then is None:
        assert str(answer.translation.src) == saw[1]


def test_no_file_of_a_case_is_the_base_s_own() -> None:
    for path in EXCHANGE.rglob("*"):
        same = BASE / Path(*path.relative_to(EXCHANGE).parts[1:])
        if path.is_file() and path.parts[len(EXCHANGE.parts)] != "base" and same.is_file():
            assert path.read_bytes() != same.read_bytes(), path


# --- words for what was not read, or is not followed ------------------------------------------------------------------

MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i docker0 -p tcp --dport 80 {}\nCOMMIT\n"


def _told(sender: str, target: str, proto: str = "tcp", **changes: object) -> Trace:
    """The trace on the base with other answers, by their paths."""
    recording = load(BASE)
    host = Builder().build(replace(recording, answers={**recording.answers, **changes}))
    return trace(host, question(host, sender, target, Asked(proto))[0])


def test_a_container_s_forwarding_that_was_not_read_is_an_assumption_that_is_said() -> None:
    host = _host("l15-container-router")
    answer = trace(host, question(host, "host", "10.14.14.9:80", Asked())[0])
    told = [sentence for sentence in answer.assumed if "forwarding inside web was not read" in sentence]
    assert answer.answered
    assert len(told) == 1


def test_what_root_sends_is_told_where_rules_ask_for_the_user() -> None:
    host = _host("r16-uidrange")
    assert "root sends it: other users may be treated otherwise" in question(host, "host", "192.0.2.10:80", Asked())[1]
    assert not question(_host("base"), "host", "192.0.2.10:80", Asked())[1]


@pytest.mark.parametrize(
    ("name", "sender", "target", "words"),
    [
        ("k23-v4-rule-from-hostip", "host", "192.0.2.10:80", "a UDP socket that is not connected sends by eth0"),
        ("r27-broadcast-udp", "cli", "172.17.255.255:80", "only where it sets SO_BROADCAST"),
    ],
)
def test_what_hangs_on_the_sender_s_socket_is_said(name: str, sender: str, target: str, words: str) -> None:
    host = _host(name)
    told = {proto: trace(host, question(host, sender, target, Asked(proto))[0]).assumed for proto in ("udp", "tcp")}
    assert any(words in sentence for sentence in told["udp"])
    assert not any(words in sentence for sentence in told["tcp"])


@pytest.mark.parametrize(
    ("port", "verdict", "words"),
    [
        (3128, Verdict.DROPPED, "TPROXY hands it to port 3128, where nothing listens"),
        (9000, Verdict.UNKNOWN, "TPROXY hands it to python3 on port 9000: how that answers is not known"),
    ],
)
def test_tproxy_hands_a_packet_to_who_listens(port: int, verdict: Verdict, words: str) -> None:
    rule = f"-j TPROXY --on-port {port} --on-ip 0.0.0.0 --tproxy-mark 0x1/0xffffffff"
    answer = _told("web", "192.0.2.10:80", **{"rules/iptables-legacy-save.txt": MANGLE.format(rule)})
    assert (answer.verdict, answer.decided_by and answer.decided_by.text) == (verdict, words)


ROUTES = [
    {"dst": "default", "nhid": 8, "flags": []},
    {"dst": "172.17.0.0/16", "dev": "docker0", "protocol": "kernel", "scope": "link", "prefsrc": "172.17.0.1"},
    {"dst": "203.0.113.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "prefsrc": "203.0.113.2"},
    {"type": "local", "dst": "203.0.113.2", "dev": "eth0", "table": "local", "scope": "host", "prefsrc": "203.0.113.2"},
]


@pytest.mark.parametrize(
    ("objects", "answered"),
    [
        ([{"id": 1, "gateway": "203.0.113.1", "dev": "eth0"}, {"id": 8, "group": [{"id": 1}]}], True),
        ([{"id": 8, "gateway": "203.0.113.1", "dev": "eth0"}], True),
        ([{"id": 8, "blackhole": None}], False),
        ([{"id": 8, "group": [{"id": 1}]}], None),
        ([], None),
    ],
)
def test_a_route_by_a_next_hop_object_goes_where_the_object_says(objects: list[object], answered: bool | None) -> None:
    answer = _told("host", "192.0.2.10:80", **{"ip/route4.json": ROUTES, "ip/nexthop.json": objects})
    assert answer.answered is answered


def test_a_broadcast_on_a_wire_is_answered_by_whom_nobody_knows() -> None:
    answer = _told("host", "203.0.113.255:9", "udp")
    assert answer.answered is None
    assert answer.exchange.why is not None
    assert "who answers on 203.0.113.255 is not known" in answer.exchange.why.text


@pytest.mark.parametrize(("ignores", "answered"), [("", False), ("1", False), ("0", True)])
def test_a_ping_to_all_is_answered_where_the_kernel_is_told_to(ignores: str, answered: bool) -> None:
    sysctls = str(load(BASE).answers["host/sysctl.txt"])
    sysctls += f"net.ipv4.icmp_echo_ignore_broadcasts = {ignores}\n" if ignores else ""
    answer = _told("outside@203.0.113.1", "203.0.113.255", "icmp", **{"host/sysctl.txt": sysctls})
    assert answer.answered is answered


@pytest.mark.parametrize(
    ("policies", "answered"),
    [("", True), ("src 0.0.0.0/0 dst 192.0.2.0/24\n\tdir out action block priority 0\n", False)],
)
def test_ipsec_policies_that_are_not_there_change_nothing(policies: str, answered: bool) -> None:
    assert _told("host", "192.0.2.10:80", **{"ip/xfrm.txt": policies}).answered is answered


@pytest.mark.parametrize(("port", "answered"), [(500, None), (4500, None), (501, True)])
def test_ipsec_policies_that_were_not_read_matter_where_their_daemon_listens(port: int, answered: bool | None) -> None:
    listeners = str(load(BASE).answers["host/listeners.txt"])
    listeners += f'udp UNCONN 0 0 0.0.0.0:{port} 0.0.0.0:* users:(("charon",pid=9,fd=3))\n'
    answer = _told("host", "192.0.2.10:80", **{"host/listeners.txt": listeners})
    assert answer.answered is answered
    if answered is None:
        assert answer.decided_by is not None
        assert answer.decided_by.text == "the IPsec policies were not read"


# --- what conntrack saw -----------------------------------------------------------------------------------------------

SYN = "tcp 6 {} SYN_SENT src=192.0.2.10 dst=203.0.113.2 sport=4 dport=8080 [UNREPLIED] src=172.17.0.2 dst=192.0.2.10 "
SYN += "sport=80 dport=4 mark=0 use=1\n"


@pytest.mark.parametrize(("left", "answered"), [(119, True), (118, False), (110, False), (109, None), (30, None)])
def test_a_first_packet_that_waits_unanswered_counts_while_it_is_fresh(left: int, answered: bool | None) -> None:
    answer = _told("outside@192.0.2.10", "203.0.113.2:8080", **{"host/conntrack.txt": SYN.format(left)})
    assert answer.answered is answered
    assert answer.verdict is Verdict.DELIVERED
    if answered is False:
        assert answer.exchange.why is not None
        assert f"the same from port 4 has waited {120 - left} s" in answer.exchange.why.text


@pytest.mark.parametrize(("rule", "answered"), [("CT --zone 5", None), ("CT --notrack", True)])
def test_an_answer_that_conntrack_does_not_see_is_not_missed(rule: str, answered: bool | None) -> None:
    """As the kernel: with a zone for what comes in, the answer is in another, and the entry stays SYN_SENT."""
    raw = f"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i eth9 -j {rule}\nCOMMIT\n"
    flow = (
        SYN.format(118).replace("8080", "9000").replace("172.17.0.2", "203.0.113.2").replace("sport=80 ", "sport=9000 ")
    )
    asked = "outside@192.0.2.10", "203.0.113.2:9000"
    answer = _told(*asked, **{"host/conntrack.txt": flow, "rules/iptables-legacy-save.txt": raw})
    assert answer.answered is answered


def test_what_was_answered_since_is_no_sign() -> None:
    other = SYN.format(100).replace("SYN_SENT", "TIME_WAIT").replace("[UNREPLIED] ", "").replace("=4 ", "=5 ")
    answer = _told("outside@192.0.2.10", "203.0.113.2:8080", **{"host/conntrack.txt": SYN.format(118) + other})
    assert answer.answered is True


def test_a_receiver_of_udp_that_answers_nobody_is_no_sign() -> None:
    flow = SYN.format(25).replace("tcp 6 25 SYN_SENT", "udp 17 25")
    assert _told("outside@192.0.2.10", "203.0.113.2:8080", "udp", **{"host/conntrack.txt": flow}).answered is True


# --- sizes ------------------------------------------------------------------------------------------------------------


def _with_mtu(container: str, mtu: int) -> Host:
    recording, path = load(BASE), f"containers/{container}/addr.json"
    links = json.loads(str(recording.answers[path]))
    changed = [{**link, "mtu": mtu} if link.get("ifname") == "eth0" else link for link in links]
    return Builder().build(replace(recording, answers={**recording.answers, path: json.dumps(changed)}))


@pytest.mark.parametrize(("size", "answered"), [(None, True), (1400, True), (1478, False)])
def test_a_packet_that_is_longer_than_a_device_takes_does_not_pass(size: int | None, answered: bool) -> None:
    """As the kernel: 1,450 bytes of UDP to a container whose device has an MTU of 1,400 are lost."""
    host = _with_mtu("web", 1400)
    wanted, _ = question(host, "outside@192.0.2.10", "203.0.113.2:8080", Asked("udp", size=size))
    answer = trace(host, wanted)
    assert answer.answered is answered
    if answered:
        assert "1,400 bytes pass, 1,500 do not: eth0 of web has an MTU of 1,400" in answer.assumed
    else:
        assert answer.decided_by is not None
        assert answer.decided_by.text == "1,478 bytes do not pass: eth0 of web has an MTU of 1,400"


def test_of_one_mtu_on_the_way_nothing_is_said() -> None:
    answer = _told("outside@192.0.2.10", "203.0.113.2:8080", "udp")
    assert answer.answered
    assert not any("bytes pass" in sentence for sentence in answer.assumed)


@pytest.mark.parametrize(("size", "answered"), [(100, True), (828, False)])
def test_rules_that_ask_for_the_length_are_asked_with_it(size: int, answered: bool) -> None:
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m length --length 500:65535 -j DROP\nCOMMIT\n"
    recording = load(BASE)
    answers = {**recording.answers, "rules/iptables-legacy-save.txt": rules}
    host = Builder().build(replace(recording, answers=answers))
    wanted, _ = question(host, "outside@192.0.2.10", "203.0.113.2:8080", Asked("udp", size=size))
    assert trace(host, wanted).answered is answered


def test_sizes_are_for_udp_and_icmp() -> None:
    with pytest.raises(NetdashError, match="--size is for udp and icmp"):
        question(_host("base"), "host", "192.0.2.10:80", Asked("tcp", size=100))


def test_a_queue_that_drops_is_a_remark() -> None:
    queues = (
        "qdisc noqueue 0: dev lo root refcnt 2 \nqdisc tbf 8001: dev docker0 root refcnt 2 rate 8Kbit burst 100b \n"
    )
    answer = _told("outside@192.0.2.10", "203.0.113.2:8080", "udp", **{"rules/tc.txt": queues})
    assert "unless the queue of docker0 drops it: tbf rate 8Kbit burst 100b" in answer.assumed


@pytest.mark.parametrize(
    ("queue", "tcp", "udp"),
    [
        ("tbf 8002: dev vethweb root refcnt 3 rate 8bit burst 10b lat 0us", False, False),
        ("tbf 8002: dev vethweb root refcnt 3 rate 8Kbit burst 48b lat 1ms", False, True),
        ("netem 8003: dev vethweb root refcnt 2 limit 1000 loss 100%", False, False),
        ("netem 8003: dev vethweb root refcnt 2 limit 1000 loss 10%", True, True),
    ],
)
def test_a_queue_that_lets_no_packet_of_this_size_pass_stops_it_and_the_answer(
    queue: str, tcp: bool, udp: bool
) -> None:
    """tbf 8bit with a burst of 10 bytes on a veth: no connection in or out, while ARP still was in memory."""
    for sender, target in (("outside@192.0.2.10", "203.0.113.2:8080"), ("web", "192.0.2.10:80")):
        assert _told(sender, target, **{"rules/tc.txt": f"qdisc {queue} \n"}).answered is tcp
    answer = _told("outside@192.0.2.10", "203.0.113.2:8080", "udp", **{"rules/tc.txt": f"qdisc {queue} \n"})
    assert answer.answered is udp


FLOW = (
    "tcp      6 431998 ESTABLISHED src=172.17.0.2 dst=192.0.2.10 sport={0} dport=80 "
    "src=192.0.2.10 dst=203.0.113.2 sport=80 dport={0} [ASSURED] mark=0 use=1\n"
)


@pytest.mark.parametrize(("taken", "target", "answered"), [(2, 80, None), (1, 80, True), (2, 81, True)])
def test_a_sender_without_a_port_left_cannot_be_told(taken: int, target: int, answered: bool | None) -> None:
    """Connections from both ports of the range to the same address and port: connect() said EADDRNOTAVAIL."""
    answer = _told(
        "web",
        f"192.0.2.10:{target}",
        **{
            "containers/web/sysctl.txt": "net.ipv4.ip_local_port_range = 40000\t40001\n",
            "host/conntrack.txt": "".join(FLOW.format(40000 + at) for at in range(taken)),
        },
    )
    assert answer.answered is answered
    if answered is None:
        assert answer.exchange.why is not None
        assert "from each port of 40000-40001" in answer.exchange.why.text


RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING {}\nCOMMIT\n"
INWARDS, OUTWARDS = ("outside@192.0.2.10", "203.0.113.2:8080"), ("web", "192.0.2.10:80")


@pytest.mark.parametrize(
    ("rule", "way", "answered"),
    [
        ("-i eth0 -j CT --zone 1", INWARDS, False),
        ("-j CT --zone 1", INWARDS, True),
        ("-i docker0 -j CT --zone 1", OUTWARDS, False),
        ("-i docker0 -j CT --zone-orig 1", OUTWARDS, True),
        ("-i eth0 -j CT --zone-reply 1", OUTWARDS, False),
        ("-i eth0 -j CT --zone 1", ("outside@192.0.2.10", "203.0.113.2:9000"), True),
        ("-j CT --zone-reply 1", ("outside@192.0.2.10", "203.0.113.2:9000"), False),
        ("-i eth0 -p tcp -j CT --helper ftp", INWARDS, True),
        ("-m helper --helper ftp -j DROP", INWARDS, True),
        ("-m helper ! --helper ftp -j DROP", INWARDS, False),
    ],
)
def test_a_packet_finds_only_a_connection_of_its_zone(rule: str, way: tuple[str, str], answered: bool | None) -> None:
    """As `python -m tests.fuzz` saw it with real connections."""
    answer = _told(*way, **{"rules/iptables-legacy-save.txt": RAW.format(rule)})
    assert answer.answered is answered
    told = [hop.text for hop in (*answer.hops, *(answer.reply.hops if answer.reply else ()))]
    if "zone" in rule and not answered:
        assert any("conntrack has its connection in zone" in text for text in (*told, str(answer.exchange.why)))


def test_entries_of_zones_are_not_those_of_other_packets() -> None:
    line = FLOW.format(40000).replace("mark=0", "mark=0 zone=1")
    flows, _ = parse_conntrack(FLOW.format(40000) + line)
    assert [flow.zones for flow in flows] == [(0, 0), (1, 1)]
    assert unzoned(replace(_host("base"), flows=flows)) == [flows[0]]
