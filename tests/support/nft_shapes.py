"""Shapes of nft's JSON as `nft -j list ruleset` of 1.0.6 writes them, with their text and what they mean."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from netdash.model.host import Effect, Match, Target, Verb


def _match(left: object, right: object, op: str = "==") -> dict[str, object]:
    return {"match": {"op": op, "left": left, "right": right}}


def _meta(key: str) -> dict[str, object]:
    return {"meta": {"key": key}}


def _ct(key: str, **more: str) -> dict[str, object]:
    return {"ct": {"key": key, **more}}


def _pay(protocol: str, field: str) -> dict[str, object]:
    return {"payload": {"protocol": protocol, "field": field}}


def _fib(result: str, *flags: str) -> dict[str, object]:
    return {"fib": {"result": result, "flags": list(flags)}}


def _src(text: str) -> Match:
    return Match("src", (ip_network(text),))


def _port(low: int, high: int | None = None) -> Match:
    return Match("dport", ((low, high or low),))


_TCP, _ICMP = Match("proto", ("tcp",)), Match("proto", ("icmp",))
_FLAGS = _pay("tcp", "flags")
_EVERY = "ack,cwr,ecn,fin,psh,rst,syn,urg"
_PAIR = {"concat": [_pay("ip", "saddr"), _pay("tcp", "dport")]}
_NUMGEN = {"numgen": {"mode": "inc", "mod": 2, "offset": 0}}

CONDITIONS: dict[str, tuple[object, tuple[Match, ...]]] = {
    "skuid { 0, 1000-1010 }": (
        _match(_meta("skuid"), {"set": [0, {"range": [1000, 1010]}]}),
        (Match("uid", ((0, 0), (1000, 1010))),),
    ),
    "ct status snat,dnat": (_match(_ct("status"), ["snat", "dnat"], "in"), (Match("ctstatus", ("SNAT", "DNAT")),)),
    "ct status ! seen-reply": (_match(_ct("status"), "seen-reply", "!"), (Match("ctstatus", ("SEEN_REPLY",), True),)),
    "ct state != established | related": (
        _match(_ct("state"), {"|": ["established", "related"]}, "!="),
        (Match("ctstate", (), True),),
    ),
    "ct mark & 255 1": (_match({"&": [_ct("mark"), 255]}, 1), (Match("connmark", ("0x1/0xff",)),)),
    "meta mark & 255 { 1, 2 }": (
        _match({"&": [_meta("mark"), 255]}, {"set": [1, 2]}),
        (Match("mark", ("0x1/0xff", "0x2/0xff")),),
    ),
    "meta mark & 16 != 0": (_match({"&": [_meta("mark"), 16]}, 0, "!="), (Match("mark", ("0x0/0x10",), True),)),
    "meta mark != 4294901760/16": (
        _match(_meta("mark"), {"prefix": {"addr": 0xFFFF0000, "len": 16}}, "!="),
        (Match("mark", ("0xffff0000/0xffff0000",), True),),
    ),
    "meta mark 1-5": (_match(_meta("mark"), {"range": [1, 5]}), (Match("mark", ("0x1-0x5",)),)),
    "meta mark > 5": (_match(_meta("mark"), 5, ">"), (Match("mark", ("0x6-0xffffffff",)),)),
    "ct original ip saddr 10.0.0.0/8": (
        _match(_ct("ip saddr", dir="original"), {"prefix": {"addr": "10.0.0.0", "len": 8}}),
        (Match("ctorigsrc", (ip_network("10.0.0.0/8"),)),),
    ),
    "ct reply proto-dst 80": (_match(_ct("proto-dst", dir="reply"), 80), (Match("ctrepldstport", ((80, 80),)),)),
    "ct count over 20": ({"ct count": {"val": 20, "inv": True}}, (Match("connlimit", ("over 20",)),)),
    "fib daddr . iif type local": (_match(_fib("type", "daddr", "iif"), "local"), (Match("dst_type_iif", ("LOCAL",)),)),
    "fib saddr . iif oif missing": (_match(_fib("oif", "saddr", "iif"), False), (Match("rpfilter", ("",), True),)),
    "fib saddr . mark oif != 0": (
        _match(_fib("oif", "saddr", "mark"), "0", "!="),
        (Match("rpfilter", ("loose,validmark",)),),
    ),
    "tcp flags != syn": (_match(_FLAGS, "syn", "!="), (_TCP, Match("tcp_flags", (f"{_EVERY}/syn",), True))),
    "tcp flags syn,ack": (_match(_FLAGS, ["syn", "ack"], "in"), (_TCP, Match("tcp_flags", ("ack,syn/",), True))),
    "tcp flags ! fin,syn": (_match(_FLAGS, ["fin", "syn"], "!"), (_TCP, Match("tcp_flags", ("fin,syn/",)))),
    "tcp flags { syn | ack, syn }": (
        _match(_FLAGS, {"set": [{"|": ["syn", "ack"]}, "syn"]}),
        (_TCP, Match("tcp_flags", (f"{_EVERY}/ack,syn", f"{_EVERY}/syn"))),
    ),
    "tcp flags & fin,syn,rst,ack syn": (
        _match({"&": [_FLAGS, ["fin", "syn", "rst", "ack"]]}, "syn"),
        (_TCP, Match("tcp_flags", ("ack,fin,rst,syn/syn",))),
    ),
    "icmp type { destination-unreachable, redirect-7 }": (
        _match(_pay("icmp", "type"), {"set": ["destination-unreachable", {"range": ["redirect", 7]}]}),
        (_ICMP, Match("icmp_type", ((3, None), (5, None), (6, None), (7, None)))),
    ),
    "icmp code frag-needed": (_match(_pay("icmp", "code"), "frag-needed"), (_ICMP, Match("icmp_code", ((4, 4),)))),
    "icmpv6 type nd-neighbor-solicit": (
        _match(_pay("icmpv6", "type"), "nd-neighbor-solicit"),
        (Match("proto", ("ipv6-icmp",)), Match("icmp_type", ((135, None),))),
    ),
    "ip saddr . tcp dport { 10.0.0.1 . 80, 10.1.0.0/16 . 81-90 }": (
        _match(
            _PAIR,
            {
                "set": [
                    {"concat": ["10.0.0.1", 80]},
                    {"concat": [{"prefix": {"addr": "10.1.0.0", "len": 16}}, {"range": [81, 90]}]},
                ]
            },
        ),
        (_TCP, Match("any_of", ((_src("10.0.0.1"), _port(80)), (_src("10.1.0.0/16"), _port(81, 90))))),
    ),
    "ip dscp { 3, cs1, af11, ef }": (
        _match(_pay("ip", "dscp"), {"set": [3, "cs1", "af11", "ef"]}),
        (Match("dscp", ((3, 3), (8, 8), (10, 10), (46, 46))),),
    ),
    "ip ttl < 5": (_match(_pay("ip", "ttl"), 5, "<"), (Match("ttl", ((0, 4),)),)),
    "ip frag-off & 8191 != 0": (
        _match({"&": [_pay("ip", "frag-off"), 8191]}, 0, "!="),
        (Match("fragment", (True,)),),
    ),
    "meta pkttype { host, multicast }": (
        _match(_meta("pkttype"), {"set": ["host", "multicast"]}),
        (Match("pkttype", ("unicast", "multicast")),),
    ),
    "limit rate over 10/minute burst 7 packets": (
        {"limit": {"rate": 10, "burst": 7, "per": "minute", "inv": True}},
        (Match("limit", ("10/minute burst 7",), True),),
    ),
    "limit rate 10 kbytes/second burst 20 kbytes": (
        {"limit": {"rate": 10, "burst": 20, "per": "second", "rate_unit": "kbytes", "burst_unit": "kbytes"}},
        (Match("limit", ("10 kbytes/second burst 20 kbytes",)),),
    ),
    'limit name "ln"': ({"limit": "ln"}, (Match("limit", ("@ln",)),)),
    "quota over 5 mbytes": (
        {"quota": {"val": 5, "val_unit": "mbytes", "inv": True}},
        (Match("quota", ("over 5 mbytes",)),),
    ),
    "update @dyn { ip saddr limit rate over 10/second burst 5 packets }": (
        {
            "set": {
                "op": "update",
                "elem": _pay("ip", "saddr"),
                "set": "@dyn",
                "stmt": [{"limit": {"rate": 10, "burst": 5, "per": "second", "inv": True}}],
            }
        },
        (Match("meter", ("update @dyn { ip saddr limit rate over 10/second burst 5 packets }",)),),
    ),
    "ether saddr 00:11:22:33:44:55": (
        _match(_pay("ether", "saddr"), "00:11:22:33:44:55"),
        (Match("mac", ("00:11:22:33:44:55",)),),
    ),
    "vlan id 5": (_match(_pay("vlan", "id"), 5), (Match("vlan", ((5, 5),)),)),
}


def _set(key: dict[str, object], value: object) -> dict[str, object]:
    return {"mangle": {"key": key, "value": value}}


def _goes_on(text: str, *effects: Effect) -> Target:
    return Target(Verb.CONTINUE, detail=text, effects=effects)


def _to(text: str, port: int | None = None) -> Target:
    return Target(Verb.DNAT, address=ip_address(text), ports=(port, port) if port else None)


_FULL = 0xFFFFFFFF
_BY_PORT = {"map": {"key": _pay("th", "dport"), "data": {"set": [[80, {"concat": ["10.0.0.1", 8080]}]]}}}

TARGETS: dict[str, tuple[object, Target]] = {
    text: (shape, _goes_on(text, *effects))
    for text, (shape, *effects) in {
        "meta mark set 5": (_set(_meta("mark"), 5), Effect("mark", xor=5)),
        "meta mark set meta mark & 255": (
            _set(_meta("mark"), {"&": [_meta("mark"), 255]}),
            Effect("mark", 0xFF),
        ),
        "meta mark set meta mark ^ 3": (_set(_meta("mark"), {"^": [_meta("mark"), 3]}), Effect("mark", _FULL, 3)),
        "meta mark set meta mark & 4294967045 | 5": (
            _set(_meta("mark"), {"|": [{"&": [_meta("mark"), 4294967045]}, 5]}),
            Effect("mark", 0xFFFFFF00, 5),
        ),
        "meta mark set ct mark & 255": (
            _set(_meta("mark"), {"&": [_ct("mark"), 255]}),
            Effect("mark", other_keep=0xFF),
        ),
        "ct mark set meta mark & 511 | 256": (
            _set(_ct("mark"), {"|": [{"&": [_meta("mark"), 511]}, 256]}),
            Effect("connmark", xor=0x100, other_keep=0xFF),
        ),
        "notrack": ({"notrack": None}, Effect("notrack")),
        "ct zone set 5": (_set(_ct("zone"), 5), Effect("zone", detail="5")),
        "ct original zone set 5": (
            _set({"ct": {"key": "zone", "dir": "original"}}, 5),
            Effect("zone", detail="original 5"),
        ),
        "nftrace set 1": (_set(_meta("nftrace"), 1), Effect("trace", detail="1")),
        'ct helper set "ftp"': ({"ct helper": "ftp"}, Effect("helper", detail='set "ftp"')),
    }.items()
} | {
    "meta mark set ip saddr map { 10.0.0.1 : 5 }": (
        _set(_meta("mark"), {"map": {"key": _pay("ip", "saddr"), "data": {"set": [["10.0.0.1", 5]]}}}),
        Target(
            Verb.CONTINUE,
            detail="meta mark set ip saddr map { 10.0.0.1 : 5 }",
            cases=(
                ((_src("10.0.0.1"),), _goes_on("meta mark set ip saddr map { 10.0.0.1 : 5 }", Effect("mark", xor=5))),
            ),
        ),
    ),
    "dnat ip to th dport map { 80 : 10.0.0.1 . 8080 }": (
        {"dnat": {"family": "ip", "addr": _BY_PORT}},
        Target(Verb.DNAT, cases=(((_port(80),), _to("10.0.0.1", 8080)),)),
    ),
    "ip saddr vmap { * : drop, 10.0.0.1 : goto x }": (
        {
            "vmap": {
                "key": _pay("ip", "saddr"),
                "data": {"set": [["*", {"drop": None}], ["10.0.0.1", {"goto": {"target": "x"}}]]},
            }
        },
        Target(
            Verb.VMAP,
            elements=(("*", "drop"), ("10.0.0.1", "goto x")),
            detail="src",
            cases=(((_src("10.0.0.1"),), Target(Verb.GOTO, chain="x")), ((), Target(Verb.DROP))),
        ),
    ),
    "numgen inc mod 2 vmap { 0 : jump x }": (
        {"vmap": {"key": _NUMGEN, "data": {"set": [[0, {"jump": {"target": "x"}}]]}}},
        Target(
            Verb.VMAP,
            elements=(("0", "x"),),
            detail="statistic",
            cases=(((Match("statistic", ("numgen inc mod 2 0",)),), Target(Verb.JUMP, chain="x")),),
        ),
    ),
}

UNKNOWN: dict[str, object] = {
    "ct status != dnat": _match(_ct("status"), "dnat", "!="),
    "ct status & snat,dnat dnat": _match({"&": [_ct("status"), ["snat", "dnat"]]}, "dnat"),
    "iif 5": _match(_meta("iif"), 5),
    'iifname "br+"': _match(_meta("iifname"), "br+"),
    "ip saddr & 255.0.0.255 10.0.0.1": _match({"&": [_pay("ip", "saddr"), "255.0.0.255"]}, "10.0.0.1"),
    "exthdr frag exists": _match({"exthdr": {"name": "frag"}}, True),
    "queue flags bypass to 1-3": {"queue": {"num": {"range": [1, 3]}, "flags": "bypass"}},
    "tproxy ip to 127.0.0.1:80": {"tproxy": {"family": "ip", "addr": "127.0.0.1", "port": 80}},
    "meta mark set jhash ip saddr mod 2": _set(_meta("mark"), {"jhash": {"mod": 2, "expr": _pay("ip", "saddr")}}),
    "ip daddr set ip saddr": _set(_pay("ip", "daddr"), _pay("ip", "saddr")),
}
