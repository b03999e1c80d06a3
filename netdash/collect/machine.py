"""The thread that asks the kernel: at events, at a slow poll, never more often. Parses nothing."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from netdash.collect.answer_store import AnswerStore
from netdash.collect.command import ask, read_drops
from netdash.collect.container_namespaces import Inside, Target
from netdash.collect.filter_rules import RuleReader
from netdash.collect.netlink import changed_tables, namespace_ids, received, routing_events, rule_events
from netdash.collect.procfs import HostListeners, Proxies, read_sysctls
from netdash.model.host import Failure
from netdash.model.source import BY_PATH, Source
from netdash.parse.json_values import items, load_json, mapping

TABLES: Mapping[str, tuple[str, ...]] = {
    "links": ("ip/addr.json",),
    "policy": ("ip/rule4.json", "ip/rule6.json"),
    "routes": ("ip/route4.json", "ip/route6.json"),
    "neighbours": ("ip/neigh.json",),
}
_SHARE = 20  # times the work of reading a table it is left alone: 3,000 devices take a third of a second


def _work() -> float:
    """Seconds of processor time of this thread and of the tools that have ended. On a busy machine reading takes longer
    by the clock, and costs no more."""
    tools = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + tools.ru_utime + tools.ru_stime


class RoutingTables:
    """`limit`: seconds for each command."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._known: dict[str, object] = {}
        self._links: list[object] = []
        self.rested: dict[str, float] = {}  # by time.monotonic(): when each table may be read again for an event

    def read(self, table: str) -> tuple[Mapping[str, object], Mapping[str, Failure]]:
        """The answers by path, the same objects where nothing changed, and failures. What fails keeps its last answer:
        the failure says that it is no longer current."""
        began = _work()
        answers, failures = ask((BY_PATH[path] for path in TABLES[table]), self._limit)
        for path, answer in answers.items():
            found = self._rows(str(answer)) if table == "links" else answer
            if found != self._known.get(path):
                self._known[path] = found
        self.rested[table] = time.monotonic() + _SHARE * (_work() - began)
        return {path: self._known[path] for path in TABLES[table] if path in self._known}, failures

    def _rows(self, text: str) -> list[object]:
        """One for each link; a link that did not change is the same object, which is not parsed again."""
        before = {mapping(row).get("ifindex"): row for row in self._links}
        rows = items(load_json(text))
        self._links = [old if (old := before.get(mapping(row).get("ifindex"))) == row else row for row in rows]
        return self._links

    def devices(self) -> dict[str, object]:
        """The links that are no port of a bridge, with their indexes."""
        rows = map(mapping, self._links)
        return {str(row["ifname"]): row.get("ifindex") for row in rows if "ifname" in row and "master" not in row}


_QUIET = 0.25  # seconds without a change after which those of one event are over
_RESTLESS = 1.0  # seconds that changes without end are waited for
_DUMP = 300.0  # seconds after which all tables are read again, whatever events said
_INSIDE = 12  # every twelfth poll looks into all containers: 0.2 ms each
_PROCESSES = 12  # every twelfth poll looks for proxies that no change of the host's sockets told
_AFTER_START = (0.1, 0.5, 2.0, 8.0, 25.0)  # seconds after which a new container is looked into: programs listen late
_LOOKED_AT = 0.5  # seconds that a card is on screen before its container is asked what only a card needs
_CONTAINER = 30.0  # seconds between two such readings, also without the card, the oldest first: verdicts hang on them
_NEIGHBOURS = 2.0  # seconds; their states change all the time


class MachineReader:
    """`interval`: seconds between polls. `limit`: seconds for each tool."""

    def __init__(self, store: AnswerStore, interval: float, limit: float) -> None:
        self._store = store
        self._interval = interval
        self._limit = limit
        self._rules = RuleReader(limit)
        self._proxies = Proxies()
        self._listeners = HostListeners()
        self._inside = Inside()
        self._tables = RoutingTables(limit)
        self._polls = 0
        self._rules_read = float("-inf")
        self._drops = False  # whether somebody looks at lost packets
        self._container, self._looked_at = "", 0.0  # whose card is on screen, and since when
        self._due: dict[str, float] = {}
        self._restless: dict[str, float] = {}  # since when a task waits for quiet
        self._visits: list[tuple[float, frozenset[str]]] = []  # when to look into which new containers
        self._sockets: str | None = None
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._lock = threading.Lock()
        self._wanted: tuple[tuple[Target, ...], bool] | None = None  # and whether those are all that run
        self._all = False  # whether all that run are known to `_inside`
        self._unseen: frozenset[str] = frozenset()  # containers that were not looked into yet
        self._asked: set[str] = set()

    def start(self) -> None:
        threading.Thread(target=self._run, name="machine", daemon=True).start()

    def follow(self, targets: Iterable[Target], complete: bool = True) -> None:
        """The containers that run now, as far as the engine told of them; `complete`: of all."""
        with self._lock:
            self._wanted = tuple(targets), complete
        self._wake()

    def watch_drops(self, wanted: bool) -> None:
        """Counters of lost packets at every poll from now on, with those of all rules; or no more."""
        if wanted != self._drops:
            self._drops = self._rules.every_counter = wanted
            self._ask("poll")

    def watch_container(self, identity: str) -> None:
        """Its own routes and rules from now on; "" for those of none."""
        if identity != self._container:
            self._container, self._looked_at = identity, time.monotonic()
            self._ask("container")

    def refresh(self) -> None:
        self._ask("poll", "dump", "inside", "sysctls", "container", "again")

    def stop(self) -> None:
        self._ask("stop")

    def _ask(self, *tasks: str) -> None:
        with self._lock:
            self._asked.update(tasks)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_writer.send(b"\0")

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        changes: dict[socket.socket, Callable[[socket.socket], None]] = {self._wake_reader: self._take_orders}
        route_events, filter_events = routing_events(), rule_events()
        if filter_events:
            changes[filter_events] = self._filter_changed
        if route_events:
            changes[route_events] = self._routing_changed
        self._due |= {"poll": 0.0, "dump": 0.0}
        while "stop" not in self._due:
            wait = max(0.0, min(self._due.values()) - time.monotonic())
            for source in select.select(list(changes), [], [], wait)[0]:
                with self._guard("events"):
                    changes[source](source)
            now = time.monotonic()
            for task in [name for name, when in self._due.items() if when <= now and name != "stop"]:
                if self._due.pop(task, None) is not None:  # a poll does the work of others too
                    self._restless.pop(task, None)
                    with self._guard(task):
                        _TASKS[task](self)
        for source in (*changes, self._wake_writer):
            source.close()

    def _soon(self, task: str, seconds: float = 0.0) -> None:
        self._due[task] = min(self._due.get(task, float("inf")), time.monotonic() + seconds)

    def _settled(self, task: str) -> None:
        """When the changes of one event, of a container's start say, are over: until then each would cost as much as
        all together, and hold up the container's own news."""
        now = time.monotonic()
        began = self._restless.setdefault(task, now)
        self._due[task] = max(min(now + _QUIET, began + _RESTLESS), self._tables.rested.get(task, 0.0))

    def _take_orders(self, wake_reader: socket.socket) -> None:
        wake_reader.recv(4096)
        with self._lock:
            wanted, self._wanted = self._wanted, None
            asked, self._asked = self._asked, set()
        if "poll" in asked:
            self._rules_read = float("-inf")
        for task in asked:
            self._soon(task)
        if wanted is not None:
            before = len(self._inside.targets())
            running, self._all = wanted
            new = self._inside.follow(running)
            self._unseen |= new
            if len(self._inside.targets()) < before + len(new):
                self._settled("sockets")  # the proxies of one that has ended go with it
            if self._container in new:
                self._soon("container", _LOOKED_AT)
            if new:
                now = time.monotonic()
                self._visits += [(now + seconds, new) for seconds in _AFTER_START]
                self._soon("visit", _AFTER_START[0])
                self._settled("netns")
                self._settled("sockets")
            self._put_inside(())

    def _filter_changed(self, events: socket.socket) -> None:
        received(events)
        self._settled("rules")

    def _routing_changed(self, events: socket.socket) -> None:
        """When messages were lost, everything is read again."""
        data, dropped = received(events)
        changed = {"dump"} if dropped else changed_tables(data)
        for table in changed - {"neighbours"}:
            self._settled(table)
        if "neighbours" in changed:
            self._soon("neighbours", _NEIGHBOURS)

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        now = time.monotonic()
        self._due["poll"] = now + self._interval
        together = self._polls > 0  # the first answers are published one by one
        changed = self._due.pop("rules", None) is not None
        if changed or now >= self._rules_read + self._interval / 2:  # else an event had them read just now
            self._read_rules(now=not together)
        if self._polls % _PROCESSES == 0:
            self._sockets = None
        self._read_sockets(now=not together)
        if self._polls % _INSIDE == 0:
            self._look_inside()
        if "sysctls" not in self._due:
            self._read_sysctls()
        self._read_drops()
        self._polls += 1
        self._store.touch()

    def _read_rules(self, now: bool = True) -> None:
        with self._guard(Source.RULES):
            answers, failures = self._rules.read()
            self._rules_read = time.monotonic()
            self._store.put(Source.RULES, answers, failures, now)

    def _read_drops(self) -> None:
        with self._guard(Source.DROPS):
            found = read_drops(self._limit) if self._drops else ({}, {})
            self._store.put(Source.DROPS, *found, now=False)

    def _read_sockets(self, now: bool = True) -> None:
        """A proxy that comes or goes takes its socket along: only then are the processes looked through."""
        before, self._sockets = self._sockets, None
        with self._guard(Source.LISTENERS):
            self._sockets = self._listeners.read()
            self._store.put(Source.LISTENERS, {"host/listeners.txt": self._sockets}, now=now)
        if self._sockets is not None and self._sockets is before:
            return
        with self._guard(Source.PROXIES):
            self._store.put(Source.PROXIES, self._proxies.read(), now=now)

    def _look_inside(self) -> None:
        with self._guard(Source.INSIDE):
            self._inside.look()
            self._put_inside(self._unseen)

    def _put_inside(self, seen: Iterable[str]) -> None:
        self._unseen -= frozenset(seen)
        self._store.put(Source.INSIDE, self._inside.answers())
        if self._all and not self._unseen:
            self._store.looked_inside()

    def _visit(self) -> None:
        now = time.monotonic()
        due = [identity for when, new in self._visits if when <= now for identity in new]
        self._visits = [visit for visit in self._visits if visit[0] > now]
        if self._visits:
            self._soon("visit", min(when for when, _ in self._visits) - now)
        with self._guard(Source.INSIDE):
            self._inside.look(due)
            self._put_inside(due)

    def _read_container(self) -> None:
        """What only its card needs, once that has been on screen for a moment."""
        now = time.monotonic()
        if now < self._looked_at + _LOOKED_AT:
            self._due["container"] = self._looked_at + _LOOKED_AT
        elif self._container:
            self._read_own(self._container)

    def _read_again(self) -> None:
        """The same of the container whose own state is the oldest."""
        for identity in [*self._inside.asked][:1]:
            self._read_own(identity)

    def _read_own(self, identity: str) -> None:
        with self._guard(Source.INSIDE):
            self._inside.read(identity, self._limit)
            self._put_inside(())
        if self._inside.asked:
            self._due["again"] = time.monotonic() + _CONTAINER

    def _read_sysctls(self) -> None:
        self._due["sysctls"] = time.monotonic() + self._interval  # no event tells of net.ipv4.ip_forward
        with self._guard(Source.SYSCTLS):
            self._store.put(Source.SYSCTLS, {"host/sysctl.txt": read_sysctls(self._tables.devices())})

    def _dump(self) -> None:
        self._due["dump"] = time.monotonic() + _DUMP
        for table in TABLES:
            self._read_table(table)
        self._read_namespaces()
        self._read_sysctls()

    def _read_table(self, table: str) -> None:
        before = self._tables.devices()
        with self._guard(table):
            self._store.put(table, *self._tables.read(table))
        if self._tables.devices() != before:
            self._soon("sysctls", 1.0)

    def _read_namespaces(self) -> None:
        with self._guard("netns"):
            self._store.put("netns", {"ip/netns.json": namespace_ids(self._inside.pids())})

    @contextlib.contextmanager
    def _guard(self, source: str) -> Any:
        """Whatever a source raises becomes its failure, and the others are read all the same."""
        try:
            yield
        except OSError as error:
            self._failed(source, error.strerror or str(error) or type(error).__name__)
        except Exception as error:  # one source must not end the thread
            self._failed(source, f"{type(error).__name__}: {error}".splitlines()[0][:200])

    def _failed(self, source: str, reason: str) -> None:
        self._store.fail(source, Failure(source, reason))
        if source == Source.INSIDE:
            self._store.looked_inside()


_TASKS: dict[str, Callable[[MachineReader], None]] = {
    "poll": MachineReader._poll,
    "rules": MachineReader._read_rules,
    "sockets": MachineReader._read_sockets,
    "inside": MachineReader._look_inside,
    "visit": MachineReader._visit,
    "container": MachineReader._read_container,
    "again": MachineReader._read_again,
    "sysctls": MachineReader._read_sysctls,
    "dump": MachineReader._dump,
    "netns": MachineReader._read_namespaces,
    **{table: partial(MachineReader._read_table, table=table) for table in TABLES},
}
