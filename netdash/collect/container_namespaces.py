"""What is asked inside the containers: which namespace each has, and who listens there. Enters only what is proved to
be the container's process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from netdash.bundle.archive import read_below
from netdash.bundle.recording import container_path
from netdash.collect.command import ask
from netdash.collect.procfs import belongs
from netdash.collect.sockets import proc_net, sockets_of
from netdash.engine.log import logged
from netdash.model.records import dataclass, replace
from netdash.model.source import BY_PATH, Source, SourceFile, container_commands

_INNER_FILE = 1 << 16  # bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A container with a running process."""

    identity: str
    name: str
    pid: int
    published: bool
    networks: int = 1


def targets(inspected: object) -> tuple[Target, ...]:
    """Of the answer docker/inspect.json, whose process ids must be this machine's."""
    found = (_target(raw) for raw in inspected if isinstance(raw, dict)) if isinstance(inspected, list) else ()
    return tuple(target for target in found if target)


def _target(raw: Mapping[str, object]) -> Target | None:
    state, host, settings = raw.get("State"), raw.get("HostConfig"), raw.get("NetworkSettings")
    identity, name = raw.get("Id"), raw.get("Name")
    pid = state.get("Pid") if isinstance(state, dict) else None
    if not isinstance(identity, str) or not isinstance(name, str) or not isinstance(pid, int) or pid <= 1:
        return None
    if len(identity) < 12:
        return None  # too short to prove anything
    if isinstance(host, dict) and host.get("NetworkMode") == "host":
        return None  # its sockets are the host's, and cannot be told apart by looking inside
    ports = settings.get("Ports") if isinstance(settings, dict) else None
    published = any(ports.values()) if isinstance(ports, dict) else False
    networks = settings.get("Networks") if isinstance(settings, dict) else None
    return Target(identity, name.removeprefix("/"), pid, published, len(networks) if isinstance(networks, dict) else 1)


def namespace_of(pid: int) -> str | None:
    """`net:[INODE]`, the same for all processes of one network namespace; None where it may not be read."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


class Inside:
    """Keeps the listeners of each container, and the routes of one on several networks, until it is asked to look
    again; how it resolves names, which the engine writes before it starts; and what `read` found. `asked`: the ids that
    `read` was called with, the longest ago first."""

    def __init__(self) -> None:
        self._targets: tuple[Target, ...] = ()
        self._texts: dict[str, dict[str, str]] = {}  # by container: its files of the bundle
        self._kept: dict[str, dict[str, str]] = {}  # the same: those that are not read again with its listeners
        self.asked: dict[str, None] = {}

    def follow(self, wanted: Iterable[Target]) -> frozenset[str]:
        """Takes over the running containers; the ids of those that are new, or came to other networks."""
        known = {(target.identity, target.pid) for target in self._targets}
        before = set(self._targets)
        self._targets = tuple(
            target
            for target in wanted
            if (target.identity, target.pid) in known or belongs(target.pid, target.identity)
        )
        new = frozenset(target.identity for target in self._targets if target not in before)
        alive = {target.identity for target in self._targets} - new
        self._texts = {identity: texts for identity, texts in self._texts.items() if identity in alive}
        self._kept = {identity: texts for identity, texts in self._kept.items() if identity in alive}
        self.asked = {identity: None for identity in self.asked if identity in alive}
        return new

    def targets(self) -> tuple[Target, ...]:
        """Those that were proved to be what the engine says."""
        return self._targets

    def pids(self) -> list[int]:
        return [target.pid for target in self._targets]

    @logged("netlink", "waiting sockets in the namespaces of containers (SOCK_DIAG_BY_FAMILY), and /proc/PID/net")
    def look(self, only: Iterable[str] | None = None) -> None:
        """Reads the listeners of all, or of those with these ids; without the right to enter, of those with published
        ports, from /proc."""
        ids = None if only is None else set(only)
        asked = [target for target in self._targets if ids is None or target.identity in ids]
        entered = sockets_of({target.identity: target.pid for target in asked})
        for other in asked:
            read = {
                "listeners.txt": entered.get(other.identity),
                "proc-net.txt": proc_net(
                    other.pid, other.published and other.identity not in entered, other.networks > 1
                ),
                "netns.txt": namespace_of(other.pid),
            }
            if other.identity not in self._kept:
                self._kept[other.identity] = _name_files(other.pid)
            self._put(other, {file: text for file, text in read.items() if text is not None})

    def read(self, identity: str, limit: float) -> None:
        """Its own addresses, routes, rules and neighbours: where its card is on screen, or was."""
        self.asked.pop(identity, None)
        target = next((target for target in self._targets if target.identity == identity), None)
        if target is not None and namespace_of(target.pid) is not None:  # else it may not be entered
            self.asked[identity] = None
            state = _own_state(target.pid, limit)
            if belongs(target.pid, identity):  # else it has ended, and the number may be another process's
                self._kept[identity] = state
                self._put(target, self._texts.get(identity, {}))

    def _put(self, target: Target, texts: Mapping[str, str]) -> None:
        known = self._texts.get(target.identity, {})
        found = {**texts, **self._kept[target.identity]}
        self._texts[target.identity] = known if known == found else found

    def answers(self) -> dict[str, object]:
        """By bundle path; the same text objects where nothing changed."""
        found: dict[str, object] = {}
        for target in self._targets:
            for file, text in self._texts.get(target.identity, {}).items():
                path = container_path(target.name, file)
                if path:
                    found[path] = text
        return found


# --- what only a recording, a card, and the trace of one packet need -------------------------------------------------


def read_container(target: Target, limit: float) -> dict[str, object]:
    """Its addresses and routes, by the host's own `ip` in its network namespace, and how it resolves names."""
    paths = ((container_path(target.name, file), text) for file, text in _own_state(target.pid, limit).items())
    return {path: text for path, text in paths if path}


def _own_state(pid: int, limit: float) -> dict[str, str]:
    """By file of the bundle."""
    enter = ("nsenter", f"--target={pid}", "--net")
    files = (*container_commands(Source.TRACE), BY_PATH["containers/*/addr.json"], BY_PATH["containers/*/route.json"])
    answers = ask(files, limit, enter)[0]
    answers |= ask(_saved_rules(pid, str(answers.get("containers/*/nft.json", ""))), limit, enter)[0]
    return {path.rpartition("/")[2]: str(text) for path, text in answers.items()} | _name_files(pid)


def _name_files(pid: int) -> dict[str, str]:
    found = {name: _inner_file(pid, name) for name in ("resolv.conf", "hosts")}
    return {name: text for name, text in found.items() if text is not None}


def _saved_rules(pid: int, listing: str) -> Iterator[SourceFile]:
    """Its own rules as iptables-save prints them: only where nft has tables of iptables, or iptables-legacy registered
    some; asking for others would not harm, and take time."""
    for family, tool in (("ip", "iptables"), ("ip6", "ip6tables")):
        kinds = ["nft"] if f'"family": "{family}"' in listing and '"xt"' in listing else []
        kinds += ["legacy"] if _registered(pid, family) else []
        for kind in kinds:
            name = f"{tool}-save.txt" if kind == "nft" else f"{tool}-legacy-save.txt"
            yield replace(BY_PATH[f"containers/*/{name}"], command=(f"{tool}-{kind}-save", "-c"))


def _registered(pid: int, family: str) -> bool:
    try:
        with open(f"/proc/{pid}/net/{family}_tables_names", encoding="ascii") as names:
            return bool(names.read(64).strip())
    except OSError:
        return False


def _inner_file(pid: int, name: str) -> str | None:
    """/etc/NAME as the process sees it. No link is followed: seen from here, one could lead out of the container."""
    try:
        return read_below(f"/proc/{pid}/root", f"etc/{name}", _INNER_FILE).decode("utf-8", "replace")
    except OSError:
        return None
