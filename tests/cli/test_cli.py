"""The command line: arguments, exit codes, what goes where, and what a command loads."""

from __future__ import annotations

import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash import __version__
from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.cli import lists, main, printing
from netdash.cli.feeds import LiveFeed, StillFeed
from netdash.engine.first_answer import First
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Host
from netdash.model.index import find_container
from netdash.model.kernel_state import NOTHING
from tests.cli.conftest import Ran
from tests.conftest import DEMO, RECORDINGS, ROOT

FULL = str(RECORDINGS / "docker28.5-nft-full")


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ("--from", FULL, "ports", "web", "--json"),
        ("ports", "--from", FULL, "--json", "web"),
        ("ports", "web", "--json", "--from", FULL),
        ("--interval", "3", "ports", "--json", "web", "--from", FULL),
    ],
)
def test_options_may_stand_anywhere(arguments: tuple[str, ...], ran: Callable[..., Ran]) -> None:
    code, out, notes = ran(*arguments)
    assert (code, notes) == (0, "")
    assert {entry["container"] for entry in json.loads(out)["ports"]} == {"web"}


def test_filter_words_stand_on_both_sides_of_an_option(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("rules", "chain:DOCKER", "--json", "9000", "!drop", "--from", FULL)
    found = json.loads(out)["rules"]
    assert code == 0
    assert {rule["chain"] for rule in found} == {"DOCKER"}
    assert all("9000" in rule["text"] for rule in found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "no command 'nonsense'"),
        (("ports", "--nonsense"), "'--nonsense'"),
        (("show",), "CONTAINER"),
        (("show", "web", "more", "--from", FULL), "'more'"),
        (("--interval", "0", "ports"), "from 0.2 to 3600"),
        (("--interval", "nan", "ports"), "from 0.2 to 3600"),
        (("ports", "--free", "0", "--from", FULL), "is not a port"),
        (("ports", "--free", "65536", "--from", FULL), "is not a port"),
        (("ports", "--free", "80/icmp", "--from", FULL), "is not a port"),
        (("ports", "--free", "٨٠", "--from", FULL), "is not a port"),
        (("show", "wbe", "--from", FULL), "did you mean web?"),
        (("show", "", "--from", FULL), "no container ''"),
        (("show", "\x1b[31m", "--from", FULL), "\\x1b[31m"),
        (("demo",), "needs a terminal"),
        ((), "needs a terminal"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: tuple[str, ...], said: str, ran: Callable[..., Ran]) -> None:
    code, out, notes = ran(*arguments)
    assert code == Exit.USAGE
    assert out == ""
    assert said in notes
    assert notes.startswith("netdash: ")
    assert notes.count("\n") == 1
    assert notes.strip().isprintable()


def test_a_missing_bundle_is_told_in_one_line(ran: Callable[..., Ran]) -> None:
    code, out, notes = ran("ports", "--from", "/nowhere")
    assert (code, out, notes.count("\n")) == (Exit.UNREADABLE, "", 1)


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([argument]) == 0
    assert ("netdash " + __version__ in capsys.readouterr().out) == (argument == "--version")


# --- exit codes and streams -------------------------------------------------------------------------------------------


def test_a_list_that_could_not_be_read_is_null_and_exit_3(ran: Callable[..., Ran]) -> None:
    bundle = str(RECORDINGS / "dockerd-down-live-restore")
    code, out, notes = ran("containers", "--json", "--from", bundle)
    assert code == Exit.UNREADABLE
    assert json.loads(out)["containers"] is None
    assert json.loads(out)["unknown"] == {"docker": "not in this recording"}
    assert notes == "note: docker: not in this recording\n"
    assert ran("containers", "--from", bundle)[:2] == (Exit.UNREADABLE, "")
    assert ran("show", "web", "--from", bundle)[0] == Exit.UNREADABLE
    code, out, _ = ran("ports", "--from", bundle)
    assert code == Exit.UNREADABLE
    assert out  # this host's sockets were read: which ports the engine has published is not known
    code, out, _ = ran("reach", "--from", bundle)
    assert (code, "none there" in out) == (Exit.UNREADABLE, False)
    assert ran("rules", "--from", bundle)[0] == Exit.FINE


def test_nothing_to_list_is_fine_and_said_on_stderr(ran: Callable[..., Ran]) -> None:
    assert ran("rules", "nothing-like-this", "--from", FULL) == (0, "", "note: nothing matches the filter\n")


@pytest.mark.parametrize(
    ("port", "code", "said"),
    [
        ("8080", 1, "8080/tcp is taken by web (0.0.0.0:8080, [::]:8080; docker-proxy 20911, 20916)"),
        ("8101", 0, "is free"),
        ("8080/udp", 0, "8080/udp is free"),
        ("8099", 0, "c-exited"),
    ],
)
def test_free_says_who_has_a_port(port: str, code: int, said: str, ran: Callable[..., Ran]) -> None:
    answer = ran("ports", "--free", port, "--from", FULL)
    assert answer[0] == code
    assert said in answer[1]
    assert ("next free: " in answer[1]) == (code == 1)
    assert json.loads(ran("ports", "--json", "--free", port, "--from", FULL)[1])["port"]["free"] is (code == 0)


def test_a_port_is_not_called_free_when_sockets_are_unknown(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    (tmp_path / "ip").mkdir()
    (tmp_path / "ip" / "addr.json").write_text("[]")
    code, out, _ = ran("ports", "--free", "80", "--from", str(tmp_path))
    assert code == Exit.UNREADABLE
    assert "not known" in out


@pytest.mark.parametrize("name", ["web", "/web", "8a62f691cf9e", "8a62", "8A62F6"])
def test_a_container_is_found_by_name_and_by_id(name: str, ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("show", name, "--json", "--from", FULL)
    assert code == 0
    assert json.loads(out)["container"]["name"] == "web"


def test_an_id_that_many_begin_with_is_refused(host: Callable[[str], Host]) -> None:
    firsts = [one.id[0] for one in host("docker28.5-nft-full").containers or ()]
    shared = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(NetdashError, match="begins the ids of"):
        find_container(host("docker28.5-nft-full"), shared)


def test_a_recording_of_a_recording_is_the_same(tmp_path: Path, ran: Callable[..., Ran]) -> None:
    for target in (tmp_path / "copy", tmp_path / "copy.tar.gz"):
        code, out, notes = ran("record", str(target), "--from", str(DEMO))
        assert (code, out) == (0, "")
        assert f"in {target}" in notes
        assert load(target).answers.keys() == load(DEMO).answers.keys()
        assert ran("record", str(target), "--from", str(DEMO))[0] == Exit.REFUSED


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch, ran: Callable[..., Ran]) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(lists, "list_view", interrupt)
    assert ran("ports") == (Exit.INTERRUPTED, "", "")


# --- in a process of its own ------------------------------------------------------------------------------------------


def process(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("program", "code", "out"),
    [
        ("print('a', end=''); printing.leave(3)", 3, "a"),
        ("atexit.register(print, 'b'); printing.leave(0)", 0, "b\n"),
        ("threading.Thread(target=lambda: (time.sleep(0.2), print('c'))).start(); printing.leave(0)", 0, "c\n"),
        ("sys.stdout = open('/dev/full', 'w'); print('d'); printing.leave(0)", 120, ""),
    ],
    ids=["buffered", "registered", "threads", "full"],
)
def test_a_command_that_ends_at_once_loses_nothing(program: str, code: int, out: str) -> None:
    done = process("-c", f"import atexit, sys, threading, time; from netdash.cli import printing; {program}")
    assert (done.returncode, done.stdout) == (code, out)


def test_a_recording_needs_no_third_party_package() -> None:
    program = (
        "import sys; from netdash.cli.main import main; main(['ports', '--json', '--from', sys.argv[1]]);"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('textual', 'rich', 'docker', 'requests')], file=sys.stderr)"
    )
    done = process("-c", program, FULL)
    assert json.loads(done.stdout)["schema"] == 1
    assert done.stderr == "[]\n"


def test_a_reader_that_has_seen_enough_is_not_told_of_it() -> None:
    command = f"{sys.executable} -m netdash rules --from {FULL} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=30, check=True)
    assert done.stdout == "141\n"  # not 0: of drift that would mean that nothing was found
    assert done.stderr == ""


def test_a_locale_without_arrows_is_no_error() -> None:
    done = process("-m", "netdash", "show", "web", "--from", FULL, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert "172.17.0.2:80" in done.stdout


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colour_and_its_own_width(no_colour: str, coloured: bool) -> None:
    main_end, terminal = pty.openpty()
    environment = {**os.environ, "NO_COLOR": no_colour, "COLUMNS": "80", "TERM": "xterm"}
    with os.fdopen(main_end, "rb", closefd=True) as screen:
        with os.fdopen(terminal, "wb") as stdout:
            subprocess.run(
                [sys.executable, "-m", "netdash", "networks", "--from", FULL],
                stdout=stdout,
                env=environment,
                cwd=ROOT,
                timeout=30,
                check=True,
            )
        shown = os.read(screen.fileno(), 65536).decode()
    assert ("\x1b[" in shown) == coloured
    if not coloured:
        assert max(map(len, shown.splitlines())) <= 80


# --- feeds ------------------------------------------------------------------------------------------------------------


class Reader:
    """Publishes when the test says so."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.started = threading.Event()

    def start(self, publish: Callable[[Recording], None]) -> None:
        self.publish = publish
        self.calls.append("start")
        self.started.set()

    def refresh(self) -> None:
        self.calls.append("refresh")

    def stop(self) -> None:
        self.calls.append("stop")


class Asked:
    """The engine's first answers, at once."""

    def take(self, seconds: float) -> First:
        return First({"docker/containers.json": [], "docker/version.json": {}}, date="now", heard=1.0)


def test_a_live_feed_shows_the_first_answers_and_reads_the_rest_when_the_screen_is_up() -> None:
    reader, seen, firsts = Reader(), [], []

    def make(first: First | None) -> Reader:
        firsts.append(first)
        return reader

    feed = LiveFeed(make, Asked())
    feed.start(lambda host: seen.append((host.name, "rules" in host.pending)))
    feed.refresh()  # nothing reads yet
    feed.shown()
    assert reader.started.wait(20)
    reader.publish(Recording({}, hostname="second"))
    feed.refresh()
    feed.stop()
    reader.publish(Recording({}, hostname="too late"))
    assert seen == [(socket.gethostname(), True), ("second", False)]
    assert [first.date for first in firsts] == ["now"]
    assert reader.calls == ["start", "refresh", "stop"]


def test_a_still_feed_publishes_once(host: Callable[[str], Host]) -> None:
    seen: list[Host] = []
    feed = StillFeed(host("su1"))
    feed.start(seen.append)
    feed.shown()
    feed.refresh()
    feed.stop()
    assert seen == [host("su1")]
    assert not feed.live


def test_the_demo_ships_in_the_package() -> None:
    assert load(main.demo_bundle()).answers


def test_a_failure_with_control_characters_is_told_clean(capsys: pytest.CaptureFixture[str]) -> None:
    printing.print_error(NetdashError("no\x1b[2J\nway", "try\x07"))
    assert capsys.readouterr().err == "netdash: no\\x1b[2J\\x0away (try\\x07)\n"


def test_two_recordings_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--from", "a", "--from", "b", "ports"], ["--from", "a", "ports", "--from", "b"]):
        assert main.main(argv) == Exit.USAGE
        assert "--from names one recording, and is given twice" in capsys.readouterr().err


def test_a_filter_with_a_key_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--from", str(DEMO), "rules", "dport:80"]) == Exit.USAGE
    assert "rules has no column 'dport' (did you mean text:80?" in capsys.readouterr().err


def test_the_screen_tells_a_live_feed_what_it_shows_while_a_host_is_handed_over() -> None:
    """It does so at each key, and a host takes long."""
    reader, handing, go_on = Reader(), threading.Event(), threading.Event()

    def publish(_: Host) -> None:
        handing.set()
        assert go_on.wait(20)

    feed = LiveFeed(lambda _: reader)
    feed.start(publish)
    feed.shown()
    assert reader.started.wait(20)
    builder = threading.Thread(target=reader.publish, args=(Recording({}, hostname="slow"),))
    builder.start()
    assert handing.wait(20)
    screen = threading.Thread(target=lambda: (feed.watch(NOTHING), feed.stop()), daemon=True)
    screen.start()
    screen.join(20)
    waited = screen.is_alive()
    go_on.set()
    builder.join(20)
    assert not waited
