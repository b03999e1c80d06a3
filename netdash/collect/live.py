"""A live host: the engine's thread, the machine's thread and the publisher, as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from netdash.bundle.recording import Recording
from netdash.collect.answer_store import AnswerStore
from netdash.collect.conntrack import TrackingReader
from netdash.collect.container_namespaces import targets
from netdash.collect.engine import EngineReader
from netdash.collect.engine_answers import Answers
from netdash.collect.engine_namespace import EngineNamespaceReader, MutedStore, kernel_of
from netdash.collect.machine import MachineReader
from netdash.collect.traffic import TrafficReader
from netdash.engine.first_answer import First
from netdash.model.engine_state import KERNEL, PROVED
from netdash.model.host import Failure
from netdash.model.kernel_state import NOTHING, Watched
from netdash.model.source import Source


class LiveReader:
    """Publishes a recording whenever something changed, and at each poll. All threads are daemons.

    `docker_host`: as --docker-host, None for what the docker command would use. `interval`: seconds between polls.
    `limit`: seconds for a call of the engine. `tool_limit`: seconds for a tool. `first`: what the engine answered
    already, which is not asked again."""

    reads_flows = True

    def __init__(
        self,
        docker_host: str | None = None,
        interval: float = 5.0,
        limit: float = 3.0,
        tool_limit: float = 5.0,
        first: First | None = None,
    ) -> None:
        self._store = AnswerStore()
        self._kernel: str | None = None
        if first is not None:  # before "docker", whose answers take the place of these
            self._store.put("first", first.answers)
        muted = MutedStore(self._store)
        self._machine = MachineReader(muted, interval, tool_limit)
        self._engine_namespace = EngineNamespaceReader(self._store, muted, interval, tool_limit)
        self._engine = EngineReader(docker_host, limit, self._engine_told, first=first)
        self._store.heard = lambda: self._engine.heard
        self._flows = TrackingReader(partial(self._store.put, Source.FLOWS))
        self._traffic = TrafficReader(partial(self._store.put, "traffic"))

    def start(self, publish: Callable[[Recording], None]) -> None:
        """Begins to call `publish`, always from the same thread; returns at once."""
        self._store.start(publish)
        self._engine.start()
        self._machine.start()

    def refresh(self) -> None:
        """Ask everything again as soon as possible; returns at once."""
        self._engine.refresh()
        self._machine.refresh()

    def watch(self, watched: Watched) -> None:
        """Reads from now on what somebody looks at, and nothing else of the kind."""
        self._flows.look(watched.flows)
        self._traffic.watch(watched)
        self._machine.watch_drops(watched.drops)
        self._machine.watch_container(watched.container)
        self._engine_namespace.watch_drops(watched.drops)

    def stop(self) -> None:
        """Returns at once, even when a source hangs."""
        self.watch(NOTHING)
        self._engine.stop()
        self._machine.stop()
        self._engine_namespace.stop()
        self._store.stop()

    def _engine_told(self, answers: Answers, failures: Mapping[str, Failure]) -> None:
        self._store.put(Source.DOCKER, answers, failures)
        if self._kernel != f"{PROVED}\n":  # what was proved once stays so when the last container ends
            self._kernel = kernel_of(answers)
            self._store.put("kernel", {} if self._kernel is None else {KERNEL: self._kernel})
        if self._engine.local is False or Source.DOCKER in failures:
            self._store.looked_inside()
        if self._engine.local:
            found = targets(answers.get("docker/inspect.json"))
            self._machine.follow(found, complete=self._engine.inspected)
            self._engine_namespace.follow(self._engine.pid, found)
