"""The frozen records that describe a host. Owns the words; computes nothing that needs a second source. `None` always
means "could not be read or does not say"; an empty tuple means "was read, and there is none"."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Interface, IPv6Interface

from netdash.model.engine_state import Binding, Drift, EngineProcess
from netdash.model.errors import Failure, FailureKind
from netdash.model.kernel_state import (
    NOT_READ,
    AddressDetail,
    BridgePort,
    BridgeSwitches,
    Bridging,
    Counters,
    Ends,
    IpsecPolicy,
    Neighbour,
    PolicyRule,
    Resolver,
    TrackedFlow,
    Tracking,
    Traffic,
)
from netdash.model.records import dataclass, field
from netdash.model.rules import (
    IP,
    Chain,
    Effect,
    Match,
    NamedObject,
    Net,
    Rule,
    Ruleset,
    RulesNote,
    Table,
    Target,
    Unread,
    Verb,
)

__all__ = [
    "IP",
    "AddressDetail",
    "Binding",
    "Bridging",
    "Chain",
    "Container",
    "Effect",
    "Endpoint",
    "Ends",
    "Engine",
    "Failure",
    "FailureKind",
    "Holder",
    "Host",
    "Inside",
    "Interface",
    "IpsecPolicy",
    "Link",
    "Listener",
    "Match",
    "NamedObject",
    "Neighbour",
    "Net",
    "Network",
    "PolicyRule",
    "Port",
    "Proxy",
    "Ref",
    "Resolver",
    "Route",
    "Rule",
    "RulesNote",
    "Ruleset",
    "Scope",
    "Table",
    "Target",
    "TrackedFlow",
    "Unread",
    "Verb",
]

Interface = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Engine:
    """The container engine as its API describes itself."""

    name: str  # "docker" or "podman"
    version: str
    rootless: bool
    userland_proxy: bool | None  # None where the API does not say (before 29)
    firewall: str | None  # /info.FirewallBackend.Driver, API 1.49+: "iptables", "nftables", "iptables+firewalld"
    live_restore: bool | None = None
    pools: tuple[tuple[Net, int], ...] | None = None
    """Default address pools: (base, prefix length of a network); empty: Docker's own; None: not told."""


# --- what the engine manages ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's attachment to one network."""

    network: str
    network_id: str
    mac: str | None
    addresses: tuple[Interface, ...]  # with the prefix length; IPv4 before IPv6
    gateways: tuple[IP, ...]
    names: tuple[str, ...]  # what others on this network may call it, aliases included
    links: tuple[tuple[str, str], ...]  # --link: (container name, alias) that it may call
    gateway_priority: int = 0
    veth: str | None = None  # the host's end of the pair


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for peers: TCP LISTEN, or an unconnected UDP socket."""

    proto: str  # "tcp", "udp"
    ip: IP  # 0.0.0.0 or :: for all
    port: int
    dual: bool = False  # an IPv6 wildcard that also answers IPv4 (ss prints "*")
    device: str | None = None
    pid: int | None = None
    command: str | None = None
    user: str | None = None  # of a process that has the name of an engine's and is none
    full: bool = False  # of TCP: more connections wait to be accepted than it allows; a SYN is dropped
    stopped: bool = False  # its process is known to be stopped (SIGSTOP): the kernel takes what comes, nobody answers

    @property
    def program(self) -> str | None:
        """The command; of a process that only has the name of an engine's, with the user who runs it."""
        return self.command if self.user is None else impostor(self.command or "?", self.user)


def impostor(command: str, user: str) -> str:
    return f'"{command}" of {user}'


@dataclass(frozen=True, slots=True)
class Inside:
    """What was read inside a container's network namespace."""

    links: tuple[Link, ...] | None
    routes: tuple[Route, ...] | None  # without the local table and IPv6 where only /proc/net/route was read
    sysctls: tuple[tuple[str, str], ...]  # (name, value)
    policy: tuple[PolicyRule, ...] | None = None
    neighbours: tuple[Neighbour, ...] | None = None
    ruleset: Ruleset | None = None  # None: not read
    resolver: Resolver | None = None
    names: tuple[tuple[IP, str], ...] | None = None  # of its /etc/hosts


@dataclass(frozen=True, slots=True)
class Container:
    id: str  # 64 hexadecimal digits
    name: str
    image: str
    state: str  # Docker's word: created running paused restarting removing exited dead
    health: str | None
    exit_code: int | None
    started_at: float | None  # seconds since the epoch
    finished_at: float | None
    pid: int | None  # of the first process, in the engine's pid namespace
    network_mode: str  # HostConfig.NetworkMode: bridge, host, none, container:ID, or a network
    shares_with: str | None  # name of the container whose namespace it uses (container:X)
    endpoints: tuple[Endpoint, ...]
    bindings: tuple[Binding, ...]  # live ones
    configured: tuple[Binding, ...]  # HostConfig.PortBindings, also of a stopped container
    exposed: tuple[tuple[int, str], ...]  # (port, protocol)
    compose: str | None  # compose project
    service: str | None  # compose service
    listeners: tuple[Listener, ...] | None  # inside its network namespace
    default_gateways: frozenset[IP] | None = None  # of its default IPv4 routes, as seen inside
    inside: Inside | None = None  # what was read in its network namespace beside the listeners
    left_behind: bool = False  # the namespace that it shares is its owner's no more
    error: str = ""  # why the engine could not start it last time
    restarts: int | None = None  # by the engine, after its program ended
    extra_hosts: tuple[tuple[str, str], ...] = ()  # --add-host: (name, address)
    proxy_variables: tuple[str, ...] | None = None  # names of what it has of http_proxy and the like, never a value

    @property
    def short_id(self) -> str:
        return self.id[:12]

    @property
    def running(self) -> bool:
        """Whether its network namespace exists (a paused container keeps it)."""
        return self.state in ("running", "paused")

    @property
    def user_space(self) -> str:
        """The program that moves a rootless engine's packets itself, without a bridge, rule or route; "" for none."""
        mode = self.network_mode.partition(":")[0]
        return mode if mode in ("pasta", "slirp4netns") else ""


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    driver: str
    scope: str
    bridge: str | None  # the host's bridge device; None for drivers without one
    subnets: tuple[Net, ...]
    gateways: tuple[IP, ...]
    internal: bool
    ipv6: bool
    icc: bool
    masquerade: bool
    host_binding: IP | None  # com.docker.network.bridge.host_binding_ipv4
    snat_to: IP | None  # com.docker.network.host_ipv4
    gateway_modes: tuple[str, str]  # IPv4, IPv6: nat, nat-unprotected, routed, isolated
    parent: str | None  # macvlan, ipvlan
    compose: str | None
    mode: str = ""  # macvlan: bridge private vepa passthru; ipvlan: l2 l3 l3s; "" is the driver's default
    ranges: tuple[Net, ...] = ()  # --ip-range: where its containers' addresses are chosen from
    reserved: tuple[IP, ...] = ()  # --aux-address
    mtu: int | None = None  # com.docker.network.driver.mtu


# --- the kernel's state -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    kind: str | None  # bridge, veth, macvlan … ; None for a physical device
    up: bool  # administratively
    state: str  # operstate: UP, DOWN, UNKNOWN, LOWERLAYERDOWN …
    mtu: int | None
    mac: str | None
    master: str | None
    peer_index: int | None  # IFLA_LINK: the other end's index, in its own namespace
    peer_netns: int | None  # IFLA_LINK_NETNSID
    addresses: tuple[Interface, ...]
    hairpin: bool | None = None  # of a bridge's port: a frame may leave by the port that it came in by
    details: tuple[AddressDetail, ...] = ()  # of each of `addresses`, in the same order; empty where none were told
    group: str | None = None  # IFLA_GROUP, by its name or number
    xdp: bool = False  # a program looks at what comes in before the kernel does
    flags: frozenset[str] = frozenset()  # NOARP, LOOPBACK, POINTOPOINT …
    port: BridgePort | None = None  # of a bridge's port; None: not told
    bridge: BridgeSwitches | None = None  # of a bridge
    mode: str | None = None  # of macvlan: bridge private vepa passthru
    lower: str | None = None  # IFLA_LINK where it is a device of this namespace: what a macvlan hangs on


@dataclass(frozen=True, slots=True)
class Route:
    family: int  # 4 or 6
    table: str
    kind: str  # unicast local broadcast multicast blackhole unreachable prohibit throw anycast
    dst: Net  # 0.0.0.0/0 or ::/0 for "default"
    gateway: IP | None
    dev: str | None
    prefsrc: IP | None
    metric: int
    protocol: str | None
    scope: str | None
    linkdown: bool = False  # the kernel says the device has no carrier
    hops: tuple[tuple[IP | None, str | None], ...] = ()  # multipath next hops (gateway, dev) that are not dead
    dead: bool = False  # the device is down, or every next hop is dead: the kernel passes the route by
    tos: int | None = 0  # only packets of this type of service; None where its name is not known
    src: Net | None = None  # only packets from there (IPv6)
    pref: str = "medium"  # RFC 4191: low medium high
    unparsed: tuple[str, ...] = ()  # words of `ip -j route` that change where packets go and are not followed

    @property
    def default(self) -> bool:
        return self.dst.prefixlen == 0


@dataclass(frozen=True, slots=True)
class Proxy:
    """A userland proxy that the engine runs for one published port."""

    pid: int
    ppid: int | None
    command: str  # docker-proxy, rootlesskit …
    argv: str
    proto: str
    host_ip: IP
    host_port: int
    container_ip: IP
    container_port: int
    rss: int | None = None  # bytes
    listeners: tuple[Listener, ...] | None = None  # the sockets it holds; None when that could not be read
    user: str | None = None  # who runs it, where it is neither the engine's nor netdash's
    stopped: bool | None = None  # by SIGSTOP: it keeps its sockets and answers nobody; None: not read

    @property
    def holds_port(self) -> bool:
        """False where it was seen to hold no socket."""
        return self.listeners != ()

    @property
    def program(self) -> str:
        return self.command if self.user is None else impostor(self.command, self.user)


# --- joined -----------------------------------------------------------------------------------------------------------


class Scope(Enum):
    LOOPBACK = "loopback"
    ADDRESS = "address"
    ALL = "all"
    DEVICE = "device"  # what comes in by one device, whatever address it is for


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a host port."""

    kind: str  # docker-proxy, dockerd, rootlesskit, conmon, netdash, process, rule (a DNAT without a socket), nobody
    pid: int | None = None
    command: str | None = None
    forged: bool = False  # it has the name of an engine's process and is none: `command` says whose it is


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the host: a published port, or a host listener without a container."""

    proto: str
    host_ip: IP
    host_port: int
    container_port: int | None
    target_ip: IP | None
    dnat: Rule | None
    proxy: Proxy | None
    listening: bool | None  # inside the container, on the target address
    listener: str | None  # command of that listener, where known
    scope: Scope
    container_id: str | None
    holder: Holder | None
    live: bool = True  # False: configured on a container that is not running
    unsure: tuple[Rule, ...] = ()  # rules that may decide before `dnat`, or in its absence, and cannot be told
    dnat_from_here: bool | None = None  # whether this host's own packets (by loopback where that is bound) meet a DNAT
    dual: bool = False  # bound to ::, and answers IPv4 too
    device: str | None = None  # its socket is bound to this device
    waiting: bool = False  # of netdash's forward that waits: not `live`, and opens when it can


@dataclass(frozen=True, slots=True)
class Ref:
    """What a selection points at. kind is a view's name in the singular; key identifies it across refreshes."""

    kind: str  # container network port rule chain route proxy link neighbour address
    key: str


@dataclass(frozen=True, slots=True, eq=False)
class Host:
    """Everything known of one host at one moment."""

    name: str | None
    taken: float | None  # seconds since the epoch
    live: bool  # False for a recording
    engine: Engine | None
    containers: tuple[Container, ...] | None
    networks: tuple[Network, ...] | None
    links: tuple[Link, ...] | None
    routes: tuple[Route, ...] | None
    policy: tuple[PolicyRule, ...] | None
    neighbours: tuple[Neighbour, ...] | None
    ruleset: Ruleset | None
    proxies: tuple[Proxy, ...] | None  # the engine's, and netdash's own
    listeners: tuple[Listener, ...] | None
    ports: tuple[Port, ...] | None
    sysctls: Mapping[str, str] | None
    privileged: bool | None  # whether the reader had the right to read the rules
    pending: frozenset[str] = frozenset()  # sources not read yet: "reading…", neither empty nor failed
    heard: float | None = None  # when a live engine last answered, or sent an event; seconds since the epoch
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by source
    drift: tuple[Drift, ...] | None = None  # None: the rules could not be compared, `failures` says why
    forged: tuple[Proxy, ...] = ()  # processes with the name and the arguments of a proxy that are not the engine's
    other_kernel: str = ""  # why the engine's kernel is not this machine's; "" where nothing tells that
    ipsec: tuple[IpsecPolicy, ...] | None = None
    qdiscs: Mapping[str, str] | None = None  # by device, of those that shape, delay or drop: what tc says of them
    ipsets: Mapping[str, tuple[Net, ...]] | None = None  # members of those that hold addresses or nets alone
    bridging: Bridging | None = None
    flows: tuple[TrackedFlow, ...] | None = None  # connections that the kernel tracked; None: not read
    tracking: Tracking | None = None  # of a live host: how many of them are not kept, or were missed
    kept_until: Mapping[str, float] = field(default_factory=dict)  # old containers by id: when netdash removes them
    process: EngineProcess | None = None  # None: not found, and so whose namespace was read is not known
    traffic: Traffic = NOT_READ  # what devices carry, while somebody looks
    counters: Mapping[str, Counters] | None = None  # of lost packets, by file; None: nobody looked
    conntrack_counts: Mapping[str, int] | None = None  # what conntrack counted since the start: drop, insert_failed …
