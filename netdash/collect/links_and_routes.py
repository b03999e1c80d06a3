"""Links, addresses, routes, policy rules and neighbours by netlink, in the shape of `ip -j -d`. Changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from netdash.collect.kernel_words import (
    ADDRESS_FLAGS,
    ADDRESS_SCOPE,
    BRIDGE_PORT,
    BRIDGE_PORT_STATES,
    KIND_DATA,
    LINK_FLAGS,
    NEIGHBOUR_HIDDEN,
    NEIGHBOUR_STATES,
    PREFERENCE,
    ROUTE_FLAGS,
    ROUTE_PROTOCOLS,
    ROUTE_TYPES,
    RULE_ACTIONS,
    family_name,
    table_names,
)
from netdash.collect.netlink import Message, RoutingSocket

Row = dict[str, object]

_CLONED = 0x200  # RTM_F_CLONED: an entry of the route cache, which `ip route` does not list either
_INVERT = 0x2  # FIB_RULE_INVERT
_IPV4, _IPV6 = 2, 10
_LOOK_UP = 1  # FR_ACT_TO_TBL


class Kernel:
    """The tables of one network namespace, that of the thread which makes it. Dumps once, then applies messages."""

    def __init__(self) -> None:
        self._socket = RoutingSocket()
        self._tables = table_names()
        self._links: dict[int, Row] = {}
        self._masters: dict[int, tuple[int | None, int | None]] = {}  # (IFLA_MASTER, IFLA_LINK in this namespace)
        self._addresses: dict[int, dict[tuple[str, int], Row]] = {}
        self._neighbours: dict[tuple[int, str], Row] = {}

    def close(self) -> None:
        self._socket.close()

    # --- dumps --------------------------------------------------------------------------------------------------------

    def links(self) -> list[Row]:
        """`ip -j -d addr`, dumped anew."""
        self._links.clear()
        self._masters.clear()
        self._addresses.clear()
        for message in self._socket.links():
            self._link(message)
        for message in self._socket.addresses():
            self._address(message)
        return self.known_links()

    def routes(self, version: int) -> list[Row]:
        """`ip [-6] -j -d route show table all`."""
        family = _IPV4 if version == 4 else _IPV6
        return [self._route_row(message) for message in self._socket.routes(family) if not message["flags"] & _CLONED]

    def rules(self, version: int) -> list[Row]:
        """`ip [-6] -j rule`."""
        found = [self._rule(message) for message in self._socket.rules(_IPV4 if version == 4 else _IPV6)]
        return sorted(found, key=lambda rule: int(str(rule["priority"])))

    def neighbours(self) -> list[Row]:
        """`ip -j neigh`, dumped anew."""
        self._neighbours.clear()
        for family in (_IPV4, _IPV6):
            for message in self._socket.neighbours(family):
                self._neighbour(message)
        return self.known_neighbours()

    def namespaces(self, pids: Iterable[int]) -> dict[str, int]:
        """RTM_GETNSID by pid: the number that a veth's link_netnsid refers to; -1 where it has none here. Needs no
        privilege. A process that is gone is left out."""
        found = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                found[str(pid)] = self._socket.namespace(pid)
        return found

    # --- what is known, and what an event changes ---------------------------------------------------------------------

    def known_links(self) -> list[Row]:
        return [
            {**link, **self._relatives(index), "addr_info": list(self._addresses.get(index, {}).values())}
            for index, link in sorted(self._links.items())
        ]

    def known_neighbours(self) -> list[Row]:
        return list(self._neighbours.values())

    def apply(self, message: Message) -> str:
        """Takes one event in; the source that it changes: "links", "routes", "policy", "neighbours", or ""."""
        event = message.get("event", "")
        known = _EVENTS.get(event[7:])
        if known is None or not event.startswith(("RTM_NEW", "RTM_DEL")):
            return ""
        source, take = known
        if take is None:
            return source
        return source if take(self, message, event.startswith("RTM_DEL")) else ""

    def _link(self, message: Message, gone: bool = False) -> bool:
        index, attributes = message["index"], dict(message["attrs"])
        if message["family"] != 0 or "IFLA_IFNAME" not in attributes:
            return False  # a bridge tells of its ports in messages of its own family, which say less
        if gone:
            self._masters.pop(index, None)
            self._addresses.pop(index, None)
            return self._links.pop(index, None) is not None
        peer, netns = attributes.get("IFLA_LINK"), attributes.get("IFLA_LINK_NETNSID")
        row: Row = {
            "ifindex": index,
            "ifname": attributes["IFLA_IFNAME"],
            "flags": _link_flags(message["flags"]),
            "mtu": attributes.get("IFLA_MTU"),
            "operstate": attributes.get("IFLA_OPERSTATE", "UNKNOWN"),
        }
        if attributes.get("IFLA_ADDRESS"):
            row["address"] = attributes["IFLA_ADDRESS"]
        if attributes.get("IFLA_GROUP"):
            row["group"] = str(attributes["IFLA_GROUP"])
        xdp = attributes.get("IFLA_XDP")
        if xdp is not None and dict(xdp["attrs"]).get("IFLA_XDP_ATTACHED"):
            row["xdp"] = {"attached": True}
        if netns is not None:
            row |= {"link_index": peer, "link_netnsid": netns if netns < 1 << 31 else netns - (1 << 32)}
        info = dict(attributes["IFLA_LINKINFO"]["attrs"]) if "IFLA_LINKINFO" in attributes else {}
        if info.get("IFLA_INFO_KIND"):
            row["linkinfo"] = {"info_kind": info["IFLA_INFO_KIND"], **_bridging(info)}
        relatives = attributes.get("IFLA_MASTER"), peer if netns is None and peer else None
        changed = self._links.get(index) != row or self._masters.get(index) != relatives
        self._links[index], self._masters[index] = row, relatives
        return changed

    def _relatives(self, index: int) -> Row:
        master, lower = self._masters[index]
        named = (("master", master), ("link", lower))
        return {key: self._name(other) for key, other in named if other is not None}

    def _name(self, index: int) -> object:
        return self._links[index]["ifname"] if index in self._links else f"if{index}"

    def _address(self, message: Message, gone: bool = False) -> bool:
        attributes = dict(message["attrs"])
        local = attributes.get("IFA_LOCAL") or attributes.get("IFA_ADDRESS")
        if local is None:
            return False
        of_link = self._addresses.setdefault(message["index"], {})
        key = (local, message["prefixlen"])
        if gone:
            return of_link.pop(key, None) is not None
        row: Row = {
            "family": family_name(message["family"]),
            "local": local,
            "prefixlen": message["prefixlen"],
            "scope": ADDRESS_SCOPE.get(message["scope"], str(message["scope"])),
        }
        flags = attributes.get("IFA_FLAGS", message["flags"])
        row |= {word: True for word in _names(ADDRESS_FLAGS[message["family"] == _IPV6], flags)}
        changed = of_link.get(key) != row
        of_link[key] = row
        return changed

    def _neighbour(self, message: Message, gone: bool = False) -> bool:
        attributes, state = dict(message["attrs"]), message["state"]
        if message["family"] not in (_IPV4, _IPV6) or "NDA_DST" not in attributes:
            return False
        key = (message["ifindex"], attributes["NDA_DST"])
        if gone or not state or state & NEIGHBOUR_HIDDEN:
            return self._neighbours.pop(key, None) is not None
        row: Row = {"dst": key[1], "dev": self._name(key[0])}
        if "NDA_LLADDR" in attributes:
            row["lladdr"] = attributes["NDA_LLADDR"]
        row["state"] = [name for bit, name in NEIGHBOUR_STATES.items() if state & bit]
        changed = self._neighbours.get(key) != row
        self._neighbours[key] = row
        return changed

    # --- rows ---------------------------------------------------------------------------------------------------------

    def _route_row(self, message: Message) -> Row:
        attributes = dict(message["attrs"])
        six = message["family"] == _IPV6
        row: Row = {"type": ROUTE_TYPES.get(message["type"], str(message["type"]))}
        row["dst"] = _prefix(attributes.get("RTA_DST"), message["dst_len"], 128 if six else 32)
        row |= self._hop(attributes)
        if message["tos"]:
            row["tos"] = f"0x{message['tos']:02x}"
        if "RTA_SRC" in attributes:
            row["from"] = _prefix(attributes["RTA_SRC"], message["src_len"], 128 if six else 32)
        if "RTA_ENCAP" in attributes:
            row["encap"] = True
        if "RTA_NH_ID" in attributes:
            row["nhid"] = attributes["RTA_NH_ID"]
        table = attributes.get("RTA_TABLE", message["table"])
        row["table"] = self._tables.get(table, str(table))
        row["protocol"] = ROUTE_PROTOCOLS.get(message["proto"], str(message["proto"]))
        row["scope"] = ADDRESS_SCOPE.get(message["scope"], str(message["scope"]))
        if "RTA_PREFSRC" in attributes:
            row["prefsrc"] = attributes["RTA_PREFSRC"]
        if "RTA_PRIORITY" in attributes:
            row["metric"] = attributes["RTA_PRIORITY"]
        row["flags"] = _names(ROUTE_FLAGS, message["flags"])
        if "RTA_MULTIPATH" in attributes:
            row["nexthops"] = [self._next_hop(hop) for hop in attributes["RTA_MULTIPATH"]]
        if six:
            row["pref"] = PREFERENCE.get(attributes.get("RTA_PREF", 0), "medium")
        return row

    def _hop(self, attributes: Mapping[str, Any]) -> Row:
        row: Row = {}
        if "RTA_GATEWAY" in attributes:
            row["gateway"] = attributes["RTA_GATEWAY"]
        via = attributes.get("RTA_VIA")
        if via:
            row["via"] = {"family": family_name(via["family"]), "host": via["addr"]}
        if "RTA_OIF" in attributes:
            row["dev"] = self._name(attributes["RTA_OIF"])
        return row

    def _next_hop(self, hop: Message) -> Row:
        attributes = {**dict(hop["attrs"]), "RTA_OIF": hop["oif"]}
        return {**self._hop(attributes), "weight": hop["hops"] + 1, "flags": _names(ROUTE_FLAGS, hop["flags"])}

    def _rule(self, message: Message) -> Row:
        attributes = dict(message["attrs"])
        row: Row = {"priority": attributes.get("FRA_PRIORITY", 0)}
        if message["flags"] & _INVERT:
            row["not"] = None
        row["src"] = attributes.get("FRA_SRC", "all" if not message["src_len"] else "0.0.0.0")  # noqa: S104
        full = 128 if message["family"] == _IPV6 else 32
        if message["src_len"] not in (0, full):
            row["srclen"] = message["src_len"]
        if "FRA_DST" in attributes:
            row["dst"] = attributes["FRA_DST"]
            if message["dst_len"] != full:
                row["dstlen"] = message["dst_len"]
        row |= _selectors(attributes, message["tos"])
        if message["action"] == _LOOK_UP:
            table = attributes.get("FRA_TABLE", message["table"])
            row["table"] = self._tables.get(table, str(table))
            suppress = attributes.get("FRA_SUPPRESS_PREFIXLEN", 0xFFFFFFFF)
            if suppress != 0xFFFFFFFF:
                row["suppress_prefixlen"] = suppress
            if attributes.get("FRA_SUPPRESS_IFGROUP", 0xFFFFFFFF) != 0xFFFFFFFF:
                row["suppress_ifgroup"] = str(attributes["FRA_SUPPRESS_IFGROUP"])
            if attributes.get("FRA_L3MDEV"):
                row = {**{key: one for key, one in row.items() if key != "table"}, "l3mdev": None}
        else:
            row["action"] = RULE_ACTIONS.get(message["action"], str(message["action"]))
        return row


_Take = Callable[[Kernel, Message, bool], bool]
_EVENTS: Mapping[str, tuple[str, _Take | None]] = {
    "LINK": ("links", Kernel._link),
    "ADDR": ("links", Kernel._address),
    "ROUTE": ("routes", None),
    "RULE": ("policy", None),
    "NEIGH": ("neighbours", Kernel._neighbour),
}


def _selectors(attributes: Mapping[str, Any], tos: int) -> Row:
    row: Row = {}
    if tos:
        row["tos"] = f"0x{tos:02x}"
    if "FRA_FWMARK" in attributes or attributes.get("FRA_FWMASK"):
        row["fwmark"] = hex(attributes.get("FRA_FWMARK", 0))
        if attributes.get("FRA_FWMASK", 0xFFFFFFFF) != 0xFFFFFFFF:
            row["fwmask"] = hex(attributes["FRA_FWMASK"])
    for key, name in (("FRA_IIFNAME", "iif"), ("FRA_OIFNAME", "oif")):
        if key in attributes:
            row[name] = attributes[key]
    if "FRA_IP_PROTO" in attributes:
        row["ipproto"] = _PROTOCOLS.get(attributes["FRA_IP_PROTO"], str(attributes["FRA_IP_PROTO"]))
    for key, name in (("FRA_SPORT_RANGE", "sport"), ("FRA_DPORT_RANGE", "dport")):
        if key in attributes:
            row[name] = _range(attributes[key])
    if "FRA_UID_RANGE" in attributes:
        low, _, high = _range(attributes["FRA_UID_RANGE"]).partition("-")
        row |= {"uid_start": int(low), "uid_end": int(high or low)}
    return row


_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


def _range(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value).replace(":", "-")
    low, high = value["start"], value["end"]
    return str(low) if low == high else f"{low}-{high}"


def _prefix(address: str | None, length: int, full: int) -> str:
    if address is None:
        return "default" if length == 0 else f"0.0.0.0/{length}"
    return address if length == full else f"{address}/{length}"


def _bridging(info: Mapping[str, Any]) -> Row:
    """What `ip -d link` tells of a bridge, a bridge's port and macvlan, as far as it is asked for."""
    port = info.get("IFLA_INFO_SLAVE_DATA") if info.get("IFLA_INFO_SLAVE_KIND") == "bridge" else None
    own, kind = info.get("IFLA_INFO_DATA"), info.get("IFLA_INFO_KIND")
    found: Row = {}
    if isinstance(port, Mapping):
        told = dict(port["attrs"])
        row: Row = {name: bool(told[key]) for key, name in BRIDGE_PORT.items() if key in told}
        state = told.get("IFLA_BRPORT_STATE")
        if state is not None:
            row["state"] = BRIDGE_PORT_STATES[state] if state < len(BRIDGE_PORT_STATES) else str(state)
        found["info_slave_data"] = row
    if isinstance(own, Mapping) and kind in KIND_DATA:
        told = dict(own["attrs"])
        found["info_data"] = {name: told[key] for key, name in KIND_DATA[kind].items() if key in told}
    return found


def _link_flags(bits: int) -> list[str]:
    without_carrier = ["NO-CARRIER"] if bits & 1 and not bits & 0x40 else []
    return without_carrier + _names(LINK_FLAGS, bits)


def _names(words: Mapping[int, str], bits: int) -> list[str]:
    return [name for bit, name in words.items() if bits & bit]
