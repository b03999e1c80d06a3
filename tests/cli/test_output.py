"""How lists are printed: columns, CSV, what a terminal folds; help, configuration, completion."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.bundle.storage import load
from netdash.cli import completion
from netdash.cli.command_arguments import LISTS
from netdash.cli.parser import _EXAMPLES, _GROUPS, command_line, parse
from netdash.join.host import Builder
from netdash.model.errors import Exit
from netdash.tui.actions import KEYS
from netdash.tui.config import load_config
from netdash.view import terminal
from netdash.view.text import SafeText, width
from netdash.view.views import BY_NAME, VIEWS
from tests.cli.conftest import Ran
from tests.conftest import RECORDINGS
from tests.support import schemas

FULL = str(RECORDINGS / "docker28.5-nft-full")


def on_terminal(bundle: str, name: str, room: int = 80, every: bool = False) -> list[SafeText]:
    host = Builder().build(load(Path(bundle)))
    view = BY_NAME[name]
    return list(terminal.listing(view, list(view.rows(host)), terminal.How(room, False, every=every)))


# --- columns and forms ------------------------------------------------------------------------------------------------


def test_chosen_columns_stand_in_their_order(ran: Callable[..., Ran]) -> None:
    code, out, _ = ran("ports", "container:web", "--columns", "container,port", "--no-headers", "--from", FULL)
    assert code == 0
    assert {tuple(line.split()) for line in out.splitlines()} == {("web", "8080")}


def test_a_column_that_does_not_exist_is_refused_with_the_nearest(ran: Callable[..., Ran]) -> None:
    code, out, notes = ran("ports", "--columns", "prt", "--from", FULL)
    assert (code, out) == (Exit.USAGE, "")
    assert "did you mean port?" in notes


@pytest.mark.parametrize(("name", "key"), [("containers", "in"), ("containers", "traffic"), ("flows", "container")])
def test_a_column_of_the_dashboard_alone_is_refused_rather_than_left_out(
    name: str, key: str, ran: Callable[..., Ran]
) -> None:
    code, out, notes = ran(name, "--columns", key, "--from", FULL)
    assert (code, out) == (Exit.USAGE, "")
    assert f"{name} has no column '{key}'" in notes


@pytest.mark.parametrize("name", ["containers", "ports", "networks", "proxies"])
def test_csv_has_a_record_a_row(name: str, ran: Callable[..., Ran]) -> None:
    code, out, _ = ran(name, "-o", "csv", "--from", FULL)
    records = list(csv.reader(io.StringIO(out)))
    listed = ran(name, "-o", "json", "--from", FULL)[1]
    assert code == 0
    assert {len(record) for record in records} == {len(records[0])}
    assert len(records) - 1 == len(json.loads(listed)[name])


def test_csv_holds_no_formula() -> None:
    assert [terminal._no_formula(text) for text in ("=1+1", "@x", "web", "—")] == ["'=1+1", "'@x", "web", "—"]


# --- what a terminal folds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rules", "routes", "ports", "drift"])
@pytest.mark.parametrize("bundle", [FULL, str(RECORDINGS / "dnat-missing-proxied")])
def test_no_line_is_wider_than_the_terminal(name: str, bundle: str) -> None:
    assert max((width(line) for line in on_terminal(bundle, name)), default=0) <= 80


def test_routes_fold_the_local_table_and_say_so() -> None:
    folded, every = on_terminal(FULL, "routes"), on_terminal(FULL, "routes", every=True)
    assert " local " not in "".join(folded[:-1])
    left = len(every) - (len(folded) - 1)
    assert folded[-1] == f"… {left} more of the local table and of link-local addresses: netdash routes --all"


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        ({"bind": "::", "rule": "—"}, 1),
        ({"bind": "::"}, 1),
        ({"bind": "::", "rule": "nat/DOCKER #99"}, 2),
        ({"bind": "127.0.0.1", "scope": "loopback", "rule": "—"}, 2),
    ],
)
def test_a_port_folds_only_with_one_that_others_reach_alike(other: dict[str, str], rows: int) -> None:
    view = BY_NAME["ports"]
    found = view.rows(Builder().build(load(Path(FULL))))
    first = next(row for row in found if terminal._cells(view, row)["rule"].startswith("nat/DOCKER"))
    told, _ = terminal._ports(view, [first, terminal._with(view, first, other)])
    assert len(told) == rows
    assert {terminal._cells(view, row)["scope"] for row in told} >= {other.get("scope", "all")}


def test_a_rule_says_what_it_asks_and_does_at_80_cells() -> None:
    lines = on_terminal(FULL, "rules")
    at = lines.index(SafeText("nat/DOCKER"))
    line = next(line for line in lines[at:] if line.split()[0] == "9")
    assert line.split() == "9 ! -i docker0 -p tcp --dport 8080 DNAT → 172.17.0.2:80 1".split()


def test_a_detail_that_is_known_of_no_process_is_no_column_of_question_marks() -> None:
    head, *rows, note = on_terminal(FULL, "proxies")
    assert "MEMORY" not in head
    assert not any("?" in row for row in rows)
    assert note == "… memory of the processes: not read"


@pytest.mark.parametrize("every", [False, True])
def test_the_pid_of_a_proxy_is_never_cut(every: bool) -> None:
    assert any(" proxy 20911 " in line for line in on_terminal(FULL, "ports", every=every))


def test_what_is_wrong_with_a_port_stands_in_its_row() -> None:
    missing = on_terminal(str(RECORDINGS / "dnat-missing-proxied"), "ports")
    assert missing[1].endswith("no DNAT · ● yes")
    dead = on_terminal(str(RECORDINGS / "proxy-dead"), "ports")
    assert dead[2].endswith("✗ not forwarded")


def test_a_filter_for_how_rows_fare_asks_the_doctor(ran: Callable[..., Ran]) -> None:
    broken = str(RECORDINGS / "forward-drop-ahead")
    for name in ("containers", "ports", "networks"):
        code, out, _ = ran(name, "is:broken", "--from", broken, "-o", "csv", "--no-headers")
        assert (code, bool(out)) == (0, True), name
    assert ran("containers", "is:broken", "--host", "ssh://a", "--host", "ssh://b")[0] == Exit.USAGE


def test_reach_is_a_line_a_port_and_all_of_it_for_one_container(ran: Callable[..., Ran]) -> None:
    _, out, _ = ran("reach", "--from", FULL)
    lines = out.splitlines()
    assert "web 203.0.113.2:8080/tcp published ✓ ok ✓ ok 12 of 17, 1 ?" in {" ".join(line.split()) for line in lines}
    assert len(lines) == 1 + len(schemas.loads("reach", ran("reach", "--json", "--from", FULL)[1])["aims"])
    _, out, _ = ran("reach", "web", "--from", FULL)
    assert "by filter/DOCKER-ISOLATION-STAGE-2 #9" in out
    assert not [line for line in out.splitlines() if "+" in line], "nobody is counted instead of named"
    aims = schemas.loads("reach", ran("reach", "web", "--json", "--from", FULL)[1])["aims"]
    assert len({aim["container"] for aim in aims}) == 1


def test_why_a_rule_is_missed_is_never_cut() -> None:
    text = " ".join(" ".join(on_terminal(str(RECORDINGS / "dnat-missing-proxied"), "drift")).split())
    assert "takes 8080/tcp to web at 172.17.0.2 port 80" in text
    assert "leaves what containers on bridge send to published ports to the proxy" in text


def test_flushed_rules_are_one_line() -> None:
    flushed = str(RECORDINGS / "iptables-flush")
    lines = on_terminal(flushed, "drift")
    missing = sum(line.startswith("missing") for line in on_terminal(flushed, "drift", every=True))
    assert lines[0] == f"✗ all of the engine's chains are gone: {missing} rules"
    assert "unless it runs with --iptables=false" in lines[1]  # nothing that is read tells the two apart
    assert len(lines) == 3


# --- help, version, configuration -------------------------------------------------------------------------------------


def test_help_lists_every_command_once_and_fits(ran: Callable[..., Ran]) -> None:
    names = [name for commands in _GROUPS.values() for name in commands]
    assert sorted(names) == sorted(set(names))
    known = set(command_line().commands())
    assert known <= set(names)
    code, out, _ = ran("--help")
    assert code == 0
    assert all(f"\n  {name} " in out for name in known)
    assert max(map(len, out.splitlines())) <= 84
    assert "--demo-without-engine" not in out


def test_each_list_is_a_command() -> None:
    assert tuple(view.name for view in VIEWS) == LISTS


@pytest.mark.parametrize("command", sorted(_EXAMPLES))
def test_the_help_of_a_command_has_examples_that_work_and_exit_codes(command: str, ran: Callable[..., Ran]) -> None:
    code, out, _ = ran(*filter(None, [command, "--help"]))
    assert code == 0
    assert "\nexit codes:\n" in out
    for example, _ in _EXAMPLES[command]:
        assert f"\n  {example}" in out
        program, *words = shlex.split(example.removeprefix('eval "$(').removesuffix(')"'))
        assert program == "netdash"
        assert (parse(words).command or "") == command or not command


def test_the_help_of_a_list_names_its_keys(ran: Callable[..., Ran]) -> None:
    _, out, _ = ran("ports", "--help")
    keys = [column.key for view in VIEWS if view.name == "ports" for column in view.columns if not column.screen]
    assert ", ".join(keys) in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("contaners",), "containers"),
        (("ports", "--jsno"), "--json"),
        (("trace", "a", "b", "--prov"), "--prove"),
        (("--hots", "x", "ports"), "--host"),
        (("ports", "-o", "jsn"), "json"),
        (("flows", "--by", "contaner"), "container"),
        (("completion", "bsh"), "bash"),
        (("containers", "is:brokn"), "is:broken"),
        (("trace", "outsde", ":80"), "outside, c-routed, c-paused"),
        (("reach", "wbe"), "web"),
    ],
)
def test_a_mistyped_word_is_answered_by_the_nearest(
    words: tuple[str, ...], meant: str, ran: Callable[..., Ran]
) -> None:
    code, _, notes = ran(*words, "--from", FULL)
    assert code == Exit.USAGE or words[-1] == "--prov"  # argparse completes what is unambiguous
    assert f"did you mean {meant}?" in notes or words[-1] == "--prov"


def test_the_printed_configuration_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: Callable[..., Ran]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code, out, _ = ran("config")
    assert code == 0
    assert str(tmp_path / "netdash" / "config.toml") in out
    assert all(f"{key.id} = " in out for key in KEYS)
    everything = "\n".join(line.removeprefix("# ") for line in out.splitlines()[1:])
    assert set(tomllib.loads(everything)) == {
        "interval",
        "mouse",
        "theme",
        "ambiguous",
        "read_only",
        "first_frame",
        "hosts",
        "sudo",
        "keys",
    }
    chosen = tmp_path / "own.toml"
    chosen.write_text('interval = 2\nhosts = ["ssh://a@b"]\n[keys]\nquit = "ctrl+q"\n[columns]\nports = ["port"]\n')
    again = tmp_path / "again.toml"
    again.write_text(ran("config", "--config", str(chosen))[1])
    assert load_config(again) == load_config(chosen)


# --- completion -------------------------------------------------------------------------------------------------------

_NETDASH = f'netdash() {{ {sys.executable} -m netdash "$@"; }}'


def completed(line: str) -> set[str]:
    """What netdash answers a shell that asks how this line may go on."""
    answer, given = os.pipe()
    environment = {
        **os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_STDOUT_FILENAME": f"/dev/fd/{given}",
    }  # fmt: skip
    subprocess.run([sys.executable, "-m", "netdash"], env=environment, pass_fds=(given,), check=True, timeout=60)
    os.close(given)
    with open(answer, encoding="utf-8") as words:
        return {word.strip() for word in words.read().splitlines()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"netdash --from {FULL} show we", {"web"}),
        (f"netdash --from {FULL} trace ou", {"outside"}),
        ("netdash contai", {"containers"}),
        ("netdash ports --jso", {"--json"}),
        ("netdash ports -o w", {"wide"}),
        ("netdash completion ", {"bash", "zsh", "fish"}),
        ("netdash ports --columns port,cont", {"port,container"}),
    ],
)
def test_words_that_may_follow(line: str, words: set[str]) -> None:
    assert completed(line) == words


def test_names_of_this_host_are_not_offered_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_host", lambda _: Builder().build(load(Path(FULL))))
    asked = completion._names("sender")
    assert "web" in asked(Namespace(hosts=["local"]))
    assert asked(Namespace(hosts=["ssh://far"])) == ("host", "outside")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_takes_its_script(shell: str, ran: Callable[..., Ran]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    code, out, _ = ran("completion", shell)
    assert code == 0
    subprocess.run([shell, "-n"], input=out, text=True, check=True, timeout=60)
