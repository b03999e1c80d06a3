"""What the tests of the dashboard share: a feed that publishes given hosts, made-up hosts, and the screen as text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields

from textual._compositor import Compositor
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen

from netdash.model.finding import Health
from netdash.model.host import Host
from netdash.model.kernel_state import NOTHING, Watched
from netdash.tui import examiner
from netdash.tui.app import Netdash
from netdash.tui.config import Options
from netdash.tui.dashboard import Dashboard
from netdash.tui.interfaces import Changes, Publish

_parse_rules = Stylesheet._parse_rules
_parsed: dict[object, list[RuleSet]] = {}


def _parse_once(self: Stylesheet, css: str, *where: object, **more: object) -> list[RuleSet]:
    """The rules of a style sheet, which every new dashboard would parse again."""
    key = (css, tuple(self._variables.items()), where, tuple(more.items()))
    if key not in _parsed:
        _parsed[key] = _parse_rules(self, css, *where, **more)
    return _parsed[key]


_examine = examiner._here
_examined: dict[tuple[int, ...], tuple[Host, Health]] = {}


def _examine_once(host: Host) -> Health:
    """What the doctor finds on a host, and on each copy of it: most tests show one of a few."""
    parts = tuple(id(getattr(host, field.name)) for field in fields(host))
    if parts not in _examined:
        _examined[parts] = host, _examine(host)
    return _examined[parts][1]


def _paint_later(self: Compositor, full: bool = False, *args: object, **more: object) -> object:
    """Nobody sees the pictures before the app has settled: what changed is painted then, once. A whole one is asked for
    by a test."""
    return _paint(self, full, *args, **more) if full else None


Stylesheet._parse_rules = _parse_once
examiner._here = _examine_once
_paint = Compositor.render_update
Compositor.render_update = _paint_later


class Stage:
    """A feed whose hosts the test decides on."""

    def __init__(self, *hosts: Host, live: bool = True) -> None:
        self.hosts = hosts
        self.live = live
        self.refreshed = 0
        self.stopped = False
        self.watched = NOTHING

    def start(self, publish: Publish) -> None:
        self.publish = publish
        for host in self.hosts:
            publish(host)

    def shown(self) -> None:
        """Nothing takes long here."""

    def refresh(self) -> None:
        self.refreshed += 1

    def watch(self, watched: Watched) -> None:
        self.watched = watched

    def stop(self) -> None:
        self.stopped = True


def show(
    host: Host | None,
    scene: Callable[[Pilot[int], Netdash], Awaitable[None]],
    size: tuple[int, int] = (120, 40),
    options: Options | None = None,
    changes: Changes | None = None,
) -> Netdash:
    """Runs the dashboard on `host` without a terminal, and `scene` once it is painted."""
    stage = Stage(*([host] if host else []), live=host.live if host else True)
    app = Netdash(stage, options or Options(theme="netdash"), changes)

    async def play() -> None:
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await scene(pilot, app)

    asyncio.run(play())
    return app


async def settle(pilot: Pilot[int]) -> None:
    """Until nothing is left to do, long computations included; then the screen is painted."""
    await _rest(pilot)
    _look(pilot)


async def _rest(pilot: Pilot[int]) -> None:
    """An error in the dashboard is raised: what waits for it then would wait for ever."""
    quiet = 0
    while quiet < 3:
        if pilot.app._exception is not None:
            raise pilot.app._exception
        await asyncio.sleep(0.001)
        quiet = 0 if _busy(pilot) else quiet + 1


def _look(pilot: Pilot[int]) -> None:
    _paint(pilot.app.screen._compositor, screen_stack=pilot.app._background_screens)


def _busy(pilot: Pilot[int]) -> bool:
    screens = list(pilot.app.screen_stack)
    if isinstance(pilot.app, Netdash) and pilot.app.examiner.busy:
        return True
    pumps = [pilot.app, *screens, *(widget for screen in screens for widget in screen.walk_children())]
    if any(pump._message_queue is not None and not pump._message_queue.empty() for pump in pumps):
        return True
    if not getattr(screens[-1], "working", False) and any(_has_work(screen) for screen in screens):
        return True
    screen = screens[-1]
    return bool(screen._dirty_widgets or screen._layout_required or screen._callbacks)


def _has_work(screen: Screen[object]) -> bool:
    """Whether something is computed for it in steps, or asked in a thread."""
    panes = getattr(screen, "panes", None)
    workers = [
        getattr(panes or screen, "work", None),
        getattr(getattr(panes, "own_changes", screen), "background", None),
    ]
    return any(getattr(worker, "busy", False) for worker in workers)


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Types, and looks at the screen after the last; a key is one of Textual's names, or the character itself."""
    for key in keys:
        named = _character_to_key(key) if len(key) == 1 else key
        character = key if len(key) == 1 else None
        pilot.app.post_message(Key(named, character))
        await _rest(pilot)
    _look(pilot)


def dashboard(pilot: Pilot[int]) -> Dashboard:
    screen = pilot.app.screen_stack[0]
    assert isinstance(screen, Dashboard)
    return screen


def text(app: Netdash) -> str:
    """What a person sees, without trailing blanks."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips) + "\n"
