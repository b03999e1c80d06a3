"""A capture over the dashboard: what it shows, where it is refused, and that its sockets close with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType

import pytest

from netdash.capture.model import Fate, Outcome, Pair, Plan
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.records import replace
from netdash.trace.model import Decision
from netdash.tui.app import Netdash
from netdash.tui.capture_view import KEPT, CaptureView
from tests.support import frames, trace_hosts
from tests.support.frames import CLIENT, HOST, INSIDE, OUTSIDE, WEB, echo, seen, tcp
from tests.support.tui_stage import dashboard, press, settle, show, text

PAIRED = Pair(
    (seen(echo(WEB, CLIENT), INSIDE, 0.1), seen(echo(HOST, CLIENT), OUTSIDE, 0.2)), True, Outcome(Fate.PAIRED)
)
LOST = Pair(
    (seen(tcp(WEB, 40100, CLIENT, 80), INSIDE, 1.0),),
    True,
    Outcome(Fate.LOST, "dropped", Decision("filter/DOCKER-USER #1", "-j DROP")),
)


class Packets:
    """A capture that sees these packets, some at a time, and then nothing more."""

    def __init__(self, *parts: Sequence[Pair], refused: NetdashError | None = None) -> None:
        self._parts, self._refused = list(parts), refused
        self.plan: Plan | None = None
        self.newest: Callable[[], Host] | None = None
        self.state = "new"
        self.ended, self.packets, self.dropped, self.unread = "", 0, 0, 0
        self.gone: list[str] = []
        self.counts: Counter[Fate] = Counter()

    def __call__(self, plan: Plan, newest: Callable[[], Host]) -> Packets:
        self.plan, self.newest = plan, newest
        return self

    def __enter__(self) -> Packets:
        if self._refused:
            raise self._refused
        self.state = "open"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.state = "closed"

    def step(self, seconds: float) -> Sequence[Pair]:
        import time

        if not self._parts:
            time.sleep(min(seconds, 0.01))
            return ()
        pairs = self._parts.pop(0)
        self.packets += len(pairs)
        self.counts.update(pair.outcome.fate for pair in pairs)
        return pairs


@pytest.fixture
def live() -> Host:
    return replace(trace_hosts.host(frames.NAT), live=True)


async def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come true")


def play(host: Host, packets: Packets | None, scene: Callable[..., object], size: tuple[int, int] = (80, 24)) -> None:
    async def opened(pilot, app: Netdash) -> None:
        app.capture = packets
        await press(pilot, "colon", *"go web", "enter", "c")
        await scene(pilot, app)

    show(host, opened, size)


def test_packets_on_the_screen_and_sockets_that_close_with_it(live: Host) -> None:
    packets = Packets([PAIRED], [LOST])

    async def scene(pilot, app) -> None:
        assert isinstance(app.screen, CaptureView)
        await until(lambda: len(app.screen._shown) == 2)
        await settle(pilot)
        screen = text(app)
        assert "packets of web" in screen
        assert "2 packets, 1 seen on both sides, 1 lost" in screen
        assert "172.17.0.2 → 192.0.2.10 ICMP echo request id 7 seq 1" in screen
        assert "eth0 as 203.0.113.2 at .200000 (+100 ms)" in screen
        assert "filter/DOCKER-USER #1" in screen
        assert packets.state == "open"
        await press(pilot, "escape")
        assert app.screen is dashboard(pilot)
        await until(lambda: packets.state == "closed")

    play(live, packets, scene)


def test_newer_hosts_are_asked_about_missed_packets(live: Host) -> None:
    packets = Packets()

    async def scene(pilot, app) -> None:
        newer = replace(live, taken=5.0)
        app.screen.update_host(replace_view(app, newer))
        await until(lambda: packets.newest is not None)
        assert packets.newest is not None
        assert packets.newest() is newer

    play(live, packets, scene)


def replace_view(app: Netdash, host: Host) -> object:
    class View:
        pass

    view = View()
    view.host = host  # type: ignore[attr-defined]
    return view


def test_only_the_newest_packets_are_kept_and_the_last_are_in_view(live: Host) -> None:
    packets = Packets(*[[PAIRED] * 400 for _ in range(3)], [LOST])

    async def scene(pilot, app) -> None:
        await until(lambda: app.screen._shown and app.screen._shown[-1][0] is LOST)
        await settle(pilot)
        assert len(app.screen._shown) == KEPT
        assert "filter/DOCKER-USER #1" in text(app)
        await press(pilot, "g")
        assert "ICMP echo request" in text(app)

    play(live, packets, scene)


def test_a_device_that_is_gone_is_told(live: Host) -> None:
    packets = Packets()

    async def scene(pilot, app) -> None:
        packets.gone.append("vweb")
        await until(lambda: "vweb went down or was removed" in text(app))

    play(live, packets, scene, (120, 40))


def test_a_refusal_is_shown(live: Host) -> None:
    refusal = NetdashError("packets cannot be captured without CAP_NET_RAW", "run with sudo", Exit.REFUSED)

    async def scene(pilot, app) -> None:
        await until(lambda: "CAP_NET_RAW (run with sudo)" in text(app))

    play(live, Packets(refused=refusal), scene)


def test_a_recording_has_no_packets() -> None:
    async def scene(pilot, app) -> None:
        assert app.screen is dashboard(pilot)
        assert "it has no packets" in text(app)

    play(trace_hosts.host(frames.NAT), None, scene)


def test_another_machine_gets_commands_to_copy(live: Host) -> None:
    async def scene(pilot, app) -> None:
        assert "tcpdump -ni vweb" in text(app)

    play(live, None, scene)


def test_a_container_that_has_none_is_refused_in_one_line(live: Host) -> None:
    assert live.containers
    web, *others = live.containers
    stopped = replace(live, containers=(replace(web, state="exited"), *others))

    async def scene(pilot, app) -> None:
        assert app.screen is dashboard(pilot)
        assert "web is exited: it has no packets" in text(app)

    play(stopped, Packets(), scene)
