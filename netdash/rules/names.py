"""Names that the rule tools print for numbers, and which number each is: protocols, ICMP types and codes, DSCP classes.
Other spellings stay as they are."""

from __future__ import annotations

_PROTOCOLS = {
    "0": "ip", "1": "icmp", "2": "igmp", "4": "ipencap", "6": "tcp", "17": "udp", "33": "dccp", "41": "ipv6",
    "47": "gre", "50": "esp", "51": "ah", "58": "ipv6-icmp", "89": "ospf", "94": "ipip", "97": "etherip",
    "103": "pim", "108": "ipcomp", "112": "vrrp", "115": "l2tp", "132": "sctp", "135": "mobility-header",
    "136": "udplite", "137": "mpls-in-ip", "icmpv6": "ipv6-icmp", "icmp6": "ipv6-icmp", "comp": "ipcomp",
    "mh": "mobility-header", "ipv6-mh": "mobility-header", "ospfigp": "ospf",
}  # fmt: skip
"""Numbers and other spellings -> the name in /etc/protocols."""

_ICMP = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16,
    "address-mask-request": 17, "address-mask-reply": 18,
}  # fmt: skip
_ICMPV6 = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4,
    "echo-request": 128, "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131,
    "mld-listener-done": 132, "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134,
    "nd-neighbor-solicit": 135, "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138,
    "ind-neighbor-solicit": 141, "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}  # fmt: skip
_ICMP_CODES = {
    "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
    "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
}  # fmt: skip
_ICMPV6_CODES = {
    "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
    "reject-route": 6,
}  # fmt: skip
_DSCP = {"be": 0, "df": 0, "lephb": 1, "va": 44, "voice-admit": 44, "ef": 46}


def protocol(name: str) -> str:
    return _PROTOCOLS.get(name, name)


def known_protocol(name: str) -> bool:
    """Whether it is a name that `protocol` gives, or a number."""
    return name in _PROTOCOLS.values() or name.isdecimal()


def number(text: str) -> int | None:
    """A decimal or 0x… number."""
    try:
        return int(text, 16 if text[:2] in ("0x", "0X") else 10)
    except ValueError:
        return None


def icmp_type(name: str, v6: bool) -> int | None:
    known = (_ICMPV6 if v6 else _ICMP).get(name)
    return number(name) if known is None else known


def icmp_code(name: str, v6: bool) -> int | None:
    known = (_ICMPV6_CODES if v6 else _ICMP_CODES).get(name)
    return number(name) if known is None else known


def dscp(name: str) -> int | None:
    """A number or a class: cs0 to cs7, af11 to af43, ef …"""
    name = name.lower()
    if len(name) == 3 and name[:2] == "cs" and "0" <= name[2] <= "7":
        return 8 * int(name[2])
    if len(name) == 4 and name[:2] == "af" and "1" <= name[2] <= "4" and "1" <= name[3] <= "3":
        return 8 * int(name[2]) + 2 * int(name[3])
    known = _DSCP.get(name)
    return number(name) if known is None else known
