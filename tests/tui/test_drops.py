"""The pane Drops: it is read while somebody looks at it, Enter leads to the rule or the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from netdash.model.host import Host, Verb
from netdash.model.kernel_state import Counter
from netdash.model.source import FILES
from netdash.tui.host_view import HostView, Looked
from netdash.view.columns_kernel import DROPS
from netdash.view.views import VIEWS
from tests.support.tui_stage import dashboard, press, settle, show, text

FULL = "docker28.5-nft-full"


def losing(host: Host) -> Host:
    """One of its rules has dropped 12 packets, and does so now."""
    assert host.ruleset is not None
    one = next(rule for rule in host.ruleset.rules if rule.chain == "DOCKER" and rule.target.verb is Verb.DROP)
    moving = replace(one, packets=12, rate=2.5)
    chains = tuple(
        replace(chain, rules=tuple(moving if rule is one else rule for rule in chain.rules))
        for chain in host.ruleset.chains
    )
    counters = {"ip/link-stats.json": {("eth0", "rx_dropped"): Counter(7, 0.0)}}
    return replace(host, ruleset=replace(host.ruleset, chains=chains, shape=None), counters=counters)


def test_lost_packets_are_read_while_somebody_looks(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        assert app.feed.watched.drops is False
        await press(pilot, "D")
        assert app.feed.watched.drops is True
        await press(pilot, "4")
        assert app.feed.watched.drops is False

    show(replace(host(FULL), live=True), scene, (80, 24))


def test_what_moves_stands_first_and_enter_leads_to_its_rule_or_device(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        panes = dashboard(pilot).panes
        await press(pilot, "D")
        assert "+2.5/s" in text(app)
        assert "FINDING" in text(app)
        await press(pilot, "enter")
        assert (panes.places.view.name, panes.grid.row.ref.kind) == ("rules", "rule")
        await press(pilot, "D", "slash", *"rx_dropped", "enter", "enter")
        assert (panes.places.view.name, panes.grid.row.ref.key) == ("links", "eth0")

    show(losing(host(FULL)), scene, (120, 40))


def test_counters_that_are_read_now_leave_no_row_behind_that_says_they_are_not(host: Callable[[str], Host]) -> None:
    unread = replace(host(FULL), live=True, counters={})
    read = replace(unread, counters={file.path: {} for file in FILES})

    async def scene(pilot, app):
        await press(pilot, "D")
        assert "not read" in dashboard(pilot).panes.grid.row.cells[4].text
        app.feed.publish(read)
        await settle(pilot)
        assert "is gone" not in text(app)
        assert "not read" not in text(app)

    show(unread, scene, (80, 24))


def test_nobody_looks_at_all_rules_for_a_pane_that_is_closed(host: Callable[[str], Host]) -> None:
    seen = HostView(host(FULL)).warm(Looked(VIEWS[0]))
    assert DROPS.name not in seen._rows


def test_the_palette_and_the_command_line_know_it(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "colon", *"drops", "enter")
        assert dashboard(pilot).panes.places.view is DROPS

    show(host(FULL), scene, (80, 24))
