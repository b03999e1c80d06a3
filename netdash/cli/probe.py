"""`netdash doctor --probe`: real connections that confirm what was found. Each is said on stderr before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing

from netdash.apply.probe_socket import probe_socket
from netdash.cli.printing import note
from netdash.collect.procfs import belongs
from netdash.doctor.prove import MOST, Probe, Probed
from netdash.model.addresses import socket_text
from netdash.model.host import Host
from netdash.model.index import index_of
from netdash.view.json_host import Json

_LIMIT = 2.0  # seconds for one


def probed(host: Host, wanted: Iterable[Probe]) -> Iterator[Probed]:
    """One after the other; nothing is sent on a connection, and each is closed at once."""
    for probe in wanted:
        note(f"probes {words(host, probe)}: one connection, {_LIMIT:g} s at most, {MOST} in all")
        yield _probed(host, probe)


def words(host: Host, probe: Probe) -> str:
    asked = probe.question
    sender = index_of(host).name(asked.container) or "?" if asked.container else "this host"
    return f"{sender} to {socket_text(asked.dst, asked.dport)} ({probe.code})"


def _probed(host: Host, probe: Probe) -> Probed:
    container = next(
        (container for container in host.containers or () if container.id == probe.question.container), None
    )
    pid = None
    if container is not None and container.network_mode != "host":
        pid = container.pid
        if pid is None or not belongs(pid, container.id):
            return Probed(probe, None, "its process is not found on this machine")
    try:
        with closing(probe_socket(probe.question, pid)) as sender:
            refused = sender.send()
            connected, text = (False, refused) if refused else sender.connected(_LIMIT)
            if connected is None and not probe.proxied:
                connected = True  # nobody stands between
            return Probed(probe, connected, text)
    except OSError as error:
        return Probed(probe, None, f"cannot be tried: {(error.strerror or str(error)).lower()}")


def sentence(host: Host, result: Probed) -> str:
    ends = {True: "contradicts it", False: "confirms it", None: "tells nothing"}
    return f"probe {words(host, result.probe)}: {result.text}: {ends[result.connected]}"


def json(result: Probed) -> Json:
    asked = result.probe.question
    return {
        "code": result.probe.code,
        "from": asked.origin.value,
        "container": asked.container,
        "dst": str(asked.dst),
        "dport": asked.dport,
        "connected": result.connected,
        "text": result.text,
    }
