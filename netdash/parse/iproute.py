"""What iproute2's tools print -> links, routes, policy rules, neighbours, forwarding tables and VLANs of bridges,
queueing disciplines, IPsec policies. The same for this host, hosts by ssh and recordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from operator import attrgetter

from netdash.model.addresses import address, interface, subnet
from netdash.model.host import IP, AddressDetail, Interface, IpsecPolicy, Link, Neighbour, Net, PolicyRule, Route
from netdash.model.kernel_state import BridgePort, BridgeSwitches, Bridging, FdbEntry, PortVlan
from netdash.model.memory import CachedMap
from netdash.model.turn import give_way
from netdash.parse.json_values import Json, integer, items, mapping, text

_EVERYTHING: dict[int, Net] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
_SELECTORS = ("iif", "oif", "fwmark", "tos", "ipproto", "sport", "dport", "suppress_ifgroup")
_KNOWN = {
    *(*_SELECTORS, "priority", "not", "src", "srclen", "dst", "dstlen", "fwmask", "protocol", "suppress_prefixlen"),
    *("suppress_prefixlength", "table", "action", "goto", "nop", "l3mdev", "iif_detached", "uid_start", "uid_end"),
    *("oif_detached", "unresolved", "to_tbl", "flags", "sport_start", "sport_end", "dport_start", "dport_end"),
}
"""Words of `ip -j rule`; what is not among them is a selector that is not understood."""

_GROUPS = {"default": "0"}  # iproute2's own name; others are the administrator's


def parse_links(link_json: object, addr_json: object, each: CachedMap | None = None) -> tuple[Link, ...]:
    """`ip -j -d link` and `ip -j -d addr`; the second alone says everything."""
    rows: list[object] = items(addr_json)
    if link_json is not None:
        merged: dict[int, dict[str, object]] = {}
        for raw in (*items(link_json), *rows):
            one = mapping(raw)
            index = integer(one.get("ifindex"))
            if index is not None and text(one.get("ifname")):
                merged.setdefault(index, {}).update(one)
        rows = [*merged.values()]
    found = filter(None, (each or CachedMap())(_link, rows))
    return tuple(sorted(found, key=attrgetter("index")))


def _link(row: object) -> Link | None:
    raw = mapping(row)
    index, name = integer(raw.get("ifindex")), text(raw.get("ifname"))
    if index is None or name is None:
        return None
    flags = frozenset(word for word in items(raw.get("flags")) if isinstance(word, str))
    own = [(found, mapping(item)) for item in items(raw.get("addr_info")) if (found := _address(mapping(item)))]
    return Link(
        index=index,
        name=name,
        kind=text(mapping(raw.get("linkinfo")).get("info_kind")),
        up="UP" in flags,
        state=text(raw.get("operstate")) or "UNKNOWN",
        mtu=integer(raw.get("mtu")),
        mac=text(raw.get("address")),
        master=text(raw.get("master")),
        peer_index=integer(raw.get("link_index")),
        peer_netns=integer(raw.get("link_netnsid")),
        addresses=tuple(found for found, _ in own),
        hairpin=_hairpin(mapping(raw.get("linkinfo"))),
        details=tuple(_detail(value) for _, value in own),
        group=_GROUPS.get(str(raw.get("group")), str(raw["group"])) if "group" in raw else None,
        xdp=bool(mapping(raw.get("xdp")).get("attached") or mapping(raw.get("xdp")).get("prog")),
        flags=flags,
        port=_port(mapping(raw.get("linkinfo"))),
        bridge=_bridge(mapping(raw.get("linkinfo"))),
        mode=text(mapping(mapping(raw.get("linkinfo")).get("info_data")).get("mode")),
        lower=text(raw.get("link")),
    )


def _detail(raw: Json) -> AddressDetail:
    return AddressDetail(
        str(raw.get("scope") or "global"), frozenset(key for key, value in raw.items() if value is True)
    )


def _hairpin(info: Json) -> bool | None:
    value = mapping(info.get("info_slave_data")).get("hairpin")
    return value if isinstance(value, bool) else None


def _port(info: Json) -> BridgePort | None:
    """An older `ip` does not name every switch: what is not told is as the kernel sets it up."""
    told = mapping(info.get("info_slave_data"))
    if "state" not in told:
        return None
    usual = BridgePort()
    on = {name: told.get(name) is True if name in told else getattr(usual, name) for name in _PORT_SWITCHES}
    return BridgePort(text(told["state"]) or str(told["state"]), **on)


_PORT_SWITCHES = ("learning", "flood", "mcast_flood", "bcast_flood", "isolated", "locked")


def _bridge(info: Json) -> BridgeSwitches | None:
    told = mapping(info.get("info_data"))
    if info.get("info_kind") != "bridge" or "vlan_filtering" not in told:
        return None
    return BridgeSwitches(
        *(told.get(name) == 1 for name in ("vlan_filtering", "nf_call_iptables", "nf_call_ip6tables"))
    )


def _address(raw: Json) -> Interface | None:
    local = text(raw.get("local"))
    return interface(local, integer(raw.get("prefixlen"))) if local else None


def parse_routes(route4: object, route6: object, next_hops: object = None) -> tuple[Route, ...]:
    """`ip [-6] -j route show table all`, in the kernel's order; IPv6 routes that are listed in both come once.
    `next_hops`: `ip -j nexthop`, the objects that routes may name by "nhid"."""
    answers = ((4, route4), (6, route6))
    known = {raw["id"]: raw for raw in map(mapping, items(next_hops)) if isinstance(raw.get("id"), int)}
    rows = ((_resolved(mapping(raw), known), family) for family, answer in answers for raw in items(answer))
    found = dict.fromkeys(_route(raw, family) for raw, family in rows)
    return tuple(route for route in found if route is not None)


def _resolved(raw: Json, known: Mapping[object, Json]) -> Json:
    """A route with what its next-hop object says, unless the listing says that itself (nexthop_compat_mode) or the
    object is not known."""
    name = raw.get("nhid")
    if name is None or "dev" in raw or "nexthops" in raw or not isinstance(name, int) or name not in known:
        return raw
    named = known[name]
    members = [mapping(item).get("id") for item in items(named.get("group"))]
    if not members:
        told = {key: named[key] for key in ("gateway", "via", "dev", "encap") if key in named}
        return {**raw, **told, **({"type": "blackhole"} if "blackhole" in named else {})}
    hops = [known[member] for member in members if isinstance(member, int) and member in known]
    whole = len(hops) == len(members) and all("dev" in hop for hop in hops)
    return {**raw, "nexthops": hops} if whole else raw


def _route(raw: Json, family: int) -> Route | None:
    give_way()
    dst = text(raw.get("dst"))
    if dst is None:
        return None
    gateway, prefsrc = address(text(raw.get("gateway"))), address(text(raw.get("prefsrc")))
    via = address(text(mapping(raw.get("via")).get("host")))  # an IPv6 next hop of an IPv4 route
    net = _destination(dst, raw, gateway or prefsrc, family)
    if net is None:
        return None
    flags = items(raw.get("flags"))
    hops = [mapping(hop) for hop in items(raw.get("nexthops"))]
    alive = [hop for hop in hops if "dead" not in items(hop.get("flags"))]
    source = text(raw.get("from"))
    return Route(
        family=net.version,
        table=str(raw.get("table") or "main"),
        kind=text(raw.get("type")) or "unicast",
        dst=net,
        gateway=gateway or via,
        dev=text(raw.get("dev")),
        prefsrc=prefsrc,
        metric=integer(raw.get("metric")) or 0,
        protocol=text(raw.get("protocol")),
        scope=text(raw.get("scope")),
        linkdown="linkdown" in flags or "dead" in flags,
        hops=tuple(_hop(hop) for hop in alive),
        dead="dead" in flags or (bool(hops) and not alive),
        tos=_tos(raw.get("tos", "0")),
        src=subnet(source) if source else None,
        pref=text(raw.get("pref")) or "medium",
        unparsed=_unparsed(raw, hops),
    )


def _hop(raw: Json) -> tuple[IP | None, str | None]:
    via = text(mapping(raw.get("via")).get("host"))
    return address(text(raw.get("gateway")) or via), text(raw.get("dev"))


def _tos(word: object) -> int | None:
    """A number; None for a name of rt_dsfield, which each distribution writes as it likes."""
    try:
        return int(str(word), 0)
    except ValueError:
        return None


def _unparsed(raw: Json, hops: list[Json]) -> tuple[str, ...]:
    """What would make the packet go elsewhere: it is wrapped up (encap), or its next hops stand in an object."""
    found = [key for key in ("encap", "encap_type") if key in raw or any(key in hop for hop in hops)]
    if "nhid" in raw and not hops and "dev" not in raw:
        found.append("nhid")
    if "tos" in raw and _tos(raw["tos"]) is None:
        found.append("tos")
    if "from" in raw and subnet(text(raw["from"]) or "") is None:
        found.append("from")
    return tuple(found)


def _destination(dst: str, raw: Json, hint: IP | None, family: int) -> Net | None:
    """ "default" has the family of its gateway; without one, IPv6 routes are told by their `pref`."""
    if dst != "default":
        return subnet(dst)
    if hint is not None and hint.version in _EVERYTHING:
        return _EVERYTHING[hint.version]
    return _EVERYTHING[6 if "pref" in raw else family]


def parse_policy(rule4: object, rule6: object) -> tuple[PolicyRule, ...]:
    """`ip [-6] -j rule`, in order of priority."""
    answers: Iterable[tuple[int, object]] = ((4, rule4), (6, rule6))
    found = [_policy(family, mapping(raw)) for family, answer in answers for raw in items(answer)]
    return tuple(sorted(found, key=lambda rule: (rule.family, rule.priority)))


def _policy(family: int, raw: Json) -> PolicyRule:
    selectors = [("not", "")] if "not" in raw else []
    for key in ("src", "dst"):
        value = text(raw.get(key))
        if value and value != "all":
            length = integer(raw.get(key + "len"))
            selectors.append((key, value if length is None else f"{value}/{length}"))
    for key in _SELECTORS:
        if key in raw and key == "suppress_ifgroup":
            selectors.append((key, _GROUPS.get(str(raw[key]), str(raw[key]))))
        elif f"{key}_start" in raw:
            selectors.append((key, f"{raw[f'{key}_start']}-{raw.get(f'{key}_end')}"))
        elif key in raw:
            mask = raw.get("fwmask") if key == "fwmark" else None
            selectors.append((key, f"{raw[key]}" + (f"/{mask}" if mask else "")))
    suppress = raw.get("suppress_prefixlen", raw.get("suppress_prefixlength"))
    if suppress is not None:
        selectors.append(("suppress_prefixlength", str(suppress)))
    if "uid_start" in raw:
        selectors.append(("uidrange", f"{raw['uid_start']}-{raw.get('uid_end', raw['uid_start'])}"))
    selectors += [(key, str(raw[key])) for key in raw if key not in _KNOWN]
    table = raw.get("table")
    action = text(raw.get("action")) or next((key for key in ("nop", "l3mdev") if key in raw), None)
    if "goto" in raw:
        action = f"goto {raw['goto']}"
    words = [f"from {text(raw.get('src')) or 'all'}"] if not any(key == "src" for key, _ in selectors) else []
    words += [
        f"{'from' if key == 'src' else 'to' if key == 'dst' else key} {value}".rstrip() for key, value in selectors
    ]
    words.append(f"lookup {table}" if table else action or "")
    return PolicyRule(
        family=family,
        priority=integer(raw.get("priority")) or 0,
        text=" ".join(words).strip(),
        table=str(table) if table and action in (None, "to_tbl", "lookup") else None,
        selectors=tuple(selectors),
    )


def parse_neighbours(neigh: object) -> tuple[Neighbour, ...]:
    """`ip -j neigh`."""
    found = []
    for raw in map(mapping, items(neigh)):
        ip, dev = address(text(raw.get("dst"))), text(raw.get("dev"))
        if ip and dev:
            state = [word for word in items(raw.get("state")) if isinstance(word, str)]
            found.append(Neighbour(ip, dev, text(raw.get("lladdr")), " ".join(state) or "NONE"))
    return tuple(found)


def parse_bridging(fdb: object, vlans: object) -> Bridging:
    """`bridge -j fdb` and `bridge -j vlan`; None for one that was not read."""
    return Bridging(None if fdb is None else tuple(_entries(fdb)), None if vlans is None else dict(_vlans(vlans)))


def _entries(fdb: object) -> Iterator[FdbEntry]:
    """Without the addresses that a device itself listens to ("self"): a bridge does not ask them."""
    for raw in map(mapping, items(fdb)):
        give_way()
        mac, port, bridge = text(raw.get("mac")), text(raw.get("ifname")), text(raw.get("master"))
        if mac and port and bridge:
            yield FdbEntry(mac.lower(), port, raw.get("state") in ("static", "permanent"))


def _vlans(vlans: object) -> Iterator[tuple[str, tuple[PortVlan, ...]]]:
    for raw in map(mapping, items(vlans)):
        name = text(raw.get("ifname"))
        if name:
            yield name, tuple(_ranges(raw))


def _ranges(raw: Mapping[str, object]) -> Iterator[PortVlan]:
    for vlan in map(mapping, items(raw.get("vlans"))):
        first = integer(vlan.get("vlan"))
        if first is not None:
            flags = items(vlan.get("flags"))
            last = integer(vlan.get("vlanEnd"))
            yield PortVlan(first, first if last is None else last, "PVID" in flags, "Egress Untagged" in flags)


_LINE = re.compile(r"^qdisc (\S+) \S+ dev (\S+) (?:root|parent \S+)(?: refcnt \d+)? ?(.*)$", re.MULTILINE)
_PLAIN = frozenset("noqueue pfifo_fast pfifo bfifo mq mqprio fq fq_codel codel cake sfq clsact ingress noop".split())


def parse_qdiscs(text: str) -> Mapping[str, str]:
    """By device: the kind and its options, as `tc` writes them. Of several on one device the last, nearest the wire."""
    found = _LINE.findall(text)
    return {device: f"{kind} {options}".strip() for kind, device, options in found if kind not in _PLAIN}


_SELECTOR = re.compile(r"^src (\S+) dst (\S+)", re.MULTILINE)


def parse_policies(text: str) -> tuple[IpsecPolicy, ...]:
    """A policy without a template lets packets pass as they are, and is left out; of its other selectors (ports,
    protocols, marks) nothing is said, so that it may take a packet."""
    found = []
    starts = [match.start() for match in _SELECTOR.finditer(text)]
    for start, end in zip(starts, [*starts, len(text)][1:], strict=True):
        part = text[start:end]
        selector = _SELECTOR.match(part)
        direction = re.search(r"\bdir (in|out|fwd)\b", part)
        if selector is None or direction is None or not ("\ttmpl " in part or " action block" in part):
            continue
        src, dst = subnet(selector[1]), subnet(selector[2])
        if src is not None and dst is not None:
            found.append(IpsecPolicy(direction[1], src, dst, "action block" in part))
    return tuple(found)
