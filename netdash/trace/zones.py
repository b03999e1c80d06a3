"""Zones of conntrack: a packet finds only a connection of its own zone. Follows xt_ct_target of xt_CT.c,
nft_ct_set_zone_eval of nft_ct.c and resolve_normal_ct of nf_conntrack_core.c."""

from __future__ import annotations

from netdash.model.host import Effect, Rule
from netdash.model.numbers import decimal
from netdash.trace.conntrack import Connection
from netdash.trace.model import Verdict
from netdash.trace.run import Run


def put_in(run: Run, rule: Rule, effect: Effect) -> None:
    """A rule gives the packet a zone: for both directions of its connection, or for one."""
    if run.packet.ctdir or run.connection.untracked:
        return
    side, _, number = effect.detail.rpartition(" ")
    zone = decimal(number)
    if zone is None or side not in ("", "original", "reply"):
        raise run.end(Verdict.UNKNOWN, rule.place, "the zone of conntrack that it sets is not known")
    run.zone = (0 if side == "reply" else zone, 0 if side == "original" else zone)


def find(run: Run) -> None:
    """Before conntrack looks for the packet's connection: it does not find one that is known by another zone."""
    connection, zone = run.connection, run.zone
    if connection.original is None:
        run.connection.zone = zone
    if run.packet.ctdir or connection.untracked or connection.original is None:
        return
    way = connection.answering
    if connection.zone[way] != zone[way]:
        what = f"conntrack has its connection in zone {connection.zone[way]}, and looks in {zone[way]}: it is not found"
        if connection.destination is None and connection.source is None:
            what = f"{what}, and becomes a connection of its own, which is not followed"
            raise run.end(Verdict.UNKNOWN, run.at("conntrack"), what)
        run.say(what)
        run.connection = Connection(answering=connection.answering, replied=connection.replied, zone=zone)
