"""Conditions as iptables-restore takes them and iptables-save prints them, each with its meaning."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Match
from tests.rulegen.dice import PREFIXES, Dice
from tests.rulegen.wanted import Part

Make = Callable[[Dice], Part]


def _not(dice: Dice) -> tuple[str, bool]:
    negated = dice.chance(0.3)
    return ("! " if negated else ""), negated


def _one(module: str, option: str, key: str, value: Callable[[Dice], tuple[str, tuple[object, ...]]]) -> Make:
    """`-m MODULE [!] --OPTION VALUE`"""

    def make(dice: Dice) -> Part:
        bang, negated = _not(dice)
        text, values = value(dice)
        said = f"-m {module} " if module else ""
        return Part(f"{said}{bang}{option} {text}", (Match(key, values, negated),))

    return make


def _net(dice: Dice) -> tuple[str, tuple[object, ...]]:
    net = dice.net()
    return str(net), (net,)


def _range(dice: Dice) -> tuple[str, tuple[object, ...]]:
    low, high, nets = dice.span()
    return f"{low}-{high}", nets


def _device(dice: Dice) -> tuple[str, tuple[object, ...]]:
    name = dice.device() if dice.chance(0.8) else dice.pick(PREFIXES) + "+"
    return name, (name,)


def _ports(dice: Dice) -> tuple[str, tuple[object, ...]]:
    low, high = dice.ports()
    return (f"{low}" if low == high else f"{low}:{high}"), ((low, high),)


def _port_list(dice: Dice) -> tuple[str, tuple[object, ...]]:
    spans = dice.port_list()
    return ",".join(f"{low}" if low == high else f"{low}:{high}" for low, high in spans), tuple(spans)


def _words(*choices: str) -> Callable[[Dice], tuple[str, tuple[object, ...]]]:
    def value(dice: Dice) -> tuple[str, tuple[object, ...]]:
        found = dice.some(choices)
        return ",".join(found), tuple(found)

    return value


def _word(*choices: str) -> Callable[[Dice], tuple[str, tuple[object, ...]]]:
    def value(dice: Dice) -> tuple[str, tuple[object, ...]]:
        found = dice.pick(choices)
        return found, (found,)

    return value


def _mark(dice: Dice) -> tuple[str, tuple[object, ...]]:
    if dice.chance(0.5):
        value = dice.mark()
        return f"{value:#x}", (f"{value:#x}",)
    mask = dice.mask()
    value = dice.mark() & mask
    return f"{value:#x}/{mask:#x}", (f"{value:#x}/{mask:#x}",)


def _number(low: int, high: int, form: str = "{}") -> Callable[[Dice], tuple[str, tuple[object, ...]]]:
    def value(dice: Dice) -> tuple[str, tuple[object, ...]]:
        found = dice.number(low, high)
        return form.format(found), ((found, found),)

    return value


def _span(high: int) -> Callable[[Dice], tuple[str, tuple[object, ...]]]:
    def value(dice: Dice) -> tuple[str, tuple[object, ...]]:
        first, last = sorted(dice.random.sample(range(high), 2))
        return f"{first}:{last}", ((first, last),)

    return value


def _mac(dice: Dice) -> tuple[str, tuple[object, ...]]:
    text = ":".join(f"{dice.random.getrandbits(8):02x}" for _ in range(6))
    return text, (text,)


_TYPES = ("UNICAST", "LOCAL", "UNREACHABLE")  # both IP versions have these


def _limited_type(dice: Dice) -> Part:
    side = dice.pick(("src", "dst"))
    return Part(f"-m addrtype --{side}-type LOCAL --limit-iface-in", (Match(f"{side}_type_iif", ("LOCAL",)),))


def _limit(dice: Dice) -> Part:
    rate, per = dice.pick((1, 7, 11, 13)), dice.pick(("sec", "min", "hour"))
    burst = dice.pick((1, 5, 10, 100))
    said = f" --limit-burst {burst}" if burst != 5 or dice.chance(0.5) else ""
    full = {"sec": "second", "min": "minute", "hour": "hour"}[per]
    return Part(f"-m limit --limit {rate}/{per}{said}", (Match("limit", (f"{rate}/{full} burst {burst}",)),))


def _raw(module: str, *choices: str) -> Make:
    """A module that is known by its words only."""

    def make(dice: Dice) -> Part:
        words = dice.pick(choices)
        return Part(f"-m {module} {words}", (Match(module, (words.replace('"', ""),)),))

    return make


def _left(module: str, *choices: str) -> Make:
    """A module that netdash must leave open."""

    def make(dice: Dice) -> Part:
        said = f"-m {module} {dice.pick(choices)}"
        return Part(said, unread=(said.replace('"', ""),))

    return make


def _flag(said: str, key: str) -> Make:
    def make(dice: Dice) -> Part:
        module, _, option = said.rpartition(" ")
        bang, negated = _not(dice)
        return Part(f"{module} {bang}{option}".strip(), (Match(key, (True,), negated),))

    return make


def _rpfilter(dice: Dice) -> Part:
    options = [one for one in ("loose", "validmark", "accept-local") if dice.chance(0.4)]
    negated = dice.chance(0.5)
    said = " ".join(f"--{one}" for one in (*options, *(["invert"] if negated else [])))
    return Part(f"-m rpfilter {said}".strip(), (Match("rpfilter", (",".join(sorted(options)),), negated),))


ANYWHERE: dict[str, Make] = {
    "src": _one("", "-s", "src", _net),
    "dst": _one("", "-d", "dst", _net),
    "src range": _one("iprange", "--src-range", "src", _range),
    "dst range": _one("iprange", "--dst-range", "dst", _range),
    "src type": _one("addrtype", "--src-type", "src_type", _words(*_TYPES)),
    "dst type": _one("addrtype", "--dst-type", "dst_type", _words(*_TYPES)),
    "ctstate": _one("conntrack", "--ctstate", "ctstate", _words("NEW", "RELATED", "ESTABLISHED", "INVALID", "DNAT")),
    "ctstatus": _one("conntrack", "--ctstatus", "ctstatus", _words("EXPECTED", "SEEN_REPLY", "ASSURED")),
    "ctdir": lambda dice: Part("-m conntrack --ctdir REPLY", (Match("ctdir", ("REPLY",)),)),
    "ctorigsrc": _one("conntrack", "--ctorigsrc", "ctorigsrc", _net),
    "ctrepldst": _one("conntrack", "--ctrepldst", "ctrepldst", _net),
    "ctorigdstport": _one("conntrack", "--ctorigdstport", "ctorigdstport", _ports),
    "ctreplsrcport": _one("conntrack", "--ctreplsrcport", "ctreplsrcport", _ports),
    "ctexpire": _one("conntrack", "--ctexpire", "ctexpire", _span(4000)),
    "state": _one("state", "--state", "ctstate", _words("NEW", "RELATED", "ESTABLISHED", "UNTRACKED")),
    "mark": _one("mark", "--mark", "mark", _mark),
    "connmark": _one("connmark", "--mark", "connmark", _mark),
    "length": _one("length", "--length", "length", _span(65535)),
    "pkttype": _one("pkttype", "--pkt-type", "pkttype", _word("unicast", "broadcast", "multicast")),
    "dscp": _one("dscp", "--dscp", "dscp", _number(0, 63, "{:#04x}")),
    "cpu": _one("cpu", "--cpu", "cpu", _number(0, 8)),
    "limit": _limit,
    "statistic": _raw("statistic", "--mode random ! --probability 0.50000000000", "--mode nth --every 3 --packet 1"),
    "hashlimit": _raw(
        "hashlimit",
        "--hashlimit-above 10/sec --hashlimit-burst 5 --hashlimit-mode srcip,dstport --hashlimit-name -m",
    ),
    "connlimit": _raw("connlimit", "--connlimit-above 20 --connlimit-mask 32 --connlimit-saddr"),
    "connbytes": _raw("connbytes", "--connbytes 100:200 --connbytes-mode bytes --connbytes-dir both"),
    "quota": _raw("quota", "--quota 1000"),
    "string": _raw("string", '--string "-j DROP" --algo bm', "! --hex-string |0a0b| --algo kmp"),
    "helper": _raw("helper", '--helper "ftp"'),
    "time": _raw("time", "--timestart 10:00:00 --timestop 12:00:00 --weekdays Mon,Fri --datestop 2038-01-19T03:14:07"),
    "u32": _left("u32", '--u32 "0x0>>0x16&0x3c@0x0=0x1"'),
    "bpf": _left("bpf", '--bytecode "1,6 0 0 65535"'),
}
ONLY_4: dict[str, Make] = {
    "broadcast": _one("addrtype", "--dst-type", "dst_type", _words("BROADCAST", "MULTICAST")),
    "recent": _raw(
        "recent",
        "! --rcheck --seconds 60 --hitcount 4 --name ssh --mask 255.255.255.255 --rsource",
        "--set --name -j --mask 255.255.255.255 --rsource",
    ),
    "fragment": _flag("-f", "fragment"),
    "ttl": _one("ttl", "--ttl-eq", "ttl", _number(0, 255)),
    "ttl below": lambda dice: Part("-m ttl --ttl-lt 5", (Match("ttl", ((0, 4),)),)),
    "ttl above": lambda dice: Part("-m ttl --ttl-gt 5", (Match("ttl", ((6, 255),)),)),
    "tos": _raw("tos", "--tos 0x10/0x3f"),
}
ONLY_6: dict[str, Make] = {
    "hop limit": _one("hl", "--hl-eq", "hoplimit", _number(0, 255)),
    "hop limit above": lambda dice: Part("-m hl --hl-gt 5", (Match("hoplimit", ((6, 255),)),)),
}
IN: dict[str, Make] = {"iif": _one("", "-i", "iif", _device)}
OUT: dict[str, Make] = {"oif": _one("", "-o", "oif", _device)}
COMES_IN: dict[str, Make] = {
    "policy": _raw("policy", "--dir in --pol none"),
    "limited type": _limited_type,
    "group": _one("devgroup", "--src-group", "iifgroup", _word("0x1", "0x1/0xff")),
    "mac": _one("mac", "--mac-source", "mac", _mac),
}
FORWARDED: dict[str, Make] = {
    "physdev in": _one("physdev", "--physdev-in", "physdev_in", _device),
    "physdev bridged": _flag("-m physdev --physdev-is-bridged", "physdev_is_bridged"),
}
SENT: dict[str, Make] = {
    "limited type out": lambda dice: Part(
        "-m addrtype --dst-type UNICAST --limit-iface-out", (Match("dst_type_oif", ("UNICAST",)),)
    ),
    "uid": _one("owner", "--uid-owner", "uid", _number(0, 60000)),
    "gid": _one("owner", "--gid-owner", "gid", _number(0, 60000)),
}
FIRST: dict[str, Make] = {"rpfilter": _rpfilter}


def _flags(dice: Dice) -> Part:
    every = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")
    mask = dice.some(every, 1, 6)
    flags = dice.some(mask, 0, len(mask))
    bang, negated = _not(dice)
    value = f"{','.join(sorted(mask)).lower()}/{','.join(sorted(flags)).lower()}"
    said = f"--tcp-flags {','.join(mask)} {','.join(flags) or 'NONE'}"
    return Part(f"-m tcp {bang}{said}", (Match("tcp_flags", (value,), negated),))


def _syn(dice: Dice) -> Part:
    bang, negated = _not(dice)
    return Part(f"-m tcp {bang}--syn", (Match("tcp_flags", ("ack,fin,rst,syn/syn",), negated),))


def _icmp(option: str, key: str) -> Make:
    def make(dice: Dice) -> Part:
        bang, negated = _not(dice)
        kind, code = dice.number(0, 250), dice.number(0, 30) if dice.chance(0.4) else None
        said = f"{kind}" if code is None else f"{kind}/{code}"
        return Part(f"-m {key} {bang}{option} {said}", (Match("icmp_type", ((kind, code),), negated),))

    return make


def _any_icmp(_dice: Dice) -> Part:
    return Part("-m icmp --icmp-type any", (Match("icmp_type", ((None, None),)),))


_MULTI: dict[str, Make] = {
    "multi sport": _one("multiport", "--sports", "sport", _port_list),
    "multi dport": _one("multiport", "--dports", "dport", _port_list),
    "multi port": _one("multiport", "--ports", "port", _port_list),
}


def _ported(proto: str) -> dict[str, Make]:
    return {
        f"{proto} sport": _one(proto, "--sport", "sport", _ports),
        f"{proto} dport": _one(proto, "--dport", "dport", _ports),
    }


OF_PROTO: dict[str, dict[str, Make]] = {
    "tcp": _ported("tcp")
    | _MULTI
    | {"flags": _flags, "syn": _syn, "option": _one("tcp", "--tcp-option", "tcp_option", lambda dice: ("8", (8,)))},
    "udp": _ported("udp") | _MULTI,
    "sctp": _ported("sctp") | _MULTI,
    "dccp": _ported("dccp") | _MULTI,
    "icmp": {"icmp": _icmp("--icmp-type", "icmp"), "any icmp": _any_icmp},
    "ipv6-icmp": {"icmp6": _icmp("--icmpv6-type", "icmp6")},
    "gre": {},
    "esp": {},
}
