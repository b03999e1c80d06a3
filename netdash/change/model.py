"""A change of a host as data: what a command would change, one record a thing. Changes nothing by itself.

Every change can be applied to a `Host` (`change.apply`), which gives the host as it would be read after it."""

from __future__ import annotations

from enum import Enum

from netdash.model.engine_state import Binding
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import IP, Chain, Interface, Net, PolicyRule, Rule
from netdash.model.records import dataclass


class RuleEdit(Enum):
    """What is done to a chain (iptables(8))."""

    APPEND = "append"
    INSERT = "insert"
    DELETE = "delete"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class ChainPlace:
    """A chain. `family`: ip, ip6, inet, bridge, netdev, arp; `backend`: iptables-nft, iptables-legacy or nft, as a
    Chain's; `container`: id of that whose network namespace it is in, None: this host."""

    family: str
    table: str
    chain: str
    backend: str
    container: str | None = None


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule that is written or taken away. `position`: 1-based; None at the end, or (DELETE) the first equal rule.
    `rule`: None for a deletion by position."""

    chain: ChainPlace
    edit: RuleEdit
    rule: Rule | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """`policy`: accept or drop, of a base chain."""

    chain: ChainPlace
    policy: str


class ChainEdit(Enum):
    NEW = "new"
    FLUSH = "flush"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class ChainChange:
    """A chain that is made, emptied or removed. `chain` with an empty name is every chain of its table, with an empty
    table every table of its family, with an empty family every family; a table whose chains are all removed is removed
    with its sets. `base`: a new chain's hook, priority and policy."""

    chain: ChainPlace
    edit: ChainEdit
    base: Chain | None = None


@dataclass(frozen=True, slots=True)
class SysctlChange:
    """`name` with dots, as sysctl(8) prints it. `container`: id of that whose network namespace it is in; None: this
    host."""

    name: str
    value: str
    container: str | None = None


@dataclass(frozen=True, slots=True)
class RouteChange:
    """`ip route add|replace|del`. `destination` None: the default route of `family`. `table`: its number or name.
    What is None is not asked for by a deletion, and its kind "unicast" is any."""

    add: bool
    family: int
    destination: Net | None
    gateway: IP | None = None
    device: str | None = None
    kind: str = "unicast"  # blackhole, unreachable, prohibit …
    metric: int | None = None
    table: str = "main"
    source: IP | None = None
    replace: bool = False
    container: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyRuleChange:
    """`ip rule add|del`. `named`: the command names the rule's priority; the kernel chooses one otherwise."""

    add: bool
    rule: PolicyRule
    named: bool = True
    container: str | None = None


@dataclass(frozen=True, slots=True)
class LinkChange:
    """`ip link set DEVICE up|down`."""

    device: str
    up: bool
    container: str | None = None


@dataclass(frozen=True, slots=True)
class AddressChange:
    """`ip address add|del ADDRESS dev DEVICE`."""

    add: bool
    device: str
    address: Interface
    container: str | None = None


@dataclass(frozen=True, slots=True)
class MasterChange:
    """`ip link set DEVICE master BRIDGE`, of a device of this host."""

    device: str
    bridge: str


@dataclass(frozen=True, slots=True)
class HairpinChange:
    """`bridge link set dev DEVICE hairpin on|off`, of a device of this host."""

    device: str
    on: bool


@dataclass(frozen=True, slots=True)
class QdiscRemoval:
    """`tc qdisc del dev DEVICE root`, of a device of this host."""

    device: str


@dataclass(frozen=True, slots=True)
class TrackedRemoval:
    """`conntrack -D -p PROTO --orig-port-dst PORT`."""

    proto: str
    port: int


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """`kill PID`, of a process that ends by it."""

    pid: int


class ContainerEdit(Enum):
    STOP = "stop"
    START = "start"
    RESTART = "restart"  # its rules, veth and proxies are written anew by the engine
    PAUSE = "pause"
    UNPAUSE = "unpause"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class ContainerChange:
    """What `docker stop|start|restart|pause|unpause|rm` does to a container, by id."""

    container: str
    edit: ContainerEdit


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """`docker run`: a new container on one network, by its id."""

    name: str
    image: str
    network: str
    bindings: tuple[Binding, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerRepublish:
    """A container that is made anew, with these published ports beside its own."""

    container: str
    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class AttachmentChange:
    """`docker network connect|disconnect`: ids of the network and the container."""

    network: str
    container: str
    connect: bool


@dataclass(frozen=True, slots=True)
class NetworkRemoval:
    """`docker network rm`, by id."""

    network: str


@dataclass(frozen=True, slots=True)
class EngineRestart:
    """`systemctl restart docker`: the engine writes all of its rules anew, and starts its proxies."""


Change = (
    RuleChange
    | PolicyChange
    | ChainChange
    | SysctlChange
    | RouteChange
    | PolicyRuleChange
    | LinkChange
    | AddressChange
    | MasterChange
    | HairpinChange
    | QdiscRemoval
    | TrackedRemoval
    | ProcessEnd
    | ContainerChange
    | ContainerRun
    | ContainerRepublish
    | AttachmentChange
    | NetworkRemoval
    | EngineRestart
)


class CannotModel(NetdashError):  # noqa: N818
    """What the host would be after a change is not known: what the change needs was not read, the command would fail,
    or netdash has no model of it."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason, hint, Exit.USAGE)
