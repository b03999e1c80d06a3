"""One recording for one command: only the sources that it needs, all at the same time, each with its own limit."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial

from netdash.bundle.recording import Recording, container_path
from netdash.collect.answer_store import privileged
from netdash.collect.command import ask, read_drops
from netdash.collect.conntrack import failure_of, read_tracking
from netdash.collect.container_namespaces import Inside, Target, read_container, targets
from netdash.collect.engine_answers import EngineAnswers
from netdash.collect.engine_namespace import ENGINE, engine_line, in_other_namespace, kernel_of, read_namespace
from netdash.collect.filter_rules import RuleReader
from netdash.collect.netlink import namespace_ids
from netdash.collect.procfs import HostListeners, Proxies, loaded, read_sysctls
from netdash.collect.proxy_sockets import proxy_sockets
from netdash.collect.sockets import read_in
from netdash.engine.client import EngineClient
from netdash.engine.context import engine_pid
from netdash.engine.errors import EngineError, EngineLate
from netdash.model.engine_state import KERNEL
from netdash.model.errors import NetdashError
from netdash.model.host import Failure
from netdash.model.index import begins_id
from netdash.model.kernel_state import Tracking
from netdash.model.records import dataclass, field
from netdash.model.source import IN_NAMESPACE, Missing, Options, Source, commands

_PATIENCE = 1.5  # times its limit that a source is waited for: its own limit comes first and says more
_INSPECTS = 2  # times the limit of one call that all inspects together may take
_AT_ONCE = 4  # containers that are looked into at the same time
_ENGINE = 6  # times the limit of one call that the engine's answers are waited for


@dataclass(slots=True)
class _Part:
    """What one thread found; taken over only when it is done."""

    source: Source
    read: Callable[[], tuple[Mapping[str, object], Mapping[str, Failure]]]
    patience: float
    answers: Mapping[str, object] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._work, name=self.source, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.answers, self.failures = self.read()
        except EngineError as error:
            self.failures = {error.failure.source: error.failure}
        except OSError as error:
            self.failures = self.without(error.strerror or str(error) or type(error).__name__)
        except Exception as error:  # one source must not end the command
            self.failures = self.without(f"{type(error).__name__}: {error}".splitlines()[0][:200])

    def without(self, reason: str) -> Mapping[str, Failure]:
        return {} if self.source is Source.TRACE else {self.source: Failure(self.source, reason)}


def read_once(options: Options) -> Recording:
    """What the sources answer now. Never raises; waits one and a half times the limits; for an engine whose every
    answer is slow, six times the limit of one."""
    taken = time.time()
    patience = _PATIENCE * max(options.limit, options.tool_limit)
    parts = [
        _Part(source, partial(read, options), _ENGINE * options.limit if read is _docker else patience)
        for source, read in _wanted(options)
    ]
    for part in parts:
        part.start()
    answers, failures = _collected(parts)
    pid = answers.pop(_PID, None)
    kernel = kernel_of(answers)
    if kernel is not None:
        answers[KERNEL] = kernel
    if answers.pop(_LOCAL, False):
        found = targets(answers.get("docker/inspect.json"))
        other = in_other_namespace(pid) if isinstance(pid, int) else None
        read = partial(_inside, options, found)
        if other and isinstance(pid, int):
            read = partial(_in_engine_namespace, options, found, pid)
        inside = _Part(Source.INSIDE, read, patience)
        inside.start()
        more, wrong = _collected([inside])
        if isinstance(pid, int) and other is not None:
            entered = other and ENGINE in more
            answers[ENGINE] = engine_line(pid, "entered" if entered else "elsewhere" if other else "here")
            theirs = IN_NAMESPACE if entered else ()
            failures = {name: failure for name, failure in failures.items() if name.partition(":")[0] not in theirs}
        answers |= {path: answer for path, answer in more.items() if path != ENGINE}
        failures |= wrong
    return Recording(
        answers=answers,
        failures=failures,
        taken=taken,
        hostname=socket.gethostname(),
        live=True,
        privileged=privileged(),
    )


_PID = "pid"  # not a bundle path: the engine's process
_LOCAL = "local"  # not a bundle path: whether the engine's process ids are this machine's
_TABLES = (Source.LINKS, Source.ROUTES, Source.NEIGHBOURS)


def _collected(parts: list[_Part]) -> tuple[dict[str, object], dict[str, Failure]]:
    answers: dict[str, object] = {}
    failures: dict[str, Failure] = {}
    began = time.monotonic()
    for part in parts:
        if part.thread is not None:
            part.thread.join(max(0.0, began + part.patience - time.monotonic()))
            if part.thread.is_alive():
                failures |= part.without(f"did not answer within {part.patience:g} s")
                continue
        answers.update(part.answers)
        failures.update(part.failures)
    return answers, failures


# --- one source at a time ---------------------------------------------------------------------------------------------

_Found = tuple[Mapping[str, object], Mapping[str, Failure]]


def _docker(options: Options) -> _Found:
    with closing(EngineClient(options.docker_host, options.limit)) as client:
        answers = EngineAnswers({})
        waiting = answers.list_containers(client)
        answers.ask_parts(client)
        _inspect(client, answers, waiting)
        return {
            **answers.snapshot(),
            _LOCAL: client.local,
            _PID: engine_pid(client.socket, client.limit),
        }, answers.failures()


def _inspect(client: EngineClient, answers: EngineAnswers, waiting: list[str]) -> None:
    """All containers, one after the other; a slow engine leaves the last ones unread."""
    end = time.monotonic() + _INSPECTS * client.limit
    for done, identity in enumerate(waiting):
        if time.monotonic() > end:
            why = f"the engine answers too slowly: {done} were inspected within {_INSPECTS * client.limit:g} s"
            answers.put_off(waiting[done:], EngineLate(why, "--timeout SECONDS waits longer"))
            return
        answers.inspect(client, identity)


def _tables(source: Source, options: Options) -> _Found:
    """What iproute2 prints; what nothing is missing without, for a recording alone."""
    files = (file for file in commands(source) if options.whole or file.missing is not Missing.NOTHING)
    return ask(files, options.tool_limit)


def _on_demand(options: Options) -> _Found:
    """What only the trace of one packet needs. Nothing is asked that would load a module of the kernel."""
    if not options.whole or not options.sources.intersection(_TABLES):
        return {}, {}
    answers, failures = ask((file for file in commands(Source.TRACE) if _may_be_asked(file.module)), options.tool_limit)
    sockets, unread = proxy_sockets() if options.containers is None else ({}, {})
    return {**answers, **sockets}, {**failures, **unread}


def _may_be_asked(module: str) -> bool:
    """A long list of connections is left out: it would be read for minutes."""
    return not module or (loaded(module) and (module != "nf_conntrack_netlink" or _tracked() <= _MANY_FLOWS))


_MANY_FLOWS = 20_000


def _tracked() -> int:
    try:
        with open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as count:
            return int(count.read(32))
    except (OSError, ValueError):
        return 0


def _own_sysctls() -> str:
    """Of the calling thread's network namespace."""
    return read_sysctls(name for _, name in socket.if_nameindex())


def _flows(_: Options) -> _Found:
    try:
        tracking, (sockets, unread) = read_tracking(), proxy_sockets()
        return {Tracking.PATH: tracking, **sockets}, unread
    except (OSError, NetdashError) as error:
        failure = failure_of(error)
        return {}, {failure.source: failure}


_READ: Mapping[Source, Callable[[Options], _Found]] = {
    Source.DOCKER: _docker,
    **{source: partial(_tables, source) for source in _TABLES},
    Source.RULES: lambda options: RuleReader(options.tool_limit).read(),
    Source.PROXIES: lambda _: (Proxies().read(), {}),
    Source.LISTENERS: lambda _: ({"host/listeners.txt": HostListeners().read()}, {}),
    Source.SYSCTLS: lambda _: ({"host/sysctl.txt": _own_sysctls()}, {}),
    Source.TRACE: _on_demand,
    Source.FLOWS: _flows,
    Source.DROPS: lambda options: read_drops(options.tool_limit),
}


def _wanted(options: Options) -> list[tuple[Source, Callable[[Options], _Found]]]:
    return [(source, read) for source, read in _READ.items() if source in options.sources or source is Source.TRACE]


# --- in the engine's network namespace, where it is another ---------------------------------------------------------


def _in_engine_namespace(options: Options, found: tuple[Target, ...], pid: int) -> _Found:
    """The kernel's answers there, under ENGINE a sign that it was entered; nothing without the right to enter."""
    wanted = options.sources & IN_NAMESPACE
    read = read_namespace(pid, wanted, found, options.tool_limit, options.whole)
    return ({**read[0], ENGINE: ""}, read[1]) if read else ({}, {})


def read_kernel(sources: frozenset[str], found: tuple[Target, ...], limit: float, whole: bool) -> _Found:
    """Everything but the engine's word and the host's listeners, in this process's network namespace."""
    options = Options(sources=sources & IN_NAMESPACE, tool_limit=limit, whole=whole)
    parts = [_Part(source, partial(read, options), _PATIENCE * limit) for source, read in _wanted(options)]
    parts.append(_Part(Source.INSIDE, partial(_inside, options, found), _PATIENCE * limit))
    for part in parts:
        part.start()
    return _collected(parts)


_WITHOUT_VETHS = frozenset({Source.DOCKER, Source.LINKS})  # the list of containers: it names their bridges alone


def _inside(options: Options, found: tuple[Target, ...]) -> _Found:
    inside = Inside()
    inside.follow(found)
    answers: dict[str, object] = {}
    failures: dict[str, Failure] = {}
    if Source.LINKS in options.sources and options.sources != _WITHOUT_VETHS:
        try:
            answers["ip/netns.json"] = namespace_ids(inside.pids())
        except OSError as error:
            failures["netns"] = Failure("netns", error.strerror or str(error))
    inside.look()
    answers |= inside.answers()
    if options.whole:
        asked = sorted(inside.targets(), key=lambda target: not _is_named(target, options.first))[: options.containers]
        answers |= _looked_into(asked, options.tool_limit)
        paths = {container_path(target.name, "sysctl.txt"): target.pid for target in asked}
        answers |= read_in({path: pid for path, pid in paths.items() if path}, _own_sysctls)
    return answers, failures


def _looked_into(targets: list[Target], limit: float) -> Mapping[str, object]:
    """Several at the same time: most of it is waiting for programs. Raises what one of them raised."""
    rest, errors = iter(targets), list[Exception]()
    answers: dict[str, object] = {}

    def work() -> None:
        try:
            for target in rest:
                answers.update(read_container(target, limit))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, name=Source.INSIDE, daemon=True) for _ in targets[:_AT_ONCE]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers


def _is_named(target: Target, words: frozenset[str]) -> bool:
    return any(target.name == word or begins_id(target.identity, word) for word in words)


# --- the process in the engine's network namespace ------------------------------------------------------------


def main(asked: str) -> None:
    """Answers `engine_namespace.read_namespace`, which enters the namespace by nsenter and starts this module there."""
    question = json.loads(asked)
    found = tuple(Target(*row) for row in question["targets"])
    answers, failures = read_kernel(frozenset(question["sources"]), found, question["limit"], question["whole"])
    sys.stdout.write(json.dumps((answers, {source: failure.words for source, failure in failures.items()})))


if __name__ == "__main__":
    main(sys.argv[1])
