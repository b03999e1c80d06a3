"""iptables-save's lines, as the kernel's own tools wrote them."""

from __future__ import annotations

import re
import shlex
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from netdash.model.host import Effect, Match, Target, Verb
from netdash.rules.iptables_rule import parse_line
from netdash.rules.iptables_save import counters_of, parse_save
from netdash.rules.iptables_target import translation

RECORDINGS = Path(__file__).parents[1] / "recordings"
SAVES = sorted(RECORDINGS.glob("*/rules/*save.txt"))


def _net(text: str) -> object:
    return ip_network(text)


CONDITIONS = {
    "-s 172.17.0.0/16 ! -o docker0": (Match("src", (_net("172.17.0.0/16"),)), Match("oif", ("docker0",), True)),
    "! -s 10.0.0.1/32 -i br-+": (Match("src", (_net("10.0.0.1/32"),), True), Match("iif", ("br-+",))),
    "-d fd00:20::242:ac11:2/128": (Match("dst", (_net("fd00:20::242:ac11:2/128"),)),),
    "-p udp -m udp --sport 67 --dport 1024:65535": (
        Match("proto", ("udp",)),
        Match("sport", ((67, 67),)),
        Match("dport", ((1024, 65535),)),
    ),
    "-p tcp -m multiport ! --dports 80,443,8000:8010": (
        Match("proto", ("tcp",)),
        Match("dport", ((80, 80), (443, 443), (8000, 8010)), True),
    ),
    "-m addrtype ! --src-type LOCAL --dst-type LOCAL,BROADCAST": (
        Match("src_type", ("LOCAL",), True),
        Match("dst_type", ("LOCAL", "BROADCAST")),
    ),
    "-m conntrack --ctstate RELATED,ESTABLISHED": (Match("ctstate", ("RELATED", "ESTABLISHED")),),
    "-m conntrack --ctstatus DNAT --ctdir ORIGINAL": (Match("ctstatus", ("DNAT",)), Match("ctdir", ("ORIGINAL",))),
    "-m mark ! --mark 0x4000/0x4000": (Match("mark", ("0x4000/0x4000",), True),),
    "-m mark --mark 0x1": (Match("mark", ("0x1",)),),
    "-m connmark --mark 0x1/0xff": (Match("connmark", ("0x1/0xff",)),),
    "-m limit --limit 3/min --limit-burst 10": (Match("limit", ("3/minute burst 10",)),),
    "-m limit --limit 1/sec": (Match("limit", ("1/second burst 5",)),),
    "-m set --match-set KUBE-LOOP dst,dst,src": (Match("set", ("KUBE-LOOP dst,dst,src",)),),
    "-p ipv6-icmp -m icmp6 --icmpv6-type 128": (Match("proto", ("ipv6-icmp",)), Match("icmp_type", ((128, None),))),
    "-p icmp -m icmp ! --icmp-type 3/4": (Match("proto", ("icmp",)), Match("icmp_type", ((3, 4),), True)),
    "-p icmp -m icmp --icmp-type any": (Match("proto", ("icmp",)), Match("icmp_type", ((None, None),))),
    "! -f": (Match("fragment", (True,), True),),
    "-p tcp -m tcp ! --tcp-option 8": (Match("proto", ("tcp",)), Match("tcp_option", (8,), True)),
    "-m addrtype --dst-type LOCAL --limit-iface-in": (Match("dst_type_iif", ("LOCAL",)),),
    "-m addrtype --src-type LOCAL -m addrtype --dst-type LOCAL --limit-iface-out": (
        Match("src_type", ("LOCAL",)),
        Match("dst_type_oif", ("LOCAL",)),
    ),
    "-m conntrack --ctproto 6 ! --ctorigdst 10.0.0.1/32 --ctorigdstport 80:81 --ctexpire 5:9": (
        Match("ctproto", ("tcp",)),
        Match("ctorigdst", (_net("10.0.0.1/32"),), True),
        Match("ctorigdstport", ((80, 81),)),
        Match("ctexpire", ((5, 9),)),
    ),
    "-m ttl --ttl-lt 5 -m hl ! --hl-gt 3": (Match("ttl", ((0, 4),)), Match("hoplimit", ((4, 255),), True)),
    "-m length --length 100: -m dscp --dscp 0x2e": (Match("length", ((100, 65535),)), Match("dscp", ((46, 46),))),
    "-m mac --mac-source AA:BB:CC:00:11:22": (Match("mac", ("aa:bb:cc:00:11:22",)),),
    "-m physdev ! --physdev-is-bridged --physdev-is-in": (
        Match("physdev_is_bridged", (True,), True),
        Match("physdev_is_in", (True,)),
    ),
    "-m rpfilter --validmark --loose --invert": (Match("rpfilter", ("loose,validmark",), True),),
    "-m limit --limit 1/sec -m limit --limit 5/day --limit-burst 1": (
        Match("limit", ("1/second burst 5",)),
        Match("limit", ("5/day burst 1",)),
    ),
    "-m recent --update --seconds 60 --name -j --rsource": (
        Match("recent", ("--update --seconds 60 --name -j --rsource",)),
    ),
    '-p tcp -m string --string "-j DROP" --algo bm': (
        Match("proto", ("tcp",)),
        Match("string", ("--string -j DROP --algo bm",)),
    ),
    "-m statistic --mode random --probability 0.5": (Match("statistic", ("--mode random --probability 0.5",)),),
    "-m recent ! --rcheck --name a ! -i eth0": (
        Match("recent", ("! --rcheck --name a",)),
        Match("iif", ("eth0",), True),
    ),
    "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN": (
        Match("proto", ("tcp",)),
        Match("tcp_flags", ("ack,fin,rst,syn/syn",)),
    ),
    "-m physdev --physdev-in veth1": (Match("physdev_in", ("veth1",)),),
    "-m owner ! --uid-owner 1000": (Match("uid", ((1000, 1000),), True),),
    "-m iprange --src-range 10.0.0.1-10.0.0.2": (Match("src", (_net("10.0.0.1/32"), _net("10.0.0.2/32"))),),
}


@pytest.mark.parametrize(("words", "matches"), CONDITIONS.items())
def test_conditions(words: str, matches: tuple[Match, ...]) -> None:
    body = parse_line(f"-A FORWARD {words} -j DROP")
    assert (body.matches, body.target, body.not_understood) == (matches, Target(Verb.DROP), ())


def test_an_option_without_a_value_may_be_the_last_word() -> None:
    body = parse_line("-A INPUT -m addrtype --dst-type LOCAL --limit-iface-in")
    assert (body.matches, body.not_understood) == ((Match("dst_type_iif", ("LOCAL",)),), ())


LEFT_OPEN = {
    '-p tcp -m u32 --u32 "0x0=0x0" -j DROP': ("-m u32 --u32 0x0=0x0",),
    "-m bpf --bytecode 1 ! -i eth0 -j DROP": ("-m bpf --bytecode 1",),
    "-m conntrack ! --ctfoo 10.0.0.1 -j ACCEPT": ("! --ctfoo 10.0.0.1",),
    "-p icmp -m icmp --icmp-type huh -j DROP": ("--icmp-type huh",),
    "-m mark --mark 0x1ffffffff -j DROP": ("--mark 0x1ffffffff",),
    "-m limit --limit -j DROP": ("-m limit --limit",),
    "-j CONNMARK --save-mark --left-shift-mark 3": ("--save-mark --left-shift-mark 3",),
    "-p tcp -m tcp --dport": ("--dport",),
    "-s nonsense -j DROP": ("-s nonsense",),
    "-p tcp -j DNAT --to-destination nowhere": ("--to-destination nowhere",),
}


@pytest.mark.parametrize(("words", "left"), LEFT_OPEN.items())
def test_what_is_not_interpreted_is_said(words: str, left: tuple[str, ...]) -> None:
    body = parse_line(f"-A INPUT {words}")
    assert body.not_understood == left
    assert body.text == f"-A INPUT {words}"


TARGETS = {
    "-j RETURN": Target(Verb.RETURN),
    "-j DOCKER": Target(Verb.JUMP, chain="DOCKER"),
    "-g ufw-deny": Target(Verb.GOTO, chain="ufw-deny"),
    "-j REJECT --reject-with icmp-port-unreachable": Target(Verb.REJECT, detail="icmp-port-unreachable"),
    "-j MARK --set-xmark 0x4000/0x4000": Target(
        Verb.CONTINUE, detail="MARK --set-xmark 0x4000/0x4000", effects=(Effect("mark", 0xFFFFBFFF, 0x4000),)
    ),
    "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff": Target(
        Verb.CONTINUE,
        detail="CONNMARK --save-mark --nfmask 0xff --ctmask 0xffffffff",
        effects=(Effect("connmark", 0, other_keep=0xFF),),
    ),
    "-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf": Target(
        Verb.CONTINUE,
        detail="CONNMARK --restore-mark --nfmask 0xff --ctmask 0xf",
        effects=(Effect("mark", 0xFFFFFF00, other_keep=0xF),),
    ),
    "-j CT --notrack": Target(Verb.CONTINUE, detail="CT --notrack", effects=(Effect("notrack"),)),
    "-j CT --zone 5": Target(Verb.CONTINUE, detail="CT --zone 5", effects=(Effect("zone", detail="5"),)),
    "-j NETMAP --to 10.5.0.0/16": Target(Verb.OTHER, detail="NETMAP", net=_net("10.5.0.0/16")),
    '-j LOG --log-prefix "[UFW BLOCK] "': Target(
        Verb.CONTINUE,
        detail="LOG --log-prefix [UFW BLOCK] ",
        effects=(Effect("log", detail="--log-prefix [UFW BLOCK] "),),
    ),
    "-j MASQUERADE --random-fully": Target(Verb.MASQUERADE, detail="random-fully"),
    "-p tcp -j MASQUERADE --to-ports 1024-2048": Target(Verb.MASQUERADE, ports=(1024, 2048)),
    "-p tcp -j REDIRECT --to-ports 3128": Target(Verb.REDIRECT, ports=(3128, 3128)),
    "-j SNAT --to-source 203.0.113.2": Target(Verb.SNAT, address=ip_address("203.0.113.2")),
    "-p tcp -j DNAT --to-destination 10.89.5.2:9000-9002/9000": Target(
        Verb.DNAT, address=ip_address("10.89.5.2"), ports=(9000, 9002), base_port=9000
    ),
    "-p tcp -j DNAT --to-destination [fd00:66::2]:80 --persistent": Target(
        Verb.DNAT, address=ip_address("fd00:66::2"), ports=(80, 80), detail="persistent"
    ),
    "-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80": Target(
        Verb.DNAT, address=ip_address("10.0.0.1"), address_to=ip_address("10.0.0.9"), ports=(80, 80)
    ),
    "-p tcp -j DNAT --to-destination :8080": Target(Verb.DNAT, ports=(8080, 8080)),
}


@pytest.mark.parametrize(("words", "target"), TARGETS.items())
def test_targets(words: str, target: Target) -> None:
    body = parse_line(f"-A X {words}")
    assert (body.target, body.not_understood) == (target, ())


@pytest.mark.parametrize(
    "to", ["", ":", "10.0.0.1:99999", "10.0.0.1:9-1", "[::1", "1.2.3.4:80:90", "a-b", "10.0.0.1-x"]
)
def test_a_malformed_translation_is_none(to: str) -> None:
    assert translation(Verb.DNAT, to) is None


def test_comments_are_unquoted() -> None:
    body = parse_line(r'-A X -m comment --comment "dnat \"web\" a\\b" -j ACCEPT')
    assert body.comment == 'dnat "web" a\\b'


@pytest.mark.parametrize(
    "line", ["-A", "-A X", "-A X !", "-A X -m", "-A X -j", '-A X --comment "', "-A X -p", "-A X -g"]
)
def test_a_cut_line_is_no_error(line: str) -> None:
    assert parse_line(line).text == line


def test_tables_policies_counters_and_what_was_left_out() -> None:
    listing = parse_save(
        "# Table `filter' is incompatible, use 'nft' tool.\n*nat\n:PREROUTING ACCEPT [1:60]\n:DOCKER - [0:0]\n"
        "[6:360] -A PREROUTING -j DOCKER\n-A DOCKER -j RETURN\nCOMMIT\n"
    )
    assert listing.left_out == ("filter",)
    assert listing.whole
    chain = listing.chains["nat", "PREROUTING"]
    assert (chain.policy, chain.texts, chain.counters) == ("accept", ["-A PREROUTING -j DOCKER"], ["6:360"])
    assert listing.chains["nat", "DOCKER"].policy is None
    assert counters_of(listing.chains["nat", "DOCKER"].counters[0]) == (None, None)
    assert counters_of("6:360") == (6, 360)


@pytest.mark.parametrize(
    "text",
    [
        "*nat\n[0:0] -A PREROUTING -j DO",
        "-A X -j Y\n",
        "*nat\n[1:2 -A X\nCOMMIT\n",
        "*nat\n-A\nCOMMIT",
        "# Generated by iptables-save v1.8.9\n*nat\n:X - [0:0]\nCOMMIT\n",
        "*nat\n:X - [0:0]\nCOMMIT\n*fil",
        '*nat\n-A X -i "odd -j RETURN\n-A X -m comment --comment "a b" -j RETURN\nCOMMIT\n',
        '*nat\n-A X -m comment --comment "' + "a\n" * 9000 + '"\nCOMMIT\n',
    ],
)
def test_a_cut_or_odd_listing_is_told(text: str) -> None:
    assert not parse_save(text).whole


def test_a_line_that_was_cut_is_no_rule() -> None:
    for end in range(1, len("-A X -s 10.0.0.1/32 -j DROP")):
        listing = parse_save("*filter\n:X - [0:0]\n" + "-A X -s 10.0.0.1/32 -j DROP"[:end])
        assert (listing.chains["filter", "X"].texts, listing.whole) == ([], False)


HOSTILE = (
    "x\n-A FORWARD -j ACCEPT\nCOMMIT\n*nat\n:FORWARD DROP [0:0]\n# Completed on \n# Table `raw' is incompatible \"\\"
)


@pytest.mark.parametrize("counters", ["", "[1:60] "])
def test_a_comment_of_several_lines_is_one_comment(counters: str) -> None:
    escaped = re.sub(r"([\"'\\])", r"\\\1", HOSTILE)
    rule = f'-A FORWARD -m comment --comment "{escaped}" -j DROP'
    listing = parse_save(f"*filter\n:FORWARD ACCEPT [0:0]\n{counters}{rule}\nCOMMIT\n")
    assert listing.whole
    assert listing.left_out == ()
    assert {key: chain.texts for key, chain in listing.chains.items()} == {("filter", "FORWARD"): [rule]}
    assert listing.chains["filter", "FORWARD"].policy == "accept"
    body = parse_line(rule)
    assert (body.comment, body.target, body.not_understood) == (HOSTILE, Target(Verb.DROP), ())


def test_a_comment_that_does_not_end_hides_the_rest_and_says_so() -> None:
    listing = parse_save('*filter\n-A X -j DROP\n-A X -m comment --comment "x\n-A X -j ACCEPT\nCOMMIT\n')
    assert listing.chains["filter", "X"].texts == ["-A X -j DROP"]
    assert not listing.whole


_FIELDS = {"-s": "src", "-d": "dst", "-i": "iif", "-o": "oif", "-p": "proto", "--dport": "dport", "--sport": "sport"}


def _shown(value: object) -> str:
    return f"{value[0]}:{value[1]}" if isinstance(value, tuple) else str(value)


def test_fields_agree_with_the_words_of_every_recorded_line() -> None:
    lines = [text for path in SAVES for chain in parse_save(path.read_text()).chains.values() for text in chain.texts]
    assert len(lines) > 500
    for line in lines:
        words = shlex.split(line)
        body = parse_line(line)
        found = {(match.key, _shown(match.values[0]), match.negated) for match in body.matches}
        for at, word in enumerate(words):
            if word in _FIELDS:
                value = words[at + 1]
                if word in ("--dport", "--sport") and ":" not in value:
                    value = f"{value}:{value}"
                assert (_FIELDS[word], value, words[at - 1] == "!") in found, line
        assert sum(word in _FIELDS for word in words) == sum(match.key in _FIELDS.values() for match in body.matches)
        assert body.target_name in ("", words[words.index("-j") + 1])
