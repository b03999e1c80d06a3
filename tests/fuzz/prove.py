"""`netdash trace --prove` on random hosts: its table, its reading of the kernel's trace and its comparison, for packets
that the game's own senders send. `python -m tests.fuzz --prove N`."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

from netdash.apply.kernel_trace import KernelTrace, table_name
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.rules.nft_listing import Handles
from netdash.trace.kernel_trace import Flow, table_text, walk_of, wanted_packet
from netdash.trace.proof import Arrival, Item, Proof, proved
from netdash.trace.tracer import trace
from tests.fuzz.judge import question
from tests.fuzz.make import Probe, probes, scenario
from tests.fuzz.namespaces import CommandError, renew
from tests.fuzz.oracle import Oracle
from tests.fuzz.recorded import record
from tests.fuzz.scenario import apply
from tests.fuzz.world import World

_AT_ONCE, _FIRST = 20, 0.4
"""Packets on one host; seconds for a packet's first event."""


def campaign(seed: int, packets: int) -> int:
    tally: Counter[str] = Counter()
    begun = time.monotonic()
    while tally.total() < packets:
        try:
            for probe, proof in _game(seed, min(_AT_ONCE, packets - tally.total())):
                tally[_word(proof)] += 1
                if proof is not None and proof.equal is False:
                    print(f"seed {seed}: {probe.sender} {probe.packet} differs:\n{_rows(proof)}", flush=True)
        except CommandError as error:
            print(f"seed {seed}: no host: {error}")
        seed += 2
    words = ", ".join(f"{count} {word}" for word, count in sorted(tally.items()))
    print(f"{tally.total()} packets with --prove: {words}; {time.monotonic() - begun:.0f} s")
    return 1 if tally["differs"] else 0


def _word(proof: Proof | None) -> str:
    return "no packet" if proof is None else {True: "equal", False: "differs", None: "cannot be told"}[proof.equal]


def _game(seed: int, wanted: int) -> Iterator[tuple[Probe, Proof | None]]:
    renew()
    with closing(World()) as world, closing(Oracle()) as oracle:
        apply(scenario(seed), world.entered)
        recording = record(world)
        host = Builder().build(recording)
        assert host.ruleset is not None
        handles = Handles(recording.answers["rules/nft.json"], host.ruleset)
        for probe in probes(seed, wanted):
            oracle.forget_flows()
            yield probe, _prove(world, host, handles, probe)


def _prove(world: World, host: Host, handles: Handles, probe: Probe) -> Proof | None:
    answer = trace(host, question(probe))
    assert host.ruleset is not None
    text = table_text(table_name(), wanted_packet(answer, probe.packet.sport), host.ruleset)
    flow = Flow(table_name())
    with KernelTrace(text) as kernel:
        world.received()
        world.send(probe.sender, probe.packet, probe.mark)
        kernel.watch(flow, _FIRST)
    walk = walk_of(flow, handles, dict(socket.if_nameindex()))
    return proved(answer, walk) if walk.hops else None


def _rows(proof: Proof) -> str:
    return "\n".join(
        f"  {'!' if at == proof.differs_at else ' '} {_shown(one)} | {_shown(other)}"
        for at, (one, other) in enumerate(proof.rows)
    )


def _shown(item: Item | None) -> str:
    if item is None:
        return "-"
    packet = item.packet
    ends = f"{packet.src}:{packet.sport} > {packet.dst}:{packet.dport}" if packet else "?"
    if isinstance(item, Arrival):
        return f"[{item.hook or 'passed'} {ends}]"
    return f"{item.place} {item.text} {item.verdict} {item.to or ''}"
