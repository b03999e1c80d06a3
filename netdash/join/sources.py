"""One source's raw answers -> records, each parsed once for as long as the answer is the same object; and what was read
inside a container's network namespace. Joins nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from netdash.bundle.recording import Recording
from netdash.join.networks import bridges
from netdash.model.engine_state import EngineProcess, Place, parse_engine_process
from netdash.model.host import (
    Bridging,
    Engine,
    Failure,
    Inside,
    Link,
    Listener,
    Neighbour,
    Network,
    PolicyRule,
    Proxy,
    Route,
    Ruleset,
    TrackedFlow,
    Unread,
)
from netdash.model.kernel_state import (
    NOT_READ,
    PROXY_SOCKETS,
    Counters,
    LinkReading,
    Tracking,
    Traffic,
    Used,
    UsedReading,
)
from netdash.model.memory import CachedMap, Memory, Unchanged
from netdash.model.processes import ProxyProcesses
from netdash.model.records import replace
from netdash.model.source import BY_PATH, FILES, SOURCES, Source
from netdash.parse.docker import parse_engine, parse_network
from netdash.parse.json_values import decoded, items, mapping, objects

if TYPE_CHECKING:
    from netdash.join.drops import CounterReader
    from netdash.join.flows import LiveEntries
    from netdash.join.rates import LinkRates
    from netdash.rules.ruleset import RulesetReader

T = TypeVar("T")
_COUNTED = frozenset(("host/conntrack-stats.txt", *(file.path for file in FILES if file.source is Source.DROPS)))


class Sources:
    """What is malformed becomes a failure of its source, never an exception; None is what was not read. What a kind of
    answer needs is imported when the first of that kind comes. Not for use by two threads."""

    def __init__(self) -> None:
        self.once = Memory().once
        self._networks = Unchanged(lambda network: network)
        self._links, self._lines, self._argv = CachedMap(), CachedMap(str), CachedMap(str)
        self._processes = ProxyProcesses()
        self._entries: LiveEntries | None = None
        self._used: LiveEntries | None = None
        self._rates: LinkRates | None = None
        self._rules: RulesetReader | None = None
        self._unread: tuple[Unread, ...] = ()
        self._counters: CounterReader | None = None

    def _read(
        self,
        source: str,
        failures: dict[str, Failure],
        make: Callable[..., T],
        *answers: object,
        need: int = 1,
        decode: Callable[[object], object] = objects,
    ) -> T | None:
        """Parse decoded answers; None when the first `need` of them were all not read, or one is malformed."""
        if all(answer is None for answer in answers[:need]):
            return None
        try:
            return self.once(source, lambda *raw: make(*map(decode, raw)), *answers)
        except ValueError as error:
            failures[source] = malformed(source, error)
            return None

    def links(self, recording: Recording, failures: dict[str, Failure]) -> tuple[Link, ...] | None:
        link, addr = recording.answers.get("ip/link.json"), recording.answers.get("ip/addr.json")
        if link is None and addr is None:
            return None
        if addr is None and not recording.live:
            failures.setdefault(Source.LINKS, Failure(Source.LINKS, "their addresses are not in this recording"))
            return None
        from netdash.parse.iproute import parse_links

        return self._read(Source.LINKS, failures, lambda a, b: parse_links(a, b, self._links), link, addr, need=2)

    def neighbours(self, recording: Recording, failures: dict[str, Failure]) -> tuple[Neighbour, ...] | None:
        answer = recording.answers.get("ip/neigh.json")
        if answer is None:
            return None
        from netdash.parse.iproute import parse_neighbours

        return self._read(Source.NEIGHBOURS, failures, parse_neighbours, answer)

    def bridging(self, recording: Recording, failures: dict[str, Failure]) -> Bridging | None:
        fdb, vlans = (recording.answers.get(f"ip/bridge-{name}.json") for name in ("fdb", "vlan"))
        if fdb is None and vlans is None:
            return None
        from netdash.parse.iproute import parse_bridging

        return self._read("bridges", failures, parse_bridging, fdb, vlans, need=2)

    def parsed(self, recording: Recording, path: str) -> Any:
        """What a text says, by the parser that the table of sources names; None when it was not read."""
        text = recording.text(path)
        return None if text is None else self.once(path, BY_PATH[path].parse(), text)

    def flows(
        self, recording: Recording, process: EngineProcess | None, failures: dict[str, Failure]
    ) -> tuple[Tracking | None, tuple[TrackedFlow, ...] | None]:
        """What netlink told of a live host, and its entries; else those that a tool printed. Another network namespace
        than the engine's tells nothing of containers."""
        tracking = recording.answers.get(Tracking.PATH)
        if not isinstance(tracking, Tracking):
            self._entries = None
            try:
                flows, odd = self.parsed(recording, "host/conntrack.txt") or (None, 0)
            except ValueError as error:
                failures[Source.FLOWS] = malformed(Source.FLOWS, error)
                return None, None
            if odd:
                part, lines = f"{Source.FLOWS}: conntrack.txt", "lines are" if odd > 1 else "line is"
                failures[part] = Failure(part, f"{odd} {lines} not understood, and left out")
            return None, flows
        if process is not None and process.place is not Place.HERE:
            reason = "the engine is in another network namespace, whose connections are not read"
            failures[Source.FLOWS] = Failure(Source.FLOWS, reason)
            return None, None
        from netdash.join.flows import LiveEntries

        self._entries = self._entries or LiveEntries()
        return tracking, self.once("tracking", self._entries.read, tracking)

    def traffic(self, recording: Recording, process: EngineProcess | None, elsewhere: bool) -> Traffic:
        """What devices carry, and the connections of one container, while somebody looks at them. `elsewhere`: the
        engine is in another network namespace."""
        counters, used = (recording.answers.get(reading.PATH) for reading in (LinkReading, UsedReading))
        sockets = self.parsed(recording, PROXY_SOCKETS)
        if elsewhere or (process is not None and process.place is not Place.HERE):
            counters = used = None
            sockets = None
        self._rates = self._rates if isinstance(counters, LinkReading) else None
        self._used = self._used if isinstance(used, UsedReading) else None
        rates, own = None, None
        if isinstance(counters, LinkReading):
            from netdash.join.rates import LinkRates

            self._rates = self._rates or LinkRates()
            rates = self.once("rates", self._rates.read, counters)
        if isinstance(used, UsedReading):
            from netdash.join.flows import LiveEntries

            self._used = self._used or LiveEntries()
            own = self.once("used", self._of_one, used)
        if rates is None and own is None and sockets is None:
            return NOT_READ
        return self.once("traffic", Traffic, rates, own, sockets)

    def _of_one(self, reading: UsedReading) -> Used:
        entries = self._used.read(reading.tracking) if self._used is not None else ()
        return Used(reading.addresses, entries, bool(reading.tracking.left_out))

    def counters(self, recording: Recording, failures: dict[str, Failure]) -> Mapping[str, Counters] | None:
        """By file; None where nobody looked."""
        if recording.answers.keys().isdisjoint(_COUNTED):
            return None
        from netdash.join.drops import CounterReader

        self._counters = self._counters or CounterReader()
        return self._counters.read(recording, failures)

    def routes(
        self, recording: Recording, failures: dict[str, Failure]
    ) -> tuple[tuple[Route, ...] | None, tuple[PolicyRule, ...] | None]:
        answers = recording.answers
        if not answers.keys() & set(SOURCES[Source.ROUTES]):
            return None, None
        from netdash.parse.iproute import parse_policy, parse_routes

        for path in SOURCES[Source.ROUTES]:
            if path not in answers:
                part = f"routes: {path.removeprefix('ip/').removesuffix('.json')}"
                failures.setdefault(part, Failure(part, "not read"))
        listed = (answers.get(f"ip/{name}.json") for name in ("route4", "route6", "nexthop"))
        routes = self._read(Source.ROUTES, failures, parse_routes, *listed, need=2)
        policy = self._read(
            "policy", failures, parse_policy, answers.get("ip/rule4.json"), answers.get("ip/rule6.json")
        )
        return routes, policy

    def ruleset(self, recording: Recording, failures: dict[str, Failure]) -> Ruleset | None:
        if Source.RULES in recording.pending:
            return None
        ruleset = None
        if not recording.answers.keys().isdisjoint(SOURCES[Source.RULES]):
            from netdash.rules.ruleset import RulesetReader

            self._rules = self._rules or RulesetReader()
            ruleset = self._rules.read(recording)
        if ruleset is None:
            failures.setdefault(Source.RULES, Failure(Source.RULES, "not read"))
            return None
        unread = _unread(ruleset, recording.failures)
        for part in unread:
            source = f"rules: {part.source}"
            failures.setdefault(source, Failure(source, part.reason))
        if unread != self._unread:
            self._unread = unread
        return self.once("unread", _marked, ruleset, self._unread)

    def engine(self, recording: Recording, failures: dict[str, Failure]) -> Engine | None:
        answers = recording.answers
        return self._read(
            "engine",
            failures,
            parse_engine,
            answers.get("docker/version.json"),
            answers.get("docker/info.json"),
            need=2,
            decode=decoded,
        )

    def process(self, recording: Recording) -> EngineProcess | None:
        text = recording.text("host/engine.txt")
        if text is None:
            return None
        return self.once("process", parse_engine_process, text)

    def sockets(
        self, recording: Recording, process: EngineProcess | None, failures: dict[str, Failure]
    ) -> tuple[tuple[Proxy, ...] | None, tuple[Proxy, ...], tuple[Listener, ...] | None]:
        """(proxies, what only looks like one, listeners)."""
        sockets, argv = recording.text("host/listeners.txt"), recording.text("host/docker-proxy.txt")
        if sockets is None and argv is None:
            return None, (), None
        from netdash.model.processes import (
            OWNERS,
            STOPPED,
            mark_forged,
            mark_silent,
            parse_owners,
            split_forged,
        )
        from netdash.parse.proc import parse_listeners, parse_proxies

        owners = self.once("owners", parse_owners, recording.text(OWNERS))
        listeners = self._read(
            Source.LISTENERS,
            failures,
            lambda text: parse_listeners(text, self._lines),
            sockets,
            decode=lambda text: text,
        )
        stopped: frozenset[int] | None = self.parsed(recording, STOPPED)
        if listeners is not None:
            listeners = self.once("marked", mark_forged, listeners, owners, process)
        if listeners is not None and stopped:
            listeners = self.once("silent", mark_silent, listeners, stopped)
        if argv is None:
            return None, (), listeners
        bare = self.once("argv", lambda text: parse_proxies(text, self._argv), argv)
        memory = self.parsed(recording, "host/memory.txt")
        theirs = None if process is not None and process.place is Place.ENTERED else listeners  # of another namespace
        running = self.once("proxies", self._processes.of, bare, memory, stopped, theirs)
        proxies, forged = self.once("split", split_forged, running, owners, process)
        return proxies, forged, listeners

    def networks(
        self,
        recording: Recording,
        links: tuple[Link, ...] | None,
        engine: Engine | None,
        failures: dict[str, Failure],
    ) -> tuple[Network, ...] | None:
        answer = recording.answers.get("docker/networks.json")
        if answer is None and not recording.live and Source.DOCKER not in failures:
            failures["networks"] = Failure("networks", "not in this recording")
        parsed = self._read("networks", failures, _parse_networks, answer)
        if parsed is None:
            return None
        return self._networks.of(self.once("bridge names", bridges, parsed, links, engine))


def malformed(source: str, error: ValueError) -> Failure:
    return Failure(source, f"not understood: {error}", "the recording may be cut off")


def _parse_networks(answer: object) -> tuple[Network, ...]:
    return tuple(network for raw in items(answer) if (network := parse_network(mapping(raw))))


def _unread(ruleset: Ruleset, failures: Mapping[str, Failure]) -> tuple[Unread, ...]:
    """The parts that were not read, with the reasons that their tools gave."""
    failed = {
        failure.source.removeprefix("rules: "): failure.reason
        for failure in failures.values()
        if failure.source[:5] == "rules"
    }
    parts = {
        unread_part.source: replace(unread_part, reason=failed.get(unread_part.source, unread_part.reason))
        for unread_part in ruleset.unread
    }
    legacy = {name: Unread(name, reason) for name, reason in failed.items() if name.endswith("-legacy")}
    return tuple((legacy | parts).values())


def _marked(ruleset: Ruleset, unread: tuple[Unread, ...]) -> Ruleset:
    return ruleset if unread == ruleset.unread else replace(ruleset, unread=unread)


# --- what was read inside a container's network namespace beside its listeners ----------------------------------------

_LISTED = ("iptables-save.txt", "ip6tables-save.txt", "iptables-legacy-save.txt", "ip6tables-legacy-save.txt")
_RULES = ("nft.json", *_LISTED)


def parse_inside(answers: Mapping[str, object]) -> Inside | None:
    """`answers` by file name of the bundle; None when none of them was read. What is malformed counts as not read.
    Loads the parsers only for a container of which something was read: the screen shows containers before."""
    addresses, routes, sysctls = (answers.get(name) for name in ("addr.json", "route.json", "sysctl.txt"))
    sockets, rules = answers.get("proc-net.txt"), _rules(answers)
    resolver, names = answers.get("resolv.conf"), answers.get("hosts")
    if all(answer is None for answer in (addresses, routes, sysctls, sockets, rules, resolver, names)):
        return None
    from netdash.parse.iproute import parse_links, parse_neighbours, parse_policy, parse_routes
    from netdash.parse.proc import parse_names, parse_proc_routes, parse_resolver, parse_sysctls

    found = _parsed(lambda answer: parse_routes(answer, None), routes)
    if found is None and isinstance(sockets, str):
        found = parse_proc_routes(sockets)
    links = _parsed(lambda answer: parse_links(None, answer), addresses)
    pairs = tuple(parse_sysctls(sysctls).items()) if isinstance(sysctls, str) else ()
    rule4, rule6 = answers.get("rule4.json"), answers.get("rule6.json")
    policy = _parsed(lambda four: parse_policy(four, None if rule6 is None else decoded(rule6)), rule4)
    neighbours = _parsed(parse_neighbours, answers.get("neigh.json"))
    if links is None and found is None and not pairs and rules is None and resolver is None and names is None:
        return None
    return Inside(
        *(links, found, pairs, policy, neighbours, rules),
        resolver=parse_resolver(resolver) if isinstance(resolver, str) else None,
        names=parse_names(names) if isinstance(names, str) else None,
    )


def _rules(answers: Mapping[str, object]) -> Ruleset | None:
    """The rules inside: whole, or those of nat alone as iptables-save or `iptables -t nat -S` lists them (nat.txt)."""
    paths = {name: answers.get(name) for name in _RULES}
    nat = answers.get("nat.txt")
    if all(path is None for path in paths.values()):
        if not isinstance(nat, str) or not nat.strip():
            return None
        paths = {"iptables-save.txt": _as_saved(nat)}
    from netdash.rules.ruleset import read_ruleset

    found = read_ruleset(Recording({f"rules/{name}": value for name, value in paths.items() if value is not None}))
    if found is None:
        return None
    if not found.unread and not any(chain.rules or chain.policy == "drop" for chain in found.chains):
        return _NOTHING
    return found if paths.get("nft.json") is not None else replace(found, unread=())


_NOTHING = Ruleset(())  # the same object for all containers whose rules were read and decide nothing


def _as_saved(listed: str) -> str:
    """`iptables -S` as iptables-save prints it, which stays as it is."""
    if "*nat" in listed.splitlines():
        return listed
    heads = {"-P": ":{} {} [0:0]", "-N": ":{} - [0:0]"}
    lines = ["*nat"]
    for line in listed.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] in heads:
            lines.append(heads[words[0]].format(*words[1:3]))
        elif line.startswith("-A "):
            lines.append(line)
    return "\n".join((*lines, "COMMIT", ""))


def _parsed(parse: Callable[[object], T], answer: object) -> T | None:
    try:
        return None if answer is None else parse(decoded(answer))
    except ValueError:
        return None
