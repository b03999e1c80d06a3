from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.finding import Health, health_of
from netdash.model.host import Host
from netdash.model.relations import ref_of
from netdash.trace import tracer
from netdash.tui.examiner import Examiner
from netdash.tui.host_view import HostView, Looked
from netdash.view.card import card
from netdash.view.views import BY_NAME
from tests.support.tui_hosts import crowd


def test_of_the_hosts_that_come_meanwhile_only_the_newest_is_examined() -> None:
    hosts = [replace(crowd(2), taken=float(number)) for number in range(4)]
    began, go_on, all_told = threading.Event(), threading.Event(), threading.Event()
    told: list[Host] = []

    def examine(_: Host) -> Health:
        began.set()
        assert go_on.wait(20)
        return Health((), {})

    def tell(host: Host) -> None:
        told.append(host)
        if host is hosts[-1]:
            all_told.set()

    examiner = Examiner(tell, pytest.fail, examine)
    examiner.look(hosts[0])
    assert began.wait(20)
    for host in hosts[1:]:
        examiner.look(replace(host, containers=tuple(host.containers or ())) if host is not hosts[-1] else host)
    assert examiner.busy
    go_on.set()
    assert all_told.wait(20)
    assert told == [hosts[0], hosts[-1]]
    assert health_of(hosts[-1]) is not None


def test_what_one_looks_at_is_ready_when_the_next_host_comes(
    host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its row nor its card makes the screen wait for a trace."""
    shown = replace(host("docker20.10-nft-full"))
    view, last = BY_NAME["containers"], (shown.containers or ())[-1]
    places = [place for place, one in enumerate(shown.containers or ()) if one is last]
    host_view = HostView(shown).warm(Looked(view, ref_of(last), places))
    monkeypatch.setattr(tracer, "trace", lambda *_: pytest.fail("traced again"))
    assert host_view.rows(view)[places[0]].ref == ref_of(last)
    assert card(shown, last, 80)
