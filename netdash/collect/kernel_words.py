"""The words that iproute2 prints for the kernel's numbers (linux/if.h, rtnetlink.h, neighbour.h, fib_rules.h)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

LINK_FLAGS = {
    0x8: "LOOPBACK",
    0x2: "BROADCAST",
    0x10: "POINTOPOINT",
    0x1000: "MULTICAST",
    0x80: "NOARP",
    0x200: "ALLMULTI",
    0x100: "PROMISC",
    0x400: "MASTER",
    0x800: "SLAVE",
    0x4: "DEBUG",
    0x8000: "DYNAMIC",
    0x4000: "AUTOMEDIA",
    0x2000: "PORTSEL",
    0x20: "NOTRAILERS",
    0x1: "UP",
    0x10000: "LOWER_UP",
    0x20000: "DORMANT",
    0x40000: "ECHO",
}
ADDRESS_SCOPE = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
ADDRESS_FLAGS = (
    {0x01: "secondary"},
    {0x01: "temporary", 0x04: "optimistic", 0x08: "dadfailed", 0x20: "deprecated", 0x40: "tentative"},
)
"""Of IPv4 and of IPv6 (linux/if_addr.h): what decides whether an address is taken as a source."""
ROUTE_TYPES = {
    0: "none",
    1: "unicast",
    2: "local",
    3: "broadcast",
    4: "anycast",
    5: "multicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
    10: "nat",
}
ROUTE_PROTOCOLS = {
    0: "unspec",
    1: "redirect",
    2: "kernel",
    3: "boot",
    4: "static",
    8: "gated",
    9: "ra",
    10: "mrt",
    11: "zebra",
    12: "bird",
    13: "dnrouted",
    14: "xorp",
    15: "ntk",
    16: "dhcp",
    18: "keepalived",
    42: "babel",
    186: "bgp",
    187: "isis",
    188: "ospf",
    189: "rip",
    192: "eigrp",
}
ROUTE_FLAGS = {0x1: "dead", 0x2: "pervasive", 0x4: "onlink", 0x8: "offload", 0x10: "linkdown", 0x20: "unresolved"}
PREFERENCE = {0: "medium", 1: "high", 3: "low"}  # RFC 4191
NEIGHBOUR_STATES = {
    0x1: "INCOMPLETE",
    0x2: "REACHABLE",
    0x4: "STALE",
    0x8: "DELAY",
    0x10: "PROBE",
    0x20: "FAILED",
    0x80: "PERMANENT",
}
NEIGHBOUR_HIDDEN = 0x40  # NUD_NOARP: multicast and the like, which `ip neigh` leaves out too
RULE_ACTIONS = {2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}

_TABLES = {0: "unspec", 253: "default", 254: "main", 255: "local"}
_TABLE_FILES = (Path("/usr/share/iproute2/rt_tables"), Path("/etc/iproute2/rt_tables"))


def family_name(family: int) -> str:
    return {2: "inet", 10: "inet6"}.get(family, str(family))


def table_names(files: Iterable[Path] = _TABLE_FILES) -> dict[int, str]:
    """Route tables by number, with the names that the administrator gave."""
    names = dict(_TABLES)
    for file in files:
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            number, _, name = line.partition("#")[0].strip().partition("\t")
            words = (number + " " + name).split()
            if len(words) == 2 and words[0].isdigit():
                names[int(words[0])] = words[1]
    return names


BRIDGE_PORT = {
    "IFLA_BRPORT_MODE": "hairpin",
    "IFLA_BRPORT_LEARNING": "learning",
    "IFLA_BRPORT_UNICAST_FLOOD": "flood",
    "IFLA_BRPORT_MCAST_FLOOD": "mcast_flood",
    "IFLA_BRPORT_BCAST_FLOOD": "bcast_flood",
    "IFLA_BRPORT_ISOLATED": "isolated",
    "IFLA_BRPORT_LOCKED": "locked",
}
BRIDGE_PORT_STATES = ("disabled", "listening", "learning", "forwarding", "blocking")  # BR_STATE_*
KIND_DATA = {
    "bridge": {
        "IFLA_BR_VLAN_FILTERING": "vlan_filtering",
        "IFLA_BR_NF_CALL_IPTABLES": "nf_call_iptables",
        "IFLA_BR_NF_CALL_IP6TABLES": "nf_call_ip6tables",
    },
    "macvlan": {"IFLA_MACVLAN_MODE": "mode"},
}
