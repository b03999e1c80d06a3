"""What a plan must know that a Host does not say: asked of the engine and of this process. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from netdash.apply import forward
from netdash.apply.state_directory import UntrustedError, is_safe, trusted_program
from netdash.engine.client import EngineClient, local
from netdash.engine.context import EnginePeer, engine_peer
from netdash.engine.errors import EngineGone, Refused
from netdash.model.errors import NetdashError
from netdash.model.host import Host
from netdash.model.records import dataclass
from netdash.parse.json_values import integer, items, mapping, text
from netdash.publish.checks import Details, Preflight
from netdash.publish.payload import anonymous, restart_policy
from netdash.publish.statement import Kind, Statement, say

_CAP_NET_BIND_SERVICE = 1 << 10
Json = dict[str, Any]


def preflight(address: str, host: Host, container_id: str | None, details: bool, image: str = "") -> Preflight:
    """The facts for a plan on this container, or for a new one. Never raises: what is in the way is `unable`."""
    if host.other_kernel:
        return Preflight(unable=say(Kind.ENGINE_ON_ANOTHER_MACHINE, reason=host.other_kernel))
    try:
        engine = local(address)
        engine.negotiate()
        _may_write(engine)
        peer = engine_peer(engine.socket or "", engine.limit)
        return Preflight(
            engine_here=here(peer),
            lowest_port=lowest_port(),
            program=_program(engine, peer, host),
            details=_details(engine, container_id) if details and container_id else None,
            image_here=has_image(engine, image) if image else None,
        )
    except NetdashError as error:
        return Preflight(unable=say(Kind.ENGINE_ERROR, message=error.message, hint=error.hint))


def _may_write(engine: EngineClient) -> None:
    if not os.access(engine.socket or "", os.W_OK):
        raise EngineGone(f"no permission to use {engine.socket}")


def here(peer: EnginePeer | None) -> bool | None:
    """Whether the engine lives in this network namespace; None where its process is not known, or may not be looked
    at."""
    if peer is None or peer.pid is None:
        return None
    try:
        theirs, ours = os.stat(f"/proc/{peer.pid}/ns/net"), os.stat("/proc/self/ns/net")
    except OSError:
        return None
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def lowest_port() -> int | None:
    """The lowest port that a process of this one's may bind; None: cannot be told."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
        effective = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
        if int(effective, 16) & _CAP_NET_BIND_SERVICE:
            return 0
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text("ascii"))
    except (OSError, ValueError, StopIteration):
        return None


def _program(engine: EngineClient, peer: EnginePeer | None, host: Host) -> str | None:
    named = text(mapping(engine.get("/info")).get("UserlandProxyPath"))
    return find_docker_proxy(named, [proxy.pid for proxy in host.proxies or ()], peer)


# --- of the container -------------------------------------------------------------------------------------------------


def _details(engine: EngineClient, identity: str) -> Details | None:
    try:
        inspect: Json = engine.get(f"/containers/{identity}/json")
    except Refused:
        return None
    config, host = mapping(inspect.get("Config")), mapping(inspect.get("HostConfig"))
    labels = mapping(config.get("Labels"))
    borrowed, missing = borrowed_from(engine, inspect)
    stop = config.get("StopTimeout")
    others = _others(engine, str(inspect["Id"]))
    shared = _sharers(inspect, others)
    follow = following(inspect, others, shared)
    return Details(
        changes=changes(engine, inspect),
        auto_remove=host.get("AutoRemove") is True,
        restart=restart_policy(inspect),
        health=bool(mapping(mapping(inspect.get("State")).get("Health")).get("Status")),
        stop_seconds=stop if isinstance(stop, int) else None,
        dependents=tuple(_dependents(inspect, others, follow)),
        missing=missing,
        followers=tuple(sorted(str(others[word].get("Name", "")).lstrip("/") or word[:12] for word in follow)),
        sharers=None if shared is None else shared.processes,
        tmpfs=_tmpfs(host),
        anonymous=anonymous(inspect, borrowed),
        swarm_service=text(labels.get("com.docker.swarm.service.name")),
        image_moved=image_reference(engine, inspect) != config.get("Image"),
        random_ports=_random_ports(host),
        fixed_addresses=_fixed(inspect),
        forwards=tuple(
            sorted(
                {
                    port.host_port
                    for other in forward.listed()
                    if other.container_id == inspect["Id"]
                    for port in other.ports
                }
            )
        ),
    )


def changes(engine: EngineClient, inspect: Json) -> int | None:
    """Files and folders of the writable layer that differ from the image. Where something is mounted there does not
    count, nor do the folders above it: the engine made them."""
    try:
        found = engine.get(f"/containers/{inspect['Id']}/changes")
    except Refused:
        return None
    mounts = {str(mapping(item).get("Destination")) for item in items(inspect.get("Mounts"))}
    mounts |= set(mapping(mapping(inspect.get("HostConfig")).get("Tmpfs")))
    paths = {str(mapping(item).get("Path")) for item in items(found)}
    return sum(1 for path in paths if not any(f"{mount}/".startswith(f"{path}/") for mount in mounts))


def image_reference(engine: EngineClient, inspect: Json) -> str:
    """What to create its equal from: the image's name while that still means the same image, else its id."""
    name, identity = str(mapping(inspect.get("Config")).get("Image", "")), str(inspect.get("Image", ""))
    try:
        same = mapping(engine.get(f"/images/{name}/json")).get("Id") == identity
    except Refused:
        same = False
    return name if same else identity


def has_image(engine: EngineClient, image: str) -> bool:
    try:
        engine.get(f"/images/{image}/json")
    except Refused:
        return False
    return True


def image_config(engine: EngineClient, reference: str) -> Json:
    found = mapping(mapping(engine.get(f"/images/{reference}/json")).get("Config"))
    return dict(found)


def borrowed_from(engine: EngineClient, inspect: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(destinations that come by --volumes-from, containers of it that do not exist any more)."""
    places: list[str] = []
    missing: list[str] = []
    for item in items(mapping(inspect.get("HostConfig")).get("VolumesFrom")):
        name = str(item).split(":")[0]
        try:
            other = mapping(engine.get(f"/containers/{name}/json"))
        except Refused:
            missing.append(name)
        else:
            places += [str(mapping(mount).get("Destination")) for mount in items(other.get("Mounts"))]
    return tuple(places), tuple(missing)


def _tmpfs(host: Mapping[str, Any]) -> tuple[str, ...]:
    mounts = (mapping(item) for item in items(host.get("Mounts")))
    mounted = (str(mount.get("Target")) for mount in mounts if mount.get("Type") == "tmpfs")
    return (*map(str, mapping(host.get("Tmpfs"))), *mounted)


def _dependents(inspect: Json, others: Mapping[str, Json], following: Iterable[str]) -> Iterable[Statement]:
    """Containers that name this one in their settings, or follow it, with what becomes of them."""
    identity, name = str(inspect["Id"]), str(inspect.get("Name", "")).lstrip("/")
    for other, raw in others.items():
        host = mapping(raw.get("HostConfig"))
        who = str(raw.get("Name") or other[:12]).lstrip("/")
        used = [what for key, what in _SHARED if _uses(host.get(key), identity, name)]
        if other in following and host.get("AutoRemove") is True:
            used.insert(0, "network")
        yield from (say(Kind.USES_NAMESPACE, container=name, user=who, namespace=what) for what in used)
        if any(str(item).partition(":")[0].lstrip("/") == name for item in items(host.get("Links"))):
            yield say(Kind.LINKED, container=name, user=who)
        used_volumes = [str(item).split(":")[0] for item in items(host.get("VolumesFrom"))]
        if any(
            used_volume and (identity.startswith(used_volume) or used_volume == name) for used_volume in used_volumes
        ):
            yield say(Kind.USES_VOLUMES, container=name, user=who)


_SHARED = (("IpcMode", "IPC"), ("PidMode", "processes"))


def followers(engine: EngineClient, inspect: Json) -> tuple[str, ...]:
    """Ids of the containers that use its network namespace. Raises NetdashError."""
    others = _others(engine, str(inspect["Id"]))
    return following(inspect, others, _sharers(inspect, others))


def following(inspect: Json, others: Mapping[str, Json], shared: Sharers | None) -> tuple[str, ...]:
    """Of `others`, those whose settings lead to it, also by way of another; and those that are in its namespace,
    whomever their settings name."""
    found = [str(inspect["Id"])]
    for identity in found:  # which grows
        raw = inspect if identity == found[0] else others[identity]
        name = str(raw.get("Name", "")).lstrip("/")
        found += [other for other, mode in _modes(others) if other not in found and _uses(mode, identity, name)]
    there = shared.containers if shared else ()
    return tuple(
        other
        for other, mode in _modes(others)
        if other in found or (other in there and str(mode).startswith("container:"))
    )


def _modes(others: Mapping[str, Json]) -> Iterable[tuple[str, object]]:
    return ((other, mapping(raw.get("HostConfig")).get("NetworkMode")) for other, raw in others.items())


def _sharers(inspect: Json, others: Mapping[str, Json]) -> Sharers | None:
    owner = str(inspect["Id"])
    pids = {identity: integer(mapping(raw.get("State")).get("Pid")) for identity, raw in others.items()}
    pids[owner] = integer(mapping(inspect.get("State")).get("Pid"))
    return sharers(owner, {identity: pid for identity, pid in pids.items() if pid})


def _others(engine: EngineClient, identity: str) -> dict[str, Json]:
    """What the engine tells of each other container, by its id."""
    found = {}
    for listed in items(engine.get("/containers/json", all="1")):
        other = str(mapping(listed).get("Id", ""))
        if other != identity:
            try:
                found[other] = dict(mapping(engine.get(f"/containers/{other}/json")))
            except Refused:
                continue  # it was removed meanwhile
    return found


def _uses(mode: object, identity: str, name: str) -> bool:
    """Of HostConfig's NetworkMode, IpcMode and PidMode: `container:` and the name or the beginning of the id."""
    kind, _, used = str(mode or "").partition(":")
    return kind == "container" and bool(used) and (identity.startswith(used) or used == name)


def _random_ports(host: Any) -> bool:
    if host.get("PublishAllPorts") is True:
        return True
    bindings = [mapping(item) for value in mapping(host.get("PortBindings")).values() for item in items(value)]
    return any(binding.get("HostPort") in ("", "0", None) for binding in bindings)


def _fixed(inspect: Json) -> bool:
    ends = mapping(mapping(inspect.get("NetworkSettings")).get("Networks")).values()
    asked = [mapping(mapping(end).get("IPAMConfig")) for end in ends]
    return all(value.get("IPv4Address") or value.get("IPv6Address") for value in asked)


_NAME = "docker-proxy"
_WELL_KNOWN = tuple(f"{folder}/{_NAME}" for folder in ("/usr/sbin", "/usr/libexec/docker", "/usr/bin"))


def find_docker_proxy(named: str | None, running: Iterable[int], engine: EnginePeer | None) -> str | None:
    """The path of one that only root, or this user, can have put there: `named` by the engine (/info, from 29 on); the
    executable of one of the processes `running`, where it is the engine's; else where packages put it."""
    known = _executables(running, engine) if engine is not None and engine.pid is not None else ()
    return next((path for path in _paths(named, known) if _may_run(path)), None)


def _paths(named: str | None, known: Iterable[str]) -> Iterator[str]:
    yield from (named,) if named else ()
    yield from known
    yield from _WELL_KNOWN


def _may_run(path: str) -> bool:
    try:
        os.close(trusted_program(Path(path)))
    except (OSError, RuntimeError, UntrustedError):
        return False
    return True


def _executables(running: Iterable[int], engine: EnginePeer) -> Iterator[str]:
    """Of the processes that the engine started as its own user."""
    for pid in running:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                started = process.ppid() == engine.pid and set(process.uids()) == {engine.uid}
            path = _executable(pid) if started and engine.uid in (0, os.geteuid()) else None
            if path is not None and process.is_running():  # it is still the process that was looked at
                yield path
        except (OSError, psutil.Error):
            continue


def _executable(pid: int) -> str | None:
    handle = os.open(f"/proc/{pid}/exe", os.O_PATH | os.O_CLOEXEC)
    try:
        path = os.readlink(f"/proc/self/fd/{handle}")
        return path if is_safe(os.fstat(handle)) and os.path.basename(path) == _NAME else None
    finally:
        os.close(handle)


_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Sharers:
    """`containers`: ids of those whose first process is in it. `processes`: (pid, name) of all others, but for those
    of the container itself and of `containers`."""

    containers: tuple[str, ...]
    processes: tuple[tuple[int, str], ...]


def sharers(owner: str, pids: Mapping[str, int], proc: Path = _PROC) -> Sharers | None:
    """`pids`: of the first process of each container that runs, by the container's id, as the engine tells them. None
    where the namespace may not be looked at, or that pid is another process here."""
    inside = _namespace(proc, pids.get(owner, 0))
    if inside is None or owner not in _cgroup(proc, pids[owner]) or inside == _namespace(proc, os.getpid()):
        return None
    mine = [
        identity
        for identity, pid in pids.items()
        if identity != owner and _namespace(proc, pid) == inside and identity in _cgroup(proc, pid)
    ]
    return Sharers(tuple(mine), tuple(_processes(proc, inside, (owner, *mine))))


def _processes(proc: Path, inside: str, known: Iterable[str]) -> Iterator[tuple[int, str]]:
    for pid in sorted(int(name) for name in os.listdir(proc) if name.isdigit()):
        if _namespace(proc, pid) == inside:
            cgroup = _cgroup(proc, pid)
            if not any(identity in cgroup for identity in known):
                yield pid, _text(proc / str(pid) / "comm").strip() or "?"


def _namespace(proc: Path, pid: int) -> str | None:
    try:
        return os.readlink(proc / str(pid) / "ns/net") if pid else None
    except OSError:
        return None


def _cgroup(proc: Path, pid: int) -> str:
    """Names the container by its id, whoever made the cgroup: systemd or the engine."""
    return _text(proc / str(pid) / "cgroup")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
