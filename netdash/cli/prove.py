"""`netdash trace … --prove`: has the kernel trace the very packet that was asked for, and compares. What is written and
sent is said on stderr before it is done; what is written is gone when the command ends, however it ends."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

from netdash.apply.kernel_trace import KernelTrace, table_name
from netdash.apply.probe_socket import ProbeSocket, probe_socket
from netdash.cli.arguments import Arguments
from netdash.cli.lists import ALL_WAYS, PIPED, tell_missing, traced_host
from netdash.cli.printing import colour, document, note, room, write
from netdash.cli.publish import allowed, local
from netdash.cli.trace import asked
from netdash.collect.once import read_once
from netdash.collect.procfs import belongs
from netdash.model.addresses import socket_text
from netdash.model.engine_state import Place
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.records import dataclass, replace
from netdash.rules.nft_listing import Handles
from netdash.rules.ruleset import read_ruleset
from netdash.trace.kernel_trace import Flow, Walk, Wanted, table_text, walk_of, wanted_packet
from netdash.trace.model import Origin, Question, Trace
from netdash.trace.proof import Proof, proved, unseen
from netdash.trace.tracer import trace
from netdash.view import json_host, json_trace, terminal
from netdash.view.trace import beside_kernel

_WAIT, _SENT = 30.0, 3.0  # seconds for a packet from outside; for one that netdash sends itself
_WHAT = {"tcp": "one SYN", "udp": "one datagram", "icmp": "one echo request"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What became of the packet. `why`: why there is none."""

    flow: Flow
    lost: bool
    why: str


def run(arguments: Arguments) -> int:
    """Exit 0: the kernel does what was predicted; 1: it does otherwise; 5: no packet was seen, or it cannot be told."""
    local(arguments)
    allowed(arguments)
    host = traced_host(arguments)
    same_namespace(host)
    wanted, notes = asked(host, arguments)
    with ExitStack() as stack:
        sender = None if wanted.origin is Origin.OUTSIDE else stack.enter_context(closing(_sender(host, wanted)))
        if sender is not None and wanted.proto != "icmp":
            wanted = replace(wanted, sport=sender.port)
        answer = trace(host, wanted)
        seen = _watched(host, answer, sender, arguments.wait or (_WAIT if sender is None else _SENT))
    answer, proof = _compared(arguments, host, answer, seen)
    answer = replace(answer, assumed=(*notes, *answer.assumed))
    if arguments.json:
        document(json_host.dumps(json_trace.proved(answer, proof)))
    else:
        write(terminal.text(beside_kernel(host, answer, proof, room() or PIPED), colour()))
    tell_missing(host, sorted(ALL_WAYS))
    return Exit.UNKNOWN if proof.equal is None else Exit.FINE if proof.equal else Exit.FINDINGS


def same_namespace(host: Host) -> None:
    """Raises NetdashError where the rules are not those of this process's namespace."""
    if host.other_kernel:
        raise NetdashError(f"the engine is not on this machine: {host.other_kernel}", "", Exit.REFUSED)
    if host.process is not None and host.process.place is not Place.HERE:
        enter = f"nsenter --net=/proc/{host.process.pid}/ns/net netdash …"
        raise NetdashError("the engine lives in another network namespace", f"run there: {enter}", Exit.REFUSED)


# --- the packet -------------------------------------------------------------------------------------------------------


def _sender(host: Host, wanted: Question) -> ProbeSocket:
    pid = _process(host, wanted.container) if wanted.container is not None else None
    try:
        return probe_socket(wanted, pid)
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        hint = "run with sudo" if isinstance(error, PermissionError) else ""
        raise NetdashError(f"no packet can be sent from there: {words}", hint, Exit.REFUSED) from error


def _process(host: Host, identity: str) -> int | None:
    """The container's, which proves itself by its control group; None: it is in this host's namespace."""
    container = next(container for container in host.containers or () if container.id == identity)
    if container.network_mode == "host":
        return None
    if container.pid is None or not container.running:
        raise NetdashError(f"{container.name} is {container.state}: it sends nothing", code=Exit.UNKNOWN)
    if not belongs(container.pid, identity):
        raise NetdashError(f"the process of {container.name} is not found on this machine", code=Exit.UNKNOWN)
    return container.pid


def _watched(host: Host, answer: Trace, sender: ProbeSocket | None, seconds: float) -> _Seen:
    if host.ruleset is None:
        raise NetdashError("the rules could not be read: there is nothing to compare", "run with sudo", Exit.UNKNOWN)
    marked = wanted_packet(answer, sender.port if sender else None)
    text = table_text(table_name(), marked, host.ruleset)
    _announce(text, answer.question, marked, sender, seconds)
    flow, why = Flow(table_name()), ""
    with KernelTrace(text) as kernel:
        if sender is not None:
            why = sender.send()
        kernel.watch(flow, seconds)
    if why:
        return _Seen(flow, kernel.lost, f"the packet could not be sent: {why}")
    return _Seen(flow, kernel.lost, f"no such packet came to this host's rules within {seconds:g} s")


def _announce(text: str, asked: Question, marked: Wanted, sender: ProbeSocket | None, seconds: float) -> None:
    note("writes this, which marks the packet and changes no packet; the kernel removes it when netdash ends:")
    for line in text.splitlines():
        note(f"  {line}")
    to = f"{socket_text(asked.dst, asked.dport)} ({asked.proto})"
    if sender is None:
        whence = f" from {marked.src}" if marked.src is not None else ""
        note(f"awaits the next packet{whence} to {to} that opens a connection, {seconds:g} s at most")
    else:
        port = "" if asked.proto == "icmp" else f" from port {sender.port}"
        note(f"sends {_WHAT[asked.proto]}{port} to {to}")


# --- the comparison ---------------------------------------------------------------------------------------------------


def _compared(arguments: Arguments, host: Host, answer: Trace, seen: _Seen) -> tuple[Trace, Proof]:
    walk = _walk(arguments, seen.flow)
    if not walk.hops:
        return answer, unseen(answer, seen.why)
    answer = _about(host, answer, walk)
    proof = proved(answer, walk)
    if seen.lost and proof.equal is not True:
        return answer, replace(proof, equal=None, why="the kernel had more to tell than could be read")
    return answer, proof


def _walk(arguments: Arguments, flow: Flow) -> Walk:
    """By the rules as they are now: the prediction is by those that were read before."""
    if not flow.events:
        return Walk((), False, None)
    recording = read_once(arguments.options(frozenset({"rules"})))
    ruleset = read_ruleset(recording)
    if ruleset is None:
        raise NetdashError("the rules that the packet met could not be read", code=Exit.UNKNOWN)
    return walk_of(flow, Handles(recording.answers.get("rules/nft.json"), ruleset), dict(socket.if_nameindex()))


def _about(host: Host, answer: Trace, walk: Walk) -> Trace:
    """The prediction for this very packet: of one from outside only now its sender and device are known."""
    asked, packet = answer.question, walk.first
    if asked.origin is not Origin.OUTSIDE or packet is None:
        return answer
    known = any(link.name == packet.iif for link in host.links or ())
    sport = None if asked.proto == "icmp" else packet.sport
    return trace(
        host, replace(asked, src=packet.src, sport=sport, iif=asked.iif or (packet.iif if known else None) or None)
    )
