"""ARP and neighbour discovery: the request for the MAC of the next hop and its answer, walked where the first IP packet
needs them. Follows arp_process of arp.c, ndisc_solicit and ndisc_recv_ns of ndisc.c."""

from __future__ import annotations

from netdash.kernel.routing import Flow, address_type, find
from netdash.model.addresses import address
from netdash.model.host import IP, Host, Link, Neighbour
from netdash.model.packet import Arp, Packet
from netdash.model.records import dataclass, replace
from netdash.trace.bridge import BROADCAST, MULTICAST, UNICAST, Frame, mac_of, passes, port_towards
from netdash.trace.chains import base, ip_hook
from netdash.trace.container_namespace import Namespace, namespaces_of
from netdash.trace.link_layer import Port, bridge_chains, egress, ingress, netfilter_on_bridges
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import lookups_of, number, situation
from netdash.trace.run import Ended, Run


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks or answers: a container by its `device`, this host (no space), or with no device another machine."""

    space: Namespace | None = None
    device: str | None = None
    port: str | None = ""  # of the bridge; "" is the bridge itself, None a port that is not known
    mac: str | None = None

    @property
    def name(self) -> str:
        return self.space.name if self.space is not None else "this host" if self.device else "the sender"

    @property
    def key(self) -> str:
        return self.space.container.id if self.space is not None else self.device or "other"

    def net(self, run: Run) -> Host:
        return self.space.net if self.space is not None else run.host

    def link(self, run: Run) -> Link | None:
        return lookups_of(self.net(run)).links.get(self.device or "")


@dataclass(frozen=True, slots=True)
class Request:
    """`bridge`: on whose ports both are; "" where they are on one wire."""

    asker: Party
    answerer: Party
    ip: IP
    bridge: str = ""

    @property
    def protocol(self) -> str:
        return "ARP" if self.ip.version == 4 else "neighbour discovery"


def port_of(run: Run, bridge: str, port: Port | None, ip: IP | None, came_by: str | None = "") -> Party:
    """Who is behind the port that a frame leaves by; None: another machine."""
    if port is None:
        return Party(port=port_towards(run, bridge, ip, came_by))
    space, end = port.space, port.endpoint
    return Party(space, space.device(end), end.veth, mac_of(space, end))


def _here(run: Run, device: str) -> Party:
    link = lookups_of(run.host).links.get(device)
    return Party(None, device, "", link.mac if link is not None else None)


def ask_on_bridge(run: Run, bridge: str, came_by: str | None, answerer: Party | None, ip: IP | None) -> None:
    """Whoever sends by a bridge's port ("" is this host) asks for the address; `answerer` None: this host has it."""
    behind = namespaces_of(run.host).behind(came_by) if came_by else None
    asker = Party(port=came_by)
    if came_by == "":
        asker = _here(run, bridge)
    elif behind is not None:
        asker = port_of(run, bridge, Port(*behind), ip)
    here = _here(run, bridge)
    ip = ip if ip is not None else _address_of(run, bridge)
    if ip is not None:
        resolve(run, Request(asker, answerer or here, ip, bridge))


def ask_outside(run: Run, device: str, ip: IP) -> None:
    """This host asks for another machine on a device's wire."""
    resolve(run, Request(_here(run, device), Party(), ip))


def asked_from_outside(run: Run, device: str) -> None:
    """Who sends from outside asks for the receiver on the link, or for this host as a router."""
    ip, link = run.packet.dst, lookups_of(run.host).links.get(device)
    own = [
        other
        for other in (link.addresses if link is not None else ())
        if ip is not None and other.version == ip.version
    ]
    here = [other for other in own if other.ip == ip or (ip is not None and ip.version == 4 and ip in other.network)]
    local = ip is not None and address_type(ip, run.host.routes or ()) == "LOCAL"
    asked = ip if here and local else _address_of(run, device)
    if asked is not None:
        resolve(run, Request(Party(), _here(run, device), asked))


def _address_of(run: Run, device: str) -> IP | None:
    link = lookups_of(run.host).links.get(device)
    own = [other.ip for other in (link.addresses if link is not None else ()) if other.version == run.packet.family]
    return own[0] if own else None


def resolve(run: Run, request: Request) -> None:
    """Ends the run where the asker does not learn the MAC of `ip`, or has a wrong one for good."""
    asker, answerer = request.asker, request.answerer
    known = _remembered(run, request)
    if known is not None and known.state in _FOR_GOOD:
        _right(run, request, known)
        return
    if (asker.key, request.ip) in run.resolved or _without(run, request):
        return
    _silent(run, request, known)
    sender = _sender(run, asker, request.ip)
    try:
        _ask(run, request, sender)
    except Ended as ended:
        if known is None or known.state not in _USABLE or known.mac is None or ended.verdict is Verdict.UNKNOWN:
            raise
        run.assume(f"{asker.name} still remembers the MAC of {request.ip}: asked anew, {request.protocol} fails")
    run.resolved.add((asker.key, request.ip))
    if sender is not None:
        run.resolved.add((answerer.key, sender))  # who is asked learns who asks


_FOR_GOOD = ("PERMANENT", "NOARP")
_USABLE = ("REACHABLE", "STALE", "DELAY", "PROBE")


def _remembered(run: Run, request: Request) -> Neighbour | None:
    """The asker's own entry for the address (`ip neigh`)."""
    asker = request.asker
    found = (asker.net(run).neighbours or ()) if asker.device else ()
    return next((neighbour for neighbour in found if (neighbour.ip, neighbour.dev) == (request.ip, asker.device)), None)


def _right(run: Run, request: Request, known: Neighbour) -> None:
    theirs = request.answerer.mac
    if known.mac is not None and theirs is not None and known.mac.lower() != theirs:
        who = f"{request.asker.name} keeps {request.ip} at {known.mac} ({known.state})"
        run.stop(Verdict.DROPPED, f"{known.dev} neighbours", f"{who}, {request.answerer.name} has {theirs}")


def _silent(run: Run, request: Request, known: Neighbour | None) -> None:
    """Another machine that did not answer when it was asked last. A router is asked all the time, a neighbour perhaps
    never since."""
    if request.answerer.device is not None or known is None or known.state not in ("FAILED", "INCOMPLETE"):
        return
    text = f"{request.ip} does not answer {request.protocol} on {known.dev} ({known.state} as of the reading)"
    if run.next_hop == request.ip or known.state == "INCOMPLETE":
        run.stop(Verdict.NO_ROUTE, known.dev, text)
    else:
        run.suppose_drop(known.dev, text)


def _without(run: Run, request: Request) -> bool:
    """Whether nobody is asked on this device. With ARP off an Ethernet device sends to its own MAC (arp_constructor,
    ndisc_constructor), and answers nobody."""
    link = request.asker.link(run)
    if link is not None and link.flags & {"POINTOPOINT", "LOOPBACK"}:
        return True
    for party, then in ((request.asker, "its frames go to its own MAC"), (request.answerer, "it answers nobody")):
        device = party.link(run)
        if device is not None and "NOARP" in device.flags and device.mac and device.kind in _ETHERNET:
            where = device.name if party.space is None else f"{device.name} of {party.name}"
            run.stop(Verdict.DROPPED, device.name, f"ARP is off at {where}: {then}")
    return link is not None and "NOARP" in link.flags


_ETHERNET = (None, "veth", "bridge", "vlan", "bond", "macvlan")


def _sender(run: Run, asker: Party, ip: IP) -> IP | None:
    """The packet's own source where the asker has it (arp_solicit, ndisc_solicit), else an address of the device."""
    src, link = run.packet.src, asker.link(run)
    if asker.device is None:
        return src if run.came_by is None or _near(run, run.came_by, src) else None
    if src is not None and address_type(src, asker.net(run).routes or ()) == "LOCAL":
        return src
    own = [other for other in (link.addresses if link is not None else ()) if other.version == ip.version]
    near = next((other.ip for other in own if ip in other.network), own[0].ip if own else None)
    linklocal = next((other.ip for other in own if other.ip.is_link_local), near)
    return near if ip.version == 4 else linklocal


def _near(run: Run, device: str, ip: IP | None) -> bool:
    link = lookups_of(run.host).links.get(device)
    return ip is not None and any(ip in other.network for other in (link.addresses if link is not None else ()))


# --- the request and the answer ---------------------------------------------------------------------------------------


def _ask(run: Run, request: Request, sender: IP | None) -> None:
    asked = Run(run.host, run.packet, run.choices, run.forgiven)
    asked.facts, asked.resolved, asked.sent, asked.asked = run.facts, run.resolved, run.sent, run.asked
    asker, answerer = request.asker, request.answerer
    try:
        _goes(asked, request, _packet(request, sender, asker.mac), (asker, answerer), _REQUEST[request.ip.version])
        if answerer.device is not None:
            _answers(asked, request, sender)
        _goes(asked, request, _reply(request, sender), (answerer, asker), UNICAST)
    except Ended as ended:
        run.unsure += [rule for rule in asked.unsure if not any(rule is other for other in run.unsure)]
        decision = ended.decision
        if decision is None or ended.verdict is Verdict.UNKNOWN:
            raise
        run.add(asked.finished())
        text = f"{asker.name} does not learn who has {request.ip}, {request.protocol} is stopped: {decision.text}"
        raise run.end(Verdict.DROPPED, decision.place, text, decision.step) from None
    run.unsure += [rule for rule in asked.unsure if not any(rule is other for other in run.unsure)]


_REQUEST = {4: BROADCAST, 6: MULTICAST}
_EVERYBODY = "ff:ff:ff:ff:ff:ff"


def _packet(request: Request, sender: IP | None, mac: str | None) -> Packet:
    if request.ip.version == 4:
        arp = Arp("request", sender, request.ip)
        return Packet(0, "arp", ctstate="UNTRACKED", ctdir="", mark=0, arp=arp, mac=mac, mac_dst=_EVERYBODY)
    low = int(request.ip) & 0xFFFFFF
    return _nd(sender, address(f"ff02::1:ff{low >> 16:02x}:{low & 0xFFFF:x}"), 135, mac)


def _reply(request: Request, sender: IP | None) -> Packet:
    mac, mac_dst = request.answerer.mac, request.asker.mac
    if request.ip.version == 4:
        arp = Arp("reply", request.ip, sender)
        return Packet(0, "arp", ctstate="UNTRACKED", ctdir="", mark=0, arp=arp, mac=mac, mac_dst=mac_dst)
    return replace(_nd(request.ip, sender, 136, mac), mac_dst=mac_dst)


def _nd(src: IP | None, dst: IP | None, kind: int, mac: str | None) -> Packet:
    """conntrack does not track it (icmpv6_error: noct_valid_new)."""
    return Packet(
        6, "ipv6-icmp", src, dst, icmp=(kind, 0), ctstate="UNTRACKED", ctdir="", mark=0, hops=255, whole=True,
        physdev_in="", physdev_out="", bridged=False, length=(64, 80), mac=mac,
    )  # fmt: skip


def _goes(run: Run, request: Request, packet: Packet, ends: tuple[Party, Party], kind: str) -> None:
    """From one party to the other: out of its namespace, over the bridge, into the other's."""
    sender, receiver = ends
    run.packet = packet
    _at(run, sender, "output")
    met = _over(run, request.bridge, packet, ends, kind) if request.bridge else False
    run.packet = packet
    _at(run, receiver, "input", met)


def _at(run: Run, party: Party, hook: str, met: bool = False) -> None:
    """The rules of a party's own namespace; none are known of another machine. `met`: prerouting is behind it."""
    if party.device is None:
        return
    packet = run.packet
    run.enter(party.space)
    run.connection.untracked = True
    inwards = hook == "input"
    run.packet = replace(packet, iif=party.device if inwards else "", oif="" if inwards else party.device)
    if inwards and not met and party.port == "":
        ingress(run, party.device)
    if packet.arp is not None:
        for chain in run.hooks.arp(hook) if run.hooks is not None else ():
            run.hop(run.at(f"arp {hook}"))
            base(run, hook, chain)
        return
    hooks = ("input",) if met else ("prerouting", "input") if inwards else ("output", "postrouting")
    for other in hooks:
        ip_hook(run, other)


def _over(run: Run, bridge: str, packet: Packet, ends: tuple[Party, Party], kind: str) -> bool:
    """The bridge between two of its ports, or between one and this host; True when a frame for this host has met IP's
    prerouting there."""
    came, leaves = ends[0].port, ends[1].port
    run.enter(None)
    run.connection.untracked = True
    run.packet = replace(packet, iif=bridge, oif="", physdev_in=came)
    run.hop(f"bridge {bridge}")
    passes(run, Frame(bridge, came, leaves, packet.mac_dst if kind == UNICAST else None, kind))
    calls = packet.family == 6 and netfilter_on_bridges(run, bridge)
    if came:
        ingress(run, came)
    if came != "":
        bridge_chains(run, "prerouting", came)
        if calls:
            ip_hook(run, "prerouting")
    if leaves == "":
        bridge_chains(run, "input", came)
        return calls
    bridge_chains(run, "forward" if came != "" else "output", came if came != "" else "", leaves)
    if came != "" and calls:
        run.packet = replace(run.packet, oif=bridge, physdev_out=leaves, bridged=True)
        ip_hook(run, "forward")
        bridge_chains(run, "postrouting", "", leaves)
        run.packet = replace(run.packet, iif="")
        ip_hook(run, "postrouting")
    else:
        bridge_chains(run, "postrouting", "", leaves)
    if leaves:
        egress(run, leaves)
    return False


# --- who answers ------------------------------------------------------------------------------------------------------


def _answers(run: Run, request: Request, sender: IP | None) -> None:
    """Whether the answerer's kernel answers for the address on this device."""
    party, ip = request.answerer, request.ip
    net, device = party.net(run), party.device or ""
    if ip.version == 6 or address_type(ip, net.routes or ()) != "LOCAL":
        return
    _routed_here(run, request, sender)
    ignores = max(number(net, f"net.ipv4.conf.{name.replace('.', '/')}.arp_ignore") or 0 for name in ("all", device))
    link = lookups_of(net).links.get(device)
    own = [other for other in (link.addresses if link is not None else ()) if other.ip == ip]
    near = any(sender is not None and sender in other.network for other in own)
    if ignores == 8 or (ignores in (1, 2) and link is not None and not own) or (ignores == 2 and own and not near):
        what = f"arp_ignore is {ignores}: {party.name} does not answer for {ip} on {device}"
        run.stop(Verdict.DROPPED, f"net.ipv4.conf.{device}.arp_ignore", what)
    filters = any(number(net, f"net.ipv4.conf.{name.replace('.', '/')}.arp_filter") for name in ("all", device))
    route = find(Flow(sender, ip), net.routes or (), net.policy).route if filters and sender is not None else None
    if route is not None and route.dev != device:
        what = f"arp_filter is on, and {party.name} routes {sender} by {route.dev}: it does not answer on {device}"
        run.stop(Verdict.DROPPED, f"net.ipv4.conf.{device}.arp_filter", what)


def _routed_here(run: Run, request: Request, sender: IP | None) -> None:
    """arp_process answers for what the routes call local: policy rules may ask another table first."""
    party, ip = request.answerer, request.ip
    net, device = party.net(run), party.device or ""
    found = find(Flow(ip, sender, device, proto=""), net.routes or (), net.policy, here=situation(net))
    local = found.route is not None and found.route.kind == "local"
    if not local and not found.unsure and not (party.space is None and proxied(run, device, ip)):
        what = f"{party.name} does not answer {request.protocol} for {ip}: a policy rule leads it past the local table"
        run.stop(Verdict.DROPPED, run.at(f"{device} ARP"), what)


def proxied(run: Run, device: str, ip: IP) -> bool:
    """Whether this host answers on a device for an address that it would route elsewhere (arp_fwd_proxy,
    ndisc_recv_ns)."""
    names = [f"net.ipv{ip.version}.conf.{name.replace('.', '/')}" for name in ("all", device)]
    key = "proxy_arp" if ip.version == 4 else "proxy_ndp"
    on = any(number(run.host, f"{name}.{key}") for name in names)
    forwards = number(run.host, f"{names[1]}.forwarding") != 0
    if not on or not forwards:
        return False
    route = find(Flow(ip, iif=device), run.host.routes or (), run.host.policy, lambda _: False).route
    leads = route is not None and route.kind == "unicast" and route.dev != device
    return leads and (ip.version == 4 or run.suppose(f"`ip neigh show proxy` has {ip} on {device}"))
