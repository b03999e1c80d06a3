"""What the tests of the dialogs share that change something: a fake of what changes, and a host with a forward."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from textual.pilot import Pilot

from netdash.model.errors import NetdashError
from netdash.model.host import Holder, Host, Port, Proxy, Scope
from netdash.publish.checks import Details, Preflight, port_list
from netdash.publish.journal import Forward, Journal, Outage, Outcome, Proof
from netdash.publish.plan import Plan
from netdash.publish.request import Mode, NewContainer, Request
from netdash.publish.statement import Kind, Statement, say
from netdash.publish.undo import (
    Choice,
    Course,
    Damaged,
    Pending,
    Recovery,
    Seen,
    Shown,
    Taken,
    Unreadable,
    Way,
    finish,
    rollback,
    shown,
)
from netdash.tui.app import Netdash
from netdash.tui.dialog import Dialog, Stage
from tests.publish.test_state import CHANGE
from tests.support.tui_stage import press, settle

SIZES = [(80, 24), (120, 40)]
DETAILS = Details(changes=3, auto_remove=False, restart=("always", 0), health=False, stop_seconds=None)


SEEN = Seen(
    old=Shown(CHANGE.old_id, "web.netdash-1", "exited"),
    new=Shown("e" * 64, "web", "running"),
    holder=Shown("e" * 64, "web", "running"),
)


class Fake:
    """What changes the host, without a host. `hold`: the work waits in its middle until it is set."""

    def __init__(self, pending: Pending | None = None, error: NetdashError | None = None, **facts: Any) -> None:
        self.facts = Preflight(program="/usr/sbin/docker-proxy", image_here=False, **{"details": DETAILS, **facts})
        self.found = pending or Pending()
        self.error = error
        self.hold = threading.Event()
        self.hold.set()
        self.surveyed: list[object] = []
        self.acted: list[tuple[Request | NewContainer, Plan]] = []
        self.taken: list[Taken] = []
        self.recovered: list[Choice] = []

    def preflight(self, asked: Request | NewContainer, host: Host) -> Preflight:
        self.surveyed.append(asked)
        return self.facts

    def act(self, asked, made, facts, tell, count):
        self.acted.append((asked, made))
        tell(made.steps[0])
        count("1.5 of 9.0 MiB")
        self.hold.wait(10)
        tell(made.steps[-1])
        if self.error:
            raise self.error
        proofs = tuple(Proof(one.proto, "127.0.0.1", one.host_port, True, "answers") for one in made.ports[:1])
        return Outcome(proofs, Outage(14.24) if made.mode is Mode.RECREATE else None)

    def pending(self) -> Pending:
        return self.found

    def take_back(self, one: Taken, tell: Callable[[str], None]) -> Outage | None:
        if self.error:
            raise self.error
        self.taken.append(one)
        return Outage(2.0, exact=False) if isinstance(one, Journal) else None

    def course(self, one: Taken) -> Course:
        if isinstance(one, Forward):
            return Course(Way.PLANNED, (f"end the forward of {port_list(one.ports)} to {one.container}",))
        return rollback(one, SEEN)

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        found = [Recovery(one, shown(one, SEEN), finish(one, SEEN), rollback(one, SEEN)) for one in self.found.journals]
        return (*found, *(Damaged(one, ("web.netdash-1 is exited",)) for one in self.found.unreadable))

    def recover(self, one: Taken | Unreadable, choice: Choice, tell: Callable[[Statement], None]) -> None:
        tell(say(Kind.START, container="web"))
        self.recovered.append(choice)
        self.found = Pending()


def dialog(app: Netdash) -> Any:
    assert isinstance(app.screen, Dialog)
    return app.screen


async def until(pilot: Pilot[int], seen: Callable[[], object]) -> None:
    for _ in range(5000):
        if seen():
            break
        await asyncio.sleep(0.001)
    assert seen()
    await settle(pilot)


async def agree(pilot: Pilot[int], app: Netdash, key: str = "y") -> None:
    await press(pilot, key)
    await until(pilot, lambda: dialog(app).stage is Stage.OVER)


def own(host: Host) -> tuple[Host, Port]:
    """The host with a port that netdash forwards itself."""
    container = (host.containers or ())[0]
    ip, target = ip_address("0.0.0.0"), ip_address("172.17.0.3")
    proxy = Proxy(4242, 1, "netdash-proxy", "netdash-proxy", "tcp", ip, 9000, target, 80)
    port = Port(
        proto="tcp",
        host_ip=ip,
        host_port=9000,
        container_port=80,
        target_ip=target,
        dnat=None,
        proxy=proxy,
        listening=True,
        listener="httpd",
        scope=Scope.ALL,
        container_id=container.id,
        holder=Holder("netdash", 4242, "netdash-proxy"),
    )
    return replace(host, ports=(*(host.ports or ()), port), proxies=(*(host.proxies or ()), proxy)), port


def journal(created: float, settled: float | None = 100.0) -> Journal:
    return Journal(replace(CHANGE, created=created), settled=settled)
