"""What can be copied, and how it reaches the clipboard."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.collect.ssh import Address
from netdash.model.host import Host, Verb
from netdash.tui import copy as clipboard
from netdash.tui.copy import choices, osc52, rule_command
from netdash.view.views import VIEWS
from tests.support.tui_hosts import container, crowd, rule
from tests.support.tui_stage import press, show, text

ROOT = Path(__file__).parents[2]

VIEW = {view.name: view for view in VIEWS}


def offers(host: Host, view: str, at: int = 0) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label, told in choices(host, VIEW[view], VIEW[view].rows(host).things[at]):
        found.setdefault(label, []).append(told)
    return found


def test_container() -> None:
    found = offers(crowd(3), "containers", 1)
    assert found["address"] == ["10.8.0.3"]
    assert found["address:port"] == ["0.0.0.0:20001"]
    assert "docker inspect web-1" in found["command"]
    assert json.loads(found["JSON"][0])["container"]["name"] == "web-1"


def test_a_command_for_another_host_goes_there() -> None:
    host, view = crowd(3), VIEW["containers"]
    where = Address("root@box:2222", "box", "root", 2222)
    there = choices(host, view, view.rows(host).things[1], where.there)
    assert ("command", "ssh -p 2222 root@box 'docker inspect web-1'") in there
    assert ("name", "web-1") in there


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


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: the path of a socket has 108 bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="no tmux")
@pytest.mark.parametrize("switch", ["external", "off"])
def test_in_tmux_as_it_comes_the_text_arrives_and_what_was_done_is_said(folder: Path, switch: str) -> None:
    """Without $TMUX, as under sudo."""

    def tmux(*command: str) -> str:
        argv = ["tmux", "-f", "/dev/null", "-S", str(folder / "socket"), *command]
        env = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT, env=env).stdout

    def shown(text: str) -> str:
        for _ in range(200):
            seen = tmux("capture-pane", "-p")
            if text in seen:
                return seen
            time.sleep(0.1)
        raise AssertionError(f"{text!r} is not in {seen!r}")

    tmux("new-session", "-d", "-x", "120", "-y", "40", f"env -u TMUX {sys.executable} -m netdash demo")
    try:
        tmux("set", "-s", "set-clipboard", switch)
        shown("youthful_volhard")
        tmux("send-keys", "y")
        shown("copy")
        tmux("send-keys", "Enter")
        shown("copied to tmux, which passes it" if switch == "external" else "copied to tmux only")
        assert re.fullmatch(r"[0-9.]+", tmux("show-buffer"))
    finally:
        tmux("kill-server")


def test_only_a_socket_in_a_folder_of_that_user_is_spoken_to(folder: Path) -> None:
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert clipboard.is_of(str(path), os.geteuid())
        assert not clipboard.is_of(str(path), os.geteuid() + 1)
        folder.chmod(0o777)
        assert not clipboard.is_of(str(path), os.geteuid())
        folder.chmod(0o700)
        (folder / "link").symlink_to(path)
        assert not clipboard.is_of(str(folder / "link"), os.geteuid())
        assert not clipboard.is_of(str(folder / "none"), os.geteuid())
    assert clipboard.find({"TMUX": f"{folder}/none,1,0"}) is None or shutil.which("tmux")


@pytest.mark.parametrize("key", ["w", "m"])
def test_a_copied_picture_has_real_line_breaks_and_no_other_control_character(
    key: str, host: Callable[[str], Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr(clipboard, "put", lambda screen, text, say: copied.append(text))
    known = host("forward-drop-ahead")
    (one,) = known.containers or ()
    hostile = replace(known, containers=(replace(one, name="a\nb\x1b[2J"),))

    async def scene(pilot, app):
        await press(pilot, key, "y")

    show(hostile, scene)
    lines = copied[0].split("\n")
    assert len(lines) > 3
    assert all(line.isprintable() for line in lines)
    assert r"a\x0ab\x1b[2J" in copied[0]


@pytest.mark.parametrize(("name", "told"), [("xterm", "OSC 52"), ("linux", "has no clipboard")])
def test_what_was_done_is_said(name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", name)

    async def scene(pilot, app):
        await press(pilot, "y", "enter")
        assert told in text(app)
        await press(pilot, "t", "y", "enter")
        assert told in text(app)

    show(crowd(3), scene)
