"""Zones of conntrack: a packet finds only a connection of its own zone. Follows xt_ct_target of xt_CT.c,
nft_ct_set_zone_eval of nft_ct.c and resolve_normal_ct of nf_conntrack_core.c."""

from __future__ import annotations

from netdash.model.host import Effect, Rule
from netdash.model.numbers import decimal
from netdash.trace.conntrack import Connection, opens
from netdash.trace.model import Verdict
from netdash.trace.namespace_state import number
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
        where = f"conntrack has its connection in zone {connection.zone[way]}, and looks in {zone[way]}"
        run.say(f"{where}: it is not found, and the packet begins one of its own where it may")
        connection.missed = True
        begins = opens(run.packet, loose(run))
        if way and begins and zone[1] == connection.zone[0] and not connection.translates:
            what = f"{where}: its own connection has the addresses and ports of that one, so it gets another port"
            raise run.end(Verdict.DROPPED, run.at("conntrack"), what)
        stray = way and not begins
        run.connection = Connection(answering=stray, replied=stray and connection.replied, zone=zone)


def loose(run: Run) -> bool:
    """Whether conntrack takes up a connection of TCP whose beginning it did not see."""
    return number(run.net, "net.netfilter.nf_conntrack_tcp_loose") != 0
