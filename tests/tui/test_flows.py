"""The pane Flows: it is read while somebody looks at it, Enter leads to what translates, t traces the connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from netdash.join.flows import flows
from netdash.model.host import Host
from netdash.model.kernel_state import Counted, Ends, TrackedFlow
from netdash.model.relations import ref_of
from netdash.tui.capture_view import _plan
from netdash.tui.host_view import HostView
from netdash.tui.trace_view import Walk
from netdash.view.columns_flows import FLOWS
from tests.support.tui_stage import dashboard, press, show, text

FULL = "docker28.5-nft-full"


def test_connections_are_read_while_somebody_looks(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        assert not app.feed.watched.flows
        await press(pilot, "9")
        assert app.feed.watched.flows
        assert "reading flows…" in text(app)
        await press(pilot, "4")
        assert not app.feed.watched.flows

    show(replace(host(FULL), live=True, flows=None), scene, (80, 24))


def test_enter_leads_to_the_rule_or_the_proxy(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        panes = dashboard(pilot).panes
        await press(pilot, "9", "slash", *"48048", "enter", "enter")
        assert panes.places.view.name == "rules"
        assert "--dport 8080" in panes.grid.row.ref.key
        await press(pilot, "9", "escape", "slash", *"34574", "enter", "enter")
        assert (panes.places.view.name, panes.grid.row.ref.key) == ("proxies", "22849")

    show(host(FULL), scene, (120, 40))


def test_c_captures_the_connection(host: Callable[[str], Host]) -> None:
    view = HostView(host(FULL))

    def points(word: str):
        (flow,) = [one for one in view.rows(FLOWS).things if word in one.key]
        return _plan(view, ref_of(flow)).points

    assert {str(ip) for ip in points("48048")[0].clauses[0].peers} == {"203.0.113.1"}, "from the client to the port"
    assert ("tcp", 8080) in points("48048")[-1].clauses[-1].ports
    assert points("34574")[0].clauses[0].peers is None, "behind the proxy the client is not seen"
    assert {str(ip) for ip in points("198.51.100.1")[0].clauses[0].peers} == {"198.51.100.1"}, "its way out"


def test_t_traces_it_as_it_is_and_as_a_new_one(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "9", "slash", *"48048", "enter", "t")
        assert isinstance(app.screen, Walk)
        asked = [usual.question for usual in app.screen.questions.usual]
        assert [(str(one.src), one.sport, one.dport) for one in asked] == [
            ("203.0.113.1", 48048, 8080),
            ("203.0.113.1", None, 8080),
        ]
        assert "as it is now: 203" in text(app)

    show(host(FULL), scene, (120, 40))


def test_connections_are_grouped_by_container_port_and_peer(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        def headlines() -> list[str]:
            return [row.cells[0].text for row in dashboard(pilot).panes.grid.listing if row.ref.kind == "project"]

        await press(pilot, "9", "z")
        assert {"▾ web", "▾ c1"} <= set(headlines())
        assert "by container" in text(app)
        await press(pilot, "g")
        assert "connections by container" in text(app), "the card names those of the group"
        await press(pilot, "z")
        assert "▾ web 8080/tcp" in headlines()
        await press(pilot, "z")
        assert "▾ 203.0.113.1" in headlines()
        await press(pilot, "g", "enter")
        assert any(name.startswith("▸ ") for name in headlines())
        await press(pilot, "z")
        assert headlines() == []

    show(host(FULL), scene, (120, 40))


def test_one_between_two_containers_stands_under_both(host: Callable[[str], Host]) -> None:
    web, c1 = (ip_address(ip) for ip in ("172.17.0.2", "10.66.0.3"))
    ends = Ends(web, 1, c1, 80), Ends(c1, 80, web, 1)
    both = TrackedFlow("tcp", *ends, replied=True, state="ESTABLISHED", seconds=100)

    async def scene(pilot, app):
        await press(pilot, "9", "z")
        listing = dashboard(pilot).panes.grid.listing
        assert [row.ref.kind for row in listing] == ["project", "flow"] * 2
        assert {row.cells[0].text for row in listing if row.ref.kind == "project"} == {"▾ c1", "▾ web"}
        assert listing.matching == 1
        await press(pilot, "g", "enter")
        listing = dashboard(pilot).panes.grid.listing
        assert [row.ref.kind for row in listing] == ["project", "project", "flow"]
        assert (listing.folded, listing.matching) == (1, 1)

    show(replace(host(FULL), flows=(both,)), scene, (120, 40))


def test_what_is_to_be_known_of_all_stands_in_the_pane(host: Callable[[str], Host]) -> None:
    base = host(FULL)
    sysctls = {
        **(base.sysctls or {}),
        "net.netfilter.nf_conntrack_acct": "0",
        "net.netfilter.nf_conntrack_max": "100",
        "net.netfilter.nf_conntrack_count": "85",
    }

    async def scene(pilot, app):
        await press(pilot, "9")
        assert "sysctl -w net.netfilter.nf_conntrack_acct=1" in text(app)
        assert "fills up: 85 of 100" in text(app)
        await press(pilot, "1")
        assert "fills up" not in text(app)

    show(replace(base, sysctls=sysctls), scene, (120, 40))


def test_the_top_talkers_come_first_when_sorted(host: Callable[[str], Host]) -> None:
    base = host(FULL)
    counted = tuple(
        replace(entry, counts=(Counted(1, 1_000 * at), Counted(1, 0)), rate=1_000.0 * at)
        for at, entry in enumerate(base.flows or (), 1)
    )

    async def scene(pilot, app):
        await press(pilot, "9", *":sort rate", "enter", "S", "z", "z", "z")
        grid = dashboard(pilot).panes.grid
        head = grid.listing[0]
        assert head.ref.kind == "project"
        rates = [row.sort[8] for row in grid.listing if row.ref.kind == "flow"]
        assert rates[0] == max(rates)
        assert "kB/s" in head.why.text

    show(replace(base, flows=counted), scene, (120, 40))


def test_a_sum_says_how_many_connections_are_not_counted(host: Callable[[str], Host]) -> None:
    base = host(FULL)
    first, *others = flows(base)
    entry = replace(first.entry, counts=(Counted(1, 1_000), Counted(1, 0)))
    rows = FLOWS.rows(replace(base, flows=(entry, *(other.entry for other in others))))
    counted = [row for row in rows if row.sort[7] is not None]
    assert FLOWS.sums(list(rows)).endswith(f"{len(rows) - 1} not counted")
    assert FLOWS.sums(counted) == "1000 B"
    assert FLOWS.sums([row for row in rows if row.sort[7] is None]) == ""
