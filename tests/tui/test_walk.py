"""The walk of a packet over the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.model.host import Failure, Host
from netdash.trace.model import Verdict
from netdash.tui.app import Netdash
from netdash.tui.config import Options
from netdash.tui.host_view import HostView
from netdash.tui.trace_view import Walk
from tests.support.show_hosts import early
from tests.support.tui_stage import dashboard, press, settle, show, text
from tests.tui.test_screen import compare


def walk_of(app: Netdash) -> Walk:
    assert isinstance(app.screen, Walk)
    return app.screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_walk_on_the_screen(host: Callable[[str], Host], size: tuple[int, int]) -> None:
    seen: list[str] = []

    async def scene(pilot, app):
        await press(pilot, "G", "t", "j")
        seen.append(text(app))

    show(host("docker28.5-nft-full"), scene, size)
    compare(f"walk-{size[0]}x{size[1]}", seen[0])


def test_each_question_has_its_verdict_and_its_own_way(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "t")
        walk = walk_of(app)
        verdicts = [answer.verdict for answer in walk.questions.answers if answer]
        assert verdicts[:3] == [Verdict.DELIVERED, Verdict.PROXY, Verdict.FORWARDED]
        assert "nat/DOCKER #3" in text(app)
        await press(pilot, "j")
        assert "docker-proxy (pid 2672)" in text(app)
        await press(pilot, "l")
        assert "[docker-proxy's own ✓]" in text(app)
        await press(pilot, "h", "g", "j", "j")
        assert "nat/POSTROUTING #1" in text(app)

    show(host("su1"), scene, (120, 70))


def test_a_reason_that_is_longer_than_its_line_is_told_in_full(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "j", "t", "j")
        told = " ".join(text(app).split())
        assert "docker-proxy's connection: 02:42:ac:11:00:02 answers for 172.17.0.2" in told
        assert "the engine gave evil 02:42:ac:11:00:03" in told

    show(host("duplicate-ip"), scene, (80, 24))


def test_what_decides_is_in_view_and_enter_goes_to_the_rule(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "t")
        assert "✗ dropped  filter/DOCKER-USER #2" in text(app)
        await press(pilot, "tab", "enter")
        assert dashboard(pilot).panes.places.view.name == "rules"
        row = dashboard(pilot).panes.grid.row
        assert row is not None
        assert row.cells[1].text == "DOCKER-USER"
        await press(pilot, "minus")
        assert dashboard(pilot).panes.places.view.name == "containers"

    show(host("docker-user-host-port"), scene, (80, 24))


def test_between_two_marked_containers(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "space", "j", "space")
        assert "◆" in text(app)
        assert "trace trusting_shtern → youthful_volhard" in text(app)
        await press(pilot, "t")
        asked = [one.text for one in walk_of(app).questions.usual]
        assert asked == [
            "trusting_shtern → youthful_volhard 172.17.0.2:80",
            "youthful_volhard → trusting_shtern 172.17.0.3:80",
        ]
        await press(pilot, "escape", "space")
        assert "trace trusting_shtern →" not in text(app)

    show(host("su1"), scene)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
def test_what_is_marked_stands_in_the_footer_until_esc(host: Callable[[str], Host], size: tuple[int, int]) -> None:
    def foot(app: Netdash) -> str:
        return text(app).splitlines()[-1]

    async def scene(pilot, app):
        await press(pilot, "space", "j")
        assert "Esc unmark trusting_shtern" in foot(app)
        assert "Space mark another" in foot(app)
        await press(pilot, "space")
        assert "t trace trusting_shtern → youthful_volhard  Esc unmark" in foot(app)
        await press(pilot, "/", *"volhard", "enter", "escape")
        assert "unmark" not in foot(app)
        assert dashboard(pilot).panes.picked == ()
        assert "/volhard" in text(app)
        assert "Esc clear" in foot(app)

    show(host("su1"), scene, size)


def test_a_port_a_rule_and_a_proxy_ask_of_the_port(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        for digit, place in (("2", "G"), ("6", "g"), ("4", "g")):
            await press(pilot, digit, place)
        await press(pilot, "2", "/", *"8080", "enter", "t")
        asked = [one.text for one in walk_of(app).questions.usual]
        assert asked == ["outside → 172.25.34.8:8080", "this host → 127.0.0.1:8080"]
        await press(pilot, "escape", "4", "/", *"chain:DOCKER 8080", "enter", "t")
        assert [one.text for one in walk_of(app).questions.usual] == asked

    show(host("su1"), scene)


def test_a_walk_follows_the_host(host: Callable[[str], Host]) -> None:
    broken = host("docker-user-host-port")
    assert broken.ruleset is not None
    chains = tuple(
        replace(chain, rules=()) if chain.name == "DOCKER-USER" else chain for chain in broken.ruleset.chains
    )
    mended = replace(broken, ruleset=replace(broken.ruleset, chains=chains))

    async def scene(pilot, app):
        await press(pilot, "t")
        assert walk_of(app).answer.verdict is Verdict.DROPPED
        app.host_view = HostView(mended)
        await settle(pilot)
        assert walk_of(app).answer.verdict is Verdict.DELIVERED
        assert "✓ ok  to web" in text(app)

    show(broken, scene)


@pytest.mark.parametrize("known", [(), ("rules",), ("listeners", "proxies", "rules"), ("links", "routes")], ids=str)
@pytest.mark.parametrize("keys", ["t", "2t"])
def test_what_is_not_read_yet_has_no_verdict_and_is_asked_when_it_is(
    host: Callable[[str], Host], known: tuple[str, ...], keys: str
) -> None:
    """Asked in the first moment: what comes from outside is asked as well, and ends where it does on the whole host."""
    whole = replace(host("docker-user-host-port"), live=True)

    async def scene(pilot, app):
        await press(pilot, *keys)
        seen = text(app)
        assert "outside → " in seen
        assert "reading " in seen
        assert not any(mark in seen for mark in ("✓", "✗", "?", "could not be read"))
        await press(pilot, "j")
        here = walk_of(app).questions.usual[1].text
        app.host_view = HostView(whole)
        await settle(pilot)
        walk = walk_of(app)
        assert walk.questions.usual[walk.questions.cursor].text == here
        told = " ".join(text(app).split())
        assert "outside → 203.0.113.2:8080 ✗ dropped filter/DOCKER-USER #2" in told
        assert all(walk.questions.answers)
        await press(pilot, "k")
        assert "outside 1.1.1.1 ─▶ 203.0.113.2:8080/tcp" in text(app)

    show(early("docker-user-host-port", *known), scene, (120, 50))


def test_a_source_that_fails_ends_the_waiting(host: Callable[[str], Host]) -> None:
    whole = replace(host("docker-user-host-port"), live=True)
    failed = replace(whole, ruleset=None, failures={"rules": Failure("rules", "nft: not permitted")})

    async def scene(pilot, app):
        await press(pilot, "t")
        app.host_view = HostView(failed)
        await settle(pilot)
        assert "reading" not in text(app)
        assert "? unknown  the packet filter's rules could not be read" in text(app)

    show(early("docker-user-host-port"), scene, (120, 50))


def test_a_thing_of_no_container_has_no_packets(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "7", "/", *"kind:loopback", "enter", "t")
        assert not isinstance(app.screen, Walk)

    show(host("su1"), scene)


def test_a_recording_without_rules_says_that_it_cannot_tell(host: Callable[[str], Host]) -> None:
    async def scene(pilot, app):
        await press(pilot, "t")
        assert "? unknown" in text(app)
        assert "✓" not in text(app)

    show(replace(host("su1"), ruleset=None), scene, options=Options(theme="netdash"))


@pytest.mark.parametrize(
    ("pressed", "told"),
    [
        (["j"] * 4, "its container has no address"),  # c-none, which runs
        (["j"] * 2, "belongs to no running container"),  # c-exited
        (["2", "j", "space", "j", "space"], "no packet goes between these two"),
        (["5", "slash", *"203.0.113.0", "enter"], "belongs to no container"),
    ],
)
def test_it_is_said_why_there_is_no_packet_to_ask_of(
    pressed: list[str], told: str, host: Callable[[str], Host]
) -> None:
    async def scene(pilot, app):
        await press(pilot, *pressed, "t")
        assert told in text(app)

    show(host("docker28.5-nft-full"), scene, (100, 30))
