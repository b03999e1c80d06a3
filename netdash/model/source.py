"""What a reading is asked for, and how long each answer may take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum, StrEnum
from importlib import import_module
from typing import Any

from netdash.model.host import Failure, FailureKind
from netdash.model.records import dataclass, replace


class Source(StrEnum):
    """The sources of which a failure is reported, and for which a live host waits."""

    DOCKER = "docker"
    LINKS = "links"
    ROUTES = "routes"
    NEIGHBOURS = "neighbours"
    RULES = "rules"
    PROXIES = "proxies"
    LISTENERS = "listeners"
    SYSCTLS = "sysctls"
    FLOWS = "flows"  # what conntrack keeps: read while somebody looks at it
    DROPS = "drops"  # the kernel's counters of lost packets: read while somebody looks at them
    INSIDE = "inside"  # the containers' network namespaces
    TRACE = "trace"  # what only the trace of one packet and a recording need: nothing is reported as missing


class Missing(Enum):
    """What is reported where a file could not be read."""

    SOURCE = 1  # its source as not read
    PART = 2  # a part of its source, as "rules: nft"
    NOTHING = 3


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One raw answer. `path`: in a recording; `*` stands for a container's name. `command`: as this host and the
    collector run it; () where other code reads it. `parser`: `module:function` of netdash."""

    path: str
    source: Source
    parser: str
    command: tuple[str, ...] = ()
    missing: Missing = Missing.PART
    root: bool = False  # whether it needs CAP_NET_ADMIN
    module: str = ""  # of the kernel; where it is not loaded nothing is asked, because asking would load it

    @property
    def name(self) -> str:
        """What a failure to read the file is reported under, as "rules: iptables-legacy"."""
        return self.source if self.missing is Missing.SOURCE else f"{self.source}: {part_name(self.path)}"

    def failure(self, reason: str, remedy: str = "", kind: FailureKind = FailureKind.OTHER) -> Failure | None:
        """The failure to read it; None where nothing is reported."""
        if self.missing is Missing.NOTHING:
            return None
        if self.command[:1] == ("ip",) and "SELECTOR" in reason:
            reason, remedy = "the ip of busybox prints no JSON", "install iproute2"
        return Failure(self.name, reason, remedy, kind)

    def not_installed(self, tool: str = "") -> Failure | None:
        missing = not_installed(self.name, tool or self.command[0])
        return None if self.missing is Missing.NOTHING else missing

    def parse(self) -> Callable[..., Any]:
        """The parser; its module is imported when the first answer comes."""
        module, _, function = self.parser.partition(":")
        parse: Callable[..., Any] = getattr(import_module(f"netdash.{module}"), function)
        return parse


_IP, _BRIDGE = ("ip", "-j"), ("bridge", "-j")
_LINKS, _ROUTES, _POLICY = (f"parse.iproute:parse_{name}" for name in ("links", "routes", "policy"))
_NEIGHBOURS, _BRIDGING = "parse.iproute:parse_neighbours", "parse.iproute:parse_bridging"
_NFT, _SAVE = "rules.nft_listing:parse_nft", "rules.iptables_save:parse_save"
_LISTENERS, _OWNERS = "parse.proc:parse_listeners", "model.processes:parse_owners"
_NFT_COMMAND = ("nft", "-j", "-a", "list", "ruleset")
_ROUTE_WORDS = ("-d", "route", "show", "table", "all")
_CONNTRACK = "nf_conntrack_netlink"
_COUNTERS = "parse.counters:parse"
_WHOLE, _NOTHING = Missing.SOURCE, Missing.NOTHING

_CONTAINER = "containers/*/"
CONNTRACK = "host/nf_conntrack.txt"
"""What conntrack counted, by processor; host/conntrack-stats.txt has the same of a tool that needs root."""


def _traced(path: str, parser: str, *command: str, module: str = "") -> SourceFile:
    return SourceFile(path, Source.TRACE, parser, command, _NOTHING, bool(module), module)


def _container(file: str, source: Source, parser: str = "", *command: str) -> SourceFile:
    return SourceFile(_CONTAINER + file, source, parser, command, _NOTHING, root=True)


FILES = (
    SourceFile("docker/version.json", Source.DOCKER, "parse.docker:parse_engine", missing=_WHOLE),
    SourceFile("docker/info.json", Source.DOCKER, "parse.docker:parse_engine"),
    SourceFile("docker/containers.json", Source.DOCKER, "parse.docker:parse_listed", missing=_WHOLE),
    SourceFile("docker/inspect.json", Source.DOCKER, "parse.docker:parse_inspected"),
    SourceFile("docker/networks.json", Source.DOCKER, "parse.docker:parse_network"),
    SourceFile("ip/link.json", Source.LINKS, _LINKS),  # of older recordings: addr.json has it too
    SourceFile("ip/addr.json", Source.LINKS, _LINKS, (*_IP, "-d", "addr"), _WHOLE),
    SourceFile("ip/netns.json", Source.LINKS, "parse.json_values:decoded"),  # RTM_GETNSID by pid
    SourceFile("ip/bridge-link.json", Source.LINKS, _BRIDGING, (*_BRIDGE, "-d", "link"), _NOTHING),
    SourceFile("ip/bridge-fdb.json", Source.LINKS, _BRIDGING, (*_BRIDGE, "fdb"), _NOTHING),
    SourceFile("ip/bridge-vlan.json", Source.LINKS, _BRIDGING, (*_BRIDGE, "vlan"), _NOTHING),
    SourceFile("ip/route4.json", Source.ROUTES, _ROUTES, (*_IP, *_ROUTE_WORDS), _WHOLE),
    SourceFile("ip/route6.json", Source.ROUTES, _ROUTES, ("ip", "-6", "-j", *_ROUTE_WORDS)),
    SourceFile("ip/rule4.json", Source.ROUTES, _POLICY, (*_IP, "rule")),
    SourceFile("ip/rule6.json", Source.ROUTES, _POLICY, ("ip", "-6", "-j", "rule")),
    SourceFile("ip/neigh.json", Source.NEIGHBOURS, _NEIGHBOURS, (*_IP, "neigh"), _WHOLE),
    SourceFile("rules/nft.json", Source.RULES, _NFT, _NFT_COMMAND, root=True),
    SourceFile("rules/iptables-save.txt", Source.RULES, _SAVE, root=True),
    SourceFile("rules/ip6tables-save.txt", Source.RULES, _SAVE, root=True),
    SourceFile("rules/iptables-legacy-save.txt", Source.RULES, _SAVE, root=True),
    SourceFile("rules/ip6tables-legacy-save.txt", Source.RULES, _SAVE, root=True),
    SourceFile("host/docker-proxy.txt", Source.PROXIES, "parse.proc:parse_proxies", missing=_WHOLE),
    SourceFile("host/memory.txt", Source.PROXIES, "parse.proc:parse_memory", missing=_NOTHING),
    SourceFile("host/process-owner.txt", Source.PROXIES, _OWNERS, missing=_NOTHING),
    SourceFile("host/stopped.txt", Source.PROXIES, "model.processes:parse_stopped", missing=_NOTHING),
    SourceFile("host/listeners.txt", Source.LISTENERS, _LISTENERS, missing=_WHOLE),
    SourceFile("host/engine.txt", Source.LISTENERS, "model.engine_state:parse_engine_process"),
    SourceFile("host/engine-kernel.txt", Source.LISTENERS, "model.engine_state:other_kernel", missing=_NOTHING),
    SourceFile("host/sysctl.txt", Source.SYSCTLS, "parse.proc:parse_sysctls", missing=_WHOLE),
    _traced("ip/nexthop.json", _ROUTES, *_IP, "nexthop"),
    _traced("rules/tc.txt", "parse.iproute:parse_qdiscs", "tc", "qdisc"),
    _traced("ip/xfrm.txt", "parse.iproute:parse_policies", "ip", "xfrm", "policy", module="xfrm_user"),
    _traced("rules/ipset.txt", "parse.netfilter:parse_ipsets", "ipset", "save", module="ip_set"),
    _traced("host/conntrack.txt", "parse.conntrack:parse_conntrack", "conntrack", "-L", module=_CONNTRACK),
    _traced("host/proxy-sockets.txt", "parse.proc:parse_proxy_sockets"),
    _traced("host/conntrack-stats.txt", "parse.netfilter:parse_counts", "conntrack", "-S", module=_CONNTRACK),
    SourceFile("host/nstat.txt", Source.DROPS, f"{_COUNTERS}_nstat", ("nstat", "-asz")),
    SourceFile(
        CONNTRACK, Source.DROPS, f"{_COUNTERS}_conntrack", ("cat", "/proc/net/stat/nf_conntrack"), module="nf_conntrack"
    ),
    SourceFile("ip/link-stats.json", Source.DROPS, f"{_COUNTERS}_links", (*_IP, "-s", "-s", "link")),
    SourceFile("host/softnet.txt", Source.DROPS, f"{_COUNTERS}_softnet", ("cat", "/proc/net/softnet_stat")),
    SourceFile("host/kept.txt", Source.TRACE, "model.kept:parse_kept", missing=_NOTHING),  # netdash's own journals
    SourceFile("host/waiting.txt", Source.TRACE, "model.kept:parse_waiting", missing=_NOTHING),  # and its forwards
    _container("addr.json", Source.INSIDE, _LINKS, *_IP, "-d", "addr"),
    _container("route.json", Source.INSIDE, _ROUTES, *_IP, *_ROUTE_WORDS),
    _container("listeners.txt", Source.INSIDE, _LISTENERS, "ss", "-Hltnu"),
    _container("proc-net.txt", Source.INSIDE, "parse.proc:parse_proc_net"),
    _container("netns.txt", Source.INSIDE, "join.sources:parse_inside"),
    _container("rule4.json", Source.TRACE, _POLICY, *_IP, "rule"),
    _container("rule6.json", Source.TRACE, _POLICY, "ip", "-6", "-j", "rule"),
    _container("neigh.json", Source.TRACE, _NEIGHBOURS, *_IP, "neigh"),
    _container("nft.json", Source.TRACE, _NFT, *_NFT_COMMAND),
    _container("iptables-save.txt", Source.TRACE, _SAVE),
    _container("ip6tables-save.txt", Source.TRACE, _SAVE),
    _container("iptables-legacy-save.txt", Source.TRACE, _SAVE),
    _container("ip6tables-legacy-save.txt", Source.TRACE, _SAVE),
    _container("sysctl.txt", Source.TRACE, "parse.proc:parse_sysctls"),
    _container("resolv.conf", Source.TRACE),
    _container("hosts", Source.TRACE),
    _container("nat.txt", Source.TRACE, _SAVE),  # of older recordings
)

BY_PATH: Mapping[str, SourceFile] = {file.path: file for file in FILES}

SOURCES: Mapping[Source, tuple[str, ...]] = {
    source: tuple(file.path for file in FILES if file.source is source)
    for source in Source
    if source not in (Source.FLOWS, Source.DROPS, Source.INSIDE, Source.TRACE)
}
"""The files of every source that is reported as missing where it was not read."""

RECORDED: frozenset[Source] = frozenset((*SOURCES, Source.DROPS))
"""What a recording is asked for, beside what only it needs."""

COUNTING = frozenset(("rules/nft.json", *(file.path for file in FILES if file.source is Source.DROPS)))
"""Answers that count as read again also where they did not change: no packet came. (iptables-save prints the time too.)
"""

_KERNEL = (Source.LINKS, Source.ROUTES, Source.NEIGHBOURS, Source.RULES, Source.PROXIES, Source.SYSCTLS)
IN_NAMESPACE = frozenset((*_KERNEL, Source.DROPS))
"""The sources of the engine's network namespace. The listeners are the host's: rootlesskit has its ports."""

AWAITED: frozenset[str] = frozenset((*SOURCES, Source.INSIDE))
"""What a live host waits for at first."""

CONTAINER_FILES = tuple(file.path.removeprefix(_CONTAINER) for file in FILES if file.path.startswith(_CONTAINER))
KEPT = "host/kept.txt"
"""Until when netdash keeps the old containers of those that it made anew: a line each, `ID UNTIL`. UNTIL is in seconds
since the epoch, "-" while the change is not finished."""
WAITING = "host/waiting.txt"
"""Ports of netdash's forwards that are not open now: a line each, `PROTO ADDRESS PORT CONTAINER_PORT CONTAINER_ID`."""


def commands(*sources: str) -> Iterator[SourceFile]:
    """The files of these sources that a command prints in the network namespace of the host."""
    return (file for file in FILES if file.command and file.source in sources and not file.path.startswith(_CONTAINER))


def container_commands(*sources: str) -> Iterator[SourceFile]:
    """The files of these sources that a command prints in the network namespace of a container."""
    return (file for file in FILES if file.command and file.source in sources and file.path.startswith(_CONTAINER))


_TIMERS = r'("[a-z_]+_timer": *)[0-9.]+'
_LIFETIMES = r', *"(?:valid_life_time|preferred_life_time|expires)": *(?!(?:0|4294967295)\b)[0-9]+'


def without_timers(path: str, text: str) -> str:
    """An answer without what `ip` counts down, the timers of bridges and the lifetimes of addresses and routes, but for
    those that are over or have no end: so it differs only where something changed."""
    if path.endswith("addr.json"):
        text = re.sub(_TIMERS, r"\g<1>0", text)
    return re.sub(_LIFETIMES, "", text) if path.endswith(_COUNTED) else text


_COUNTED = ("addr.json", "route.json", "route4.json", "route6.json")


def part_name(path: str) -> str:
    """The part of a source that a file is, as people know it: "iptables", "route6"."""
    return path.rpartition("/")[2].partition(".")[0].removesuffix("-save").removesuffix("-either")


_NEEDS_ROOT = ("you must be root", "Operation not permitted", "Permission denied")


def needs_root(errors: str) -> bool:
    """Whether a tool's errors say that it lacks a right."""
    return any(words in errors for words in _NEEDS_ROOT)


def whole_failure(source: Source, parts: Iterable[Failure]) -> Failure:
    """One failure for all parts: the lack of a right before the lack of a tool."""
    failures = tuple(parts)
    of_rights = next((part for part in failures if part.kind is FailureKind.NO_RIGHT), None)
    if of_rights is not None:
        return replace(of_rights, source=source)
    reasons = dict.fromkeys(part.reason for part in failures)
    remedies = dict.fromkeys(part.remedy for part in failures if part.remedy)
    return Failure(source, ", ".join(reasons), " and ".join(remedies))


_PACKAGES = {
    **dict.fromkeys(("ip", "bridge", "ss", "tc"), "iproute2"),
    "nft": "nftables",
    "awk": "mawk",
    "curl": "curl",
    "docker": "docker-cli",
}


def not_installed(source: str, tool: str) -> Failure:
    package = _PACKAGES.get(tool, "iptables" if "tables" in tool else "")
    remedy = f"install {package}" if package else ""
    return Failure(source, f"{tool[:60]} is not installed", remedy, FailureKind.NO_TOOL)


@dataclass(frozen=True, slots=True)
class Options:
    """`sources`: names of recording.SOURCES. `docker_host`: as --docker-host. `limit`, `tool_limit`, `host_limit`:
    seconds for a call of the engine, for a tool, and for all answers of another host. `whole`: also what only a
    recording needs, from inside every container. `sudo`: other hosts are read as root by their sudo."""

    sources: frozenset[str] = frozenset(SOURCES)
    docker_host: str | None = None
    limit: float = 3.0
    tool_limit: float = 5.0
    host_limit: float = 30.0
    whole: bool = False
    sudo: bool = False
    containers: int | None = None  # into how many is looked then; None: all
    first: frozenset[str] = frozenset()  # names or beginnings of ids of those that are looked into before others
