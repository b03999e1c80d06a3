"""The words of packet filter rules, the same for every tool: what a rule asks and what it does. Computes nothing.

`host.py` exports them too."""

from __future__ import annotations

from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netdash.model.records import dataclass

IP = IPv4Address | IPv6Address
Net = IPv4Network | IPv6Network


class Verb(Enum):
    """What a rule does with a packet that it matches."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"
    DNAT = "dnat"
    REDIRECT = "redirect"
    SNAT = "snat"
    MASQUERADE = "masquerade"
    VMAP = "vmap"  # jumps by a verdict map
    CONTINUE = "continue"  # counts, logs, marks: the next rule is tried
    OTHER = "other"  # not understood; `text` says it


@dataclass(frozen=True, slots=True)
class Match:
    """One condition: the packet meets one of `values`, or with `negated` none of them. No values: nothing meets it
    (an empty set). A key that is not listed here cannot be told by anyone who evaluates rules.

    Type of `values` by key; a pair is (low, high), both included:

    - `iif`, `oif`, `physdev_in`, `physdev_out`: str, a device; a trailing + stands for any ending
    - `iifgroup`, `oifgroup`, `iiftype`, `oiftype`, `iifkind`, `oifkind`: str, as the tool prints it
    - `src`, `dst`, `ctorigsrc`, `ctorigdst`, `ctreplsrc`, `ctrepldst`: Net, a range as the nets that it is made of
    - `family`: "ipv4" or "ipv6" · `proto`, `ctproto`: str, a name of /etc/protocols, else the number in text
    - `sport`, `dport`, `port` (either), `ctorigsrcport`, `ctorigdstport`, `ctreplsrcport`, `ctrepldstport`: pairs
    - `length`, `ttl`, `hoplimit`, `dscp`, `vlan`, `ctzone`, `ctexpire` (seconds), `cpu`: pairs
    - `uid`, `gid`: pairs, or a name as str, of the local socket; of a packet without one nothing can be told
    - `tcp_flags`: "MASK/SET": of the flags MASK exactly SET are set; lower case, sorted: "ack,syn/syn"
    - `tcp_option`: int, the option's number is present
    - `icmp_type`: (type, code), int or None for any; of ICMP and of ICMPv6, `proto` says which · `icmp_code`: pairs
    - `src_type`, `dst_type`: str, LOCAL UNICAST BROADCAST MULTICAST …; with the suffix `_iif` or `_oif` the routes are
      asked for the packet's incoming or outgoing device only (--limit-iface-in, `fib daddr . iif type`)
    - `ctstate`, `ctstatus`, `ctdir`: str, NEW ESTABLISHED …, ASSURED SEEN_REPLY DNAT …, ORIGINAL REPLY
    - `mark`, `connmark`, `socket_mark`: "0xV", "0xV/0xM" (the bits under M are V) or "0xLOW-0xHIGH"
    - `fragment`: True, the second or a later fragment · `physdev_is_in`, `physdev_is_out`, `physdev_is_bridged`: True
    - `mac`, `mac_dst`: str, lower case · `pkttype`: unicast broadcast multicast other
    - `ethertype`: str, of the frame, as nft prints it: arp, vlan, 0x88cc …
    - `arp_operation`: str · `arp_src`, `arp_dst`: Net
    - `set`: str, an ipset and the packet's fields in it: "name src,dst"
    - `rpfilter`: str, its options sorted, with commas, "" for none: the route back to the source leads out where the
      packet came in, or with "loose" anywhere
    - `any_of`: tuple of Match; all of one value's conditions hold together: an element of a concatenation
    - `limit`: "RATE/second burst N", negated for `limit over`, "@NAME" for a named one
    - `hashlimit`, `connlimit`, `connbytes`, `quota`, `meter`, `statistic`, `recent`, `time`, `string`, `socket`,
      `policy`, `helper`, `tos`, `cgroup`: str, the tool's own words; `negated` is False, a ! stands in the words
    """

    key: str
    values: tuple[object, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What a rule does beside its verdict, in the order of `Target.effects`, before the verdict.

    `mark` and `connmark` become `(old & keep) ^ (other & other_keep) ^ xor` in 32 bits, where old is the value
    before and other is the connection's mark for `mark` and the packet's mark for `connmark`.
    The others have the tool's words in `detail`. notrack makes the later ctstate UNTRACKED. What later rules may ask
    is changed by zone (of conntrack: `5`, or `original 5`, `reply 5` of one direction), dscp, tos, ttl, hoplimit,
    priority, label, pkttype, and set (an ipset or nft set gains or loses the packet's fields); not by log nflog trace
    mss helper secmark dup flow, nor by what has an xt target's own name (CHECKSUM, AUDIT, CT …). rewrite: `saddr A`,
    `daddr A`, `sport N` or `dport N`, else header fields become what netdash does not follow.
    """

    kind: str
    keep: int | None = 0  # None: the new value cannot be told; of notrack, whether it happens
    xor: int = 0
    other_keep: int = 0
    detail: str = ""
    after: int | None = None  # it happens when so many of the rule's conditions hold; None: all of them


@dataclass(frozen=True, slots=True)
class Target:
    """The verdict, and what happens before it. A rule without one has CONTINUE.

    `cases` is what a map says: the first whose conditions all hold is what the rule does; where none does, the rule
    ends as if it had not matched. They stand for VMAP's verdicts and for a DNAT, SNAT, REDIRECT or other target whose
    address, port or mark comes from a map; each is whole, with effects and verdict. The map's `*` has no
    conditions. A VMAP with elements and no cases is asked with a key that is not understood.
    """

    verb: Verb
    chain: str | None = None  # of jump and goto
    address: IP | None = None  # DNAT and SNAT
    address_to: IP | None = None  # end of a range
    ports: tuple[int, int] | None = None  # low, high
    base_port: int | None = None  # of a shifted range, `--to-destination A:9000-9002/9000`
    elements: tuple[tuple[str, str], ...] = ()  # VMAP: (key, chain or verdict)
    detail: str = ""  # REJECT's answer, LOG's prefix, the name of an OTHER
    effects: tuple[Effect, ...] = ()
    cases: tuple[tuple[tuple[Match, ...], Target], ...] = ()
    net: Net | None = (
        None  # OTHER of detail NETMAP, "dnat prefix", "snat prefix": the host bits stay, the net becomes this
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of any backend. Identity is meaning (family, table, chain, text), never the handle:
    Docker 29 rebuilds whole chains, and handles and counters start anew."""

    family: str  # ip ip6 inet bridge netdev arp
    table: str
    chain: str
    position: int  # 1-based in its chain
    text: str  # iptables syntax for xt rules ("-A DOCKER …"), nft syntax for native ones
    matches: tuple[Match, ...]
    target: Target
    packets: int | None
    bytes: int | None
    backend: str  # iptables-nft, iptables-legacy, nft
    comment: str | None = None
    not_understood: tuple[str, ...] = ()  # parts of the rule that netdash does not interpret
    rate: float | None = None  # packets a second since the host before
    occurrence: int = 1  # n-th rule of this very text in its chain

    @property
    def place(self) -> str:
        """table/CHAIN #n, with the family where it is not IPv4."""
        prefix = "" if self.family == "ip" else f"{self.family} "
        return f"{prefix}{self.table}/{self.chain} #{self.position}"

    def same_meaning(self, other: Rule) -> bool:
        """Whether they differ in their positions and counters at most; both of one chain."""
        return self is other or (
            (self.text == other.text and self.occurrence == other.occurrence and self.backend == other.backend)
            and (self.matches is other.matches or self.matches == other.matches)
            and (self.target is other.target or self.target == other.target)
            and self.not_understood == other.not_understood
        )


@dataclass(frozen=True, slots=True)
class Chain:
    family: str
    table: str
    name: str
    backend: str
    rules: tuple[Rule, ...]
    kind: str | None = None  # filter, nat, route: base chains only
    hook: str | None = None  # prerouting input forward output postrouting ingress egress
    priority: int | None = None
    policy: str | None = None  # accept, drop
    device: str | None = None  # netdev family and inet ingress; several with commas
    dormant: bool | None = False  # its table is switched off, no packet comes here; None: cannot be told
    packets: int | None = None  # that the policy decided on; None: not counted
    rate: float | None = None  # of these, a second since the host before


@dataclass(frozen=True, slots=True)
class Table:
    """An nft table, also one without chains."""

    family: str
    name: str
    flags: tuple[str, ...] = ()  # dormant, owner, persist; "?": some, and nft does not say which


@dataclass(frozen=True, slots=True)
class NamedSet:
    """An nft set or map; `elements` as text, (key, value) with value None in a set; a concatenation with " . "."""

    family: str
    table: str
    name: str
    type: str  # of the key: ipv4_addr, "ipv4_addr . inet_service" …
    elements: tuple[tuple[str, str | None], ...]
    value_type: str | None = None  # of a map: verdict, ipv4_addr, mark …; None for a set
    flags: tuple[str, ...] = ()  # constant, interval, timeout, dynamic


@dataclass(frozen=True, slots=True)
class NamedObject:
    """A flowtable, counter, quota, limit, ct helper … that rules name; `detail` in nft's words."""

    family: str
    table: str
    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RulesNote:
    """One of `Ruleset.notes` as a thing that can be listed."""

    text: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of the rules that could not be read: there, the absence of a rule proves nothing."""

    source: str  # "nft", "iptables-legacy" or "ip6tables-legacy"
    reason: str
    tables: frozenset[str] | None = None  # of iptables-legacy; None: any table, and of nft any family and priority

    @property
    def families(self) -> tuple[int, ...]:
        return {"iptables-legacy": (4,), "ip6tables-legacy": (6,)}.get(self.source, (4, 6))


@dataclass(frozen=True, slots=True, eq=False)
class Ruleset:
    """Compared and hashed by identity: it can be a key of what is computed from it."""

    chains: tuple[Chain, ...]
    sets: tuple[NamedSet, ...] = ()
    notes: tuple[str, ...] = ()  # what one tool could not show ("iptables-save left out table filter")
    unread: tuple[Unread, ...] = ()
    shape: object = None  # the same object in the next ruleset where only counters and rates differ
    tables: tuple[Table, ...] = ()  # nft's; empty where nft was not read
    objects: tuple[NamedObject, ...] = ()

    @property
    def complete(self) -> bool:
        """False when a part could not be read."""
        return not self.unread

    def whole(self, family: int) -> bool:
        """Whether all rules that IPv4 or IPv6 packets meet were read."""
        return all(family not in part.families for part in self.unread)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule for chain in self.chains for rule in chain.rules)
