"""What can be copied, and how it reaches the clipboard."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace

import pytest

from netdash.core.model import Host, Verb
from netdash.show.views import VIEWS
from netdash.tui.copy import choices, osc52, rule_command
from tests.tui_hosts import container, crowd, rule

VIEW = {view.name: view for view in VIEWS}


def offers(host: Host, view: str, at: int = 0) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label, text in choices(host, VIEW[view], VIEW[view].rows(host).things[at]):
        found.setdefault(label, []).append(text)
    return found


def test_container() -> None:
    found = offers(crowd(3), "containers", 1)
    assert found["address"] == ["10.8.0.3"]
    assert found["address:port"] == ["0.0.0.0:20001"]
    assert "docker inspect web-1" in found["command"]
    assert json.loads(found["JSON"][0])["container"]["name"] == "web-1"


def test_rule_with_the_command_that_shows_it() -> None:
    found = offers(crowd(3), "rules", 1)
    assert found["rule"][0].startswith("-A DOCKER ! -i docker0")
    assert found["command"] == ["iptables-nft -t nat -vnL DOCKER --line-numbers"]
    one = rule(1, "-j ACCEPT", Verb.ACCEPT)
    assert rule_command(replace(one, family="ip6", backend="iptables-legacy")).startswith("ip6tables-legacy -t nat")
    native = replace(one, family="ip", table="docker-bridges", chain="a", backend="nft")
    assert rule_command(native) == "nft -a list chain ip docker-bridges a"


@pytest.mark.parametrize("chain", ["a; flush ruleset", "a b", "-f", "x\nflush ruleset", "{", "\x1b[2J"])
def test_a_name_that_nft_would_read_as_its_own_language_gives_no_command(chain: str) -> None:
    for changed in ({"chain": chain}, {"table": chain}, {"family": chain}):
        shown = rule_command(replace(rule(1, "-j ACCEPT", Verb.ACCEPT), backend="nft", **changed))
        assert shown.startswith("# no safe command: ")
        assert shown.isprintable()


@pytest.mark.parametrize(
    "name", ["docker28.5-nft-full", "docker29.7-nftables-full", "podman5.8-nftables", "su1", "masq-missing"]
)
def test_everything_that_is_listed_can_be_copied(host: Callable[[str], Host], name: str) -> None:
    known = host(name)
    for view in VIEWS:
        for thing in view.rows(known).things:
            found = choices(known, view, thing)
            assert found[-1][0] == "JSON"
            json.loads(found[-1][1])
            assert all(text for _, text in found)


def test_names_are_quoted_for_the_shell() -> None:
    host = replace(crowd(0), containers=(container(0, name="a; rm -rf /"),))
    for command in offers(host, "containers")["command"]:
        assert shlex.split(command)[-1] in ("a; rm -rf /", "addr")


def payload(sequence: str) -> str:
    found = re.search(r"52;c;([A-Za-z0-9+/=]*)", sequence)
    assert found
    return base64.b64decode(found.group(1)).decode("utf-8")


def test_clipboard_of_a_plain_terminal() -> None:
    assert osc52("10.0.0.1 名", {}) == "\x1b]52;c;MTAuMC4wLjEg5ZCN\x07"
    assert payload(osc52("10.0.0.1 名", {})) == "10.0.0.1 名"


def test_clipboard_through_tmux() -> None:
    wrapped = osc52("x", {"TMUX": "/tmp/tmux-0/default,1,0"})
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\")


def test_clipboard_through_screen_is_cut_into_strings_that_join() -> None:
    wrapped = osc52("y" * 500, {"STY": "1.pts"})
    parts = re.findall(r"\x1bP(.*?)\x1b\\", wrapped, re.S)
    assert max(map(len, parts)) <= 76
    assert payload("".join(parts)) == "y" * 500
