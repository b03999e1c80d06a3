"""The collector's stream: read back whole, and whatever is cut, mixed or hostile is missing with a reason."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from netdash.bundle.collector_stream import ASKED, TRACE, parse
from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.errors import NetdashError
from netdash.model.source import SOURCES
from netdash.view import json_host
from netdash.view.views import VIEWS
from tests.conftest import RECORDINGS, ROOT
from tests.support.streams import MARK, section, stream, texts

FILES = {
    "docker/version.json": '{"Version": "28.5.2"}',
    "docker/containers.json": '[{"Id": "aa", "Names": ["/web"]}]',
    "docker/inspect.json": '[{"Id": "aa", "Name": "/web"}]',
    "ip/addr.json": "[]",
    "ip/route4.json": '[{"dst": "default"}]',
    "ip/route6.json": "[]\n",
    "ip/rule4.json": "[]",
    "ip/rule6.json": "[]",
    "ip/neigh.json": "[]",
    "rules/nft.json": '{"nftables": []}',
    "rules/iptables-save.txt": "# v1.8 (nf_tables)\n*nat\n-A X\n\nCOMMIT\n",
    "rules/ip6tables-save.txt": "",
    "host/docker-proxy.txt": "",
    "host/memory.txt": "",
    "host/listeners.txt": "tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:*\n",
    "host/sysctl.txt": "net.ipv4.ip_forward = 1\n",
    "containers/web/addr.json": "[]\n",
    "containers/web/listeners.txt": "tcp LISTEN 0 1 0.0.0.0:80 0.0.0.0:*\n",
    "containers/web/proc-net.txt": "no newline at the end",
}


def of(lines: Sequence[str], mark: str | None = None) -> Recording:
    return parse("\n".join(lines), mark)


def test_every_file_comes_back_byte_for_byte() -> None:
    recording = of(stream(FILES))
    assert texts(recording) == {
        **FILES,
        **{path: json.dumps(json.loads(FILES[path])) for path in FILES if "docker/" in path},
    }
    assert (recording.hostname, recording.taken, recording.privileged) == ("su1", 1_700_000_000.0, True)
    assert recording.failures == {}


@pytest.mark.parametrize("name", ["docker20.10-nft-full", "docker29.7-nftables-full", "legacy-nft-mix"])
def test_a_stream_shows_the_same_host_as_the_bundle(name: str) -> None:
    bundle = load(RECORDINGS / name)
    both = [Builder().build(one) for one in (bundle, of(stream(texts(bundle), (*ASKED, TRACE))))]
    for view in VIEWS:
        mine, theirs = (json_host.list_view(host, view, view.rows(host).things) for host in both)
        assert {**mine, "unknown": None} == {**theirs, "unknown": None}, view.name


def test_what_is_counted_down_is_no_change() -> None:
    """Two readings of a host on which nothing changed are equal, as those of this machine are."""

    def read(seconds: int, lease: int = 4294967295) -> Recording:
        address = f'"local": "10.0.0.9","valid_life_time":{seconds},"preferred_life_time":{lease}'
        timers = f'"linkinfo": {{"info_data": {{"gc_timer": {seconds}.01, "hello_timer":{seconds}}}}}'
        link = f'[{{"ifname": "br9", {timers}, "addr_info": [{{{address}}}]}}]'
        route = f'[{{"dst":"fd00::/64","dev":"br9","expires":{seconds},"pref":"medium"}}]'
        inside = f"## addr.json\n{link}\n## route.json\n{route}\n"
        return of(stream({**FILES, "ip/addr.json": link, "ip/route6.json": route, "containers/web/inside.txt": inside}))

    before, after = read(1790), read(86)
    assert before.answers == after.answers != read(86, 0).answers, "one that is not preferred any more differs"
    for folder, routes in (("ip", "route6"), ("containers/web", "route")):
        (link,) = json.loads(str(before.answers[f"{folder}/addr.json"]))
        assert link["addr_info"] == [{"local": "10.0.0.9", "preferred_life_time": 4294967295}]
        (route,) = json.loads(str(before.answers[f"{folder}/{routes}.json"]))
        assert route == {"dst": "fd00::/64", "dev": "br9", "pref": "medium"}


def test_a_cut_stream_is_missing_what_is_cut_and_never_shorter() -> None:
    lines = stream(FILES)
    whole = of(lines)
    for cut in range(2, len(lines) - 2):
        recording = of(lines[:cut])
        for path, answer in recording.answers.items():
            assert answer == whole.answers[path], (cut, path)
        for source in SOURCES:
            all_there = all(path in recording.answers for path in whole.answers if path in SOURCES[source])
            assert all_there or "cut off" in recording.failures[source].reason, (cut, source)


def test_half_a_line_is_a_cut_too() -> None:
    text = "\n".join(stream(FILES))
    half = parse(text[: text.index("-A X") + 2])
    assert "rules/iptables-save.txt" not in half.answers
    assert "rules" in half.failures
    assert "cut off" in parse(text[: text.rindex("done") + 3]).failures["inside"].reason


@pytest.mark.parametrize("noise", [["Welcome to su1!", "", "|oops", "=abc123 done"], ["42"], ["x" * 5000, "\x1b[31m"]])
def test_other_output_before_it_does_not_matter(noise: list[str]) -> None:
    assert of([*noise, *stream(FILES)]).answers == of(stream(FILES)).answers


def test_lines_may_end_as_a_terminal_ends_them() -> None:
    assert parse("\r\n".join(stream(FILES))).answers == of(stream(FILES)).answers


def test_output_in_between_damages_the_file_that_it_is_in() -> None:
    lines = stream(FILES)
    at = lines.index("|*nat")
    for mixed in (["broadcast message"], ["7"], [f"={MARK}x end y"]):
        recording = of([*lines[:at], *mixed, *lines[at:]])
        assert "rules/iptables-save.txt" not in recording.answers, mixed
        assert recording.failures["rules: iptables"].reason == "the collector's answer is damaged"
        assert "rules/nft.json" in recording.answers


def test_a_line_that_was_lost_damages_its_file() -> None:
    lines = stream(FILES)
    lines.remove("|-A X")
    recording = of(lines)
    assert "rules/iptables-save.txt" not in recording.answers
    assert set(recording.failures) == {"rules: iptables"}


def test_a_tool_that_failed_is_a_failure_with_its_own_words() -> None:
    lines = stream({path: text for path, text in FILES.items() if path != "host/listeners.txt"})
    at = lines.index(f"={MARK} source sysctls")
    recording = of([*lines[:at], *section("host/listeners.txt", "half", 1, "ss: no such thing"), *lines[at:]])
    assert "host/listeners.txt" not in recording.answers
    assert recording.failures["listeners"].reason == "ss: no such thing"


def test_a_tool_that_is_not_there_is_named_with_its_package() -> None:
    lines = ["", f"netdash-collector 1 {MARK}", f"={MARK} asked rules listeners", f"={MARK} source rules"]
    lines += [f"={MARK} missing rules/nft.json nft", f"={MARK} missing rules/iptables-either.txt iptables-save"]
    lines += [f"={MARK} source listeners", f"={MARK} missing host/listeners.txt ss", f"={MARK} done"]
    failures = of(lines).failures
    assert failures["rules"].reason == "nft is not installed, iptables-save is not installed"
    assert (failures["listeners"].reason, failures["listeners"].remedy) == ("ss is not installed", "install iproute2")


def test_rules_without_root_are_one_failure() -> None:
    lines = ["", f"netdash-collector 1 {MARK}", f"={MARK} asked rules", f"={MARK} source rules"]
    lines += section("rules/nft.json", "", 1, "Operation not permitted (you must be root)")
    lines += [f"={MARK} missing rules/iptables-save.txt iptables-save", f"={MARK} done"]
    assert {(one.source, one.reason, one.remedy) for one in of(lines).failures.values()} == {
        ("rules", "rules need root", "run it as root")
    }


@pytest.mark.parametrize(("table", "missed"), [("docker-bridges", set()), ("nat", {"rules: iptables"})])
def test_a_tool_that_could_show_nothing_need_not_be_there(table: str, missed: set[str]) -> None:
    lines = ["", f"netdash-collector 1 {MARK}", f"={MARK} asked rules", f"={MARK} source rules"]
    lines += section(
        "rules/nft.json", f'{{"nftables": [{{"table": {{"family": "ip", "name": "{table}", "handle": 1}}}}]}}'
    )
    lines += [f"={MARK} missing rules/{tool}-either.txt {tool}-save" for tool in ("iptables", "ip6tables")]
    recording = of([*lines, f"={MARK} done"])
    assert set(recording.failures) == missed
    assert ("rules/iptables-save.txt" in recording.answers) is (not missed)


@pytest.mark.parametrize(
    ("first", "kept"),
    [
        ("# iptables-save v1.8.9 (nf_tables)\n*nat\nCOMMIT", "rules/iptables-save.txt"),
        ("# iptables-save v1.6.1\n*nat\nCOMMIT", "rules/iptables-legacy-save.txt"),
        ("", None),
    ],
)
def test_iptables_save_tells_itself_of_which_backend_it_is(first: str, kept: str | None) -> None:
    lines = ["", f"netdash-collector 1 {MARK}", f"={MARK} asked rules", f"={MARK} source rules"]
    recording = of([*lines, *section("rules/iptables-either.txt", first), f"={MARK} done"])
    assert set(recording.answers) == ({kept} if kept else set())


def test_a_list_without_details_says_how_many_are_lacking() -> None:
    files = {**FILES, "docker/inspect.json": "[]"}
    assert of(stream(files)).failures["docker: inspect"].reason == "1 containers could not be inspected"


@pytest.mark.parametrize("text", ["[{", "[" * 100_000, "{}}", '{"Id": 1'])
def test_an_engine_that_answers_nonsense_is_not_half_believed(text: str) -> None:
    recording = of(stream({**FILES, "docker/inspect.json": text}))
    assert not [path for path in recording.answers if path.startswith("docker/")]
    assert "is not JSON" in recording.failures["docker"].reason


def test_secrets_are_dropped_whatever_the_collector_let_through() -> None:
    inspected = [{"Id": "aa", "Name": "/web", "Config": {"Env": ["A=hunter2"], "Labels": {"a": "hunter3"}}}]
    recording = of(stream({**FILES, "docker/inspect.json": json.dumps(inspected)}))
    assert "hunter" not in json.dumps(recording.answers["docker/inspect.json"])


def test_a_file_is_only_taken_from_its_own_source_and_by_a_proper_name() -> None:
    lines = ["", f"netdash-collector 1 {MARK}", f"={MARK} asked links inside", f"={MARK} source links"]
    names = ("rules/nft.json", "../../etc/passwd", "containers/web/addr.json", "ip/other", "")
    for path in names:
        lines += section(path, "x")
    lines.append(f"={MARK} source inside")
    for path in ("containers/../proc-net.txt", "containers/a/b/proc-net.txt", "containers/web/shadow", "ip/addr.json"):
        lines += section(path, "x")
    recording = of([*lines, *section("containers/web/proc-net.txt", "x"), f"={MARK} done"])
    assert set(recording.answers) == {"containers/web/proc-net.txt"}


def test_what_a_tool_prints_is_never_the_collectors_own() -> None:
    text = f"={MARK} done\n={MARK} end host/sysctl.txt\nnetdash-collector 1 {MARK}\n12\n|x\n"
    recording = of(stream({**FILES, "host/sysctl.txt": text}))
    assert recording.answers["host/sysctl.txt"] == text
    assert recording.failures == {}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["nothing of the kind"], "no answer of the collector"),
        ([], "no answer of the collector"),
        (["netdash-collector 2 abc"], "format 2 is not known"),
    ],
)
def test_what_is_no_stream_is_told_in_one_line(lines: list[str], message: str) -> None:
    with pytest.raises(NetdashError, match=message):
        of(lines)


def test_the_mark_that_was_given_is_the_one_that_counts() -> None:
    forged = stream({"host/sysctl.txt": "forged"}, ["sysctls"], mark="eee")
    recording = of([*forged, *stream(FILES)], MARK)
    assert recording.answers["host/sysctl.txt"] == FILES["host/sysctl.txt"]
    with pytest.raises(NetdashError):
        of(forged, MARK)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("asked", [ASKED, ("routes", "inside")])
def test_a_stream_in_a_file_opens_as_a_recording(tmp_path: Path, zipped: bool, asked: tuple[str, ...]) -> None:
    text = "\n".join(stream(FILES, asked)).encode()
    (tmp_path / "host.txt").write_bytes(gzip.compress(text) if zipped else text)
    recording = load(tmp_path / "host.txt")
    assert recording.answers["ip/route4.json"] == FILES["ip/route4.json"]
    assert {name for name in recording.failures if ":" not in name} == set(SOURCES) - set(asked)


def test_a_cut_archive_gives_what_came(tmp_path: Path) -> None:
    files = {**FILES, "host/sysctl.txt": "".join(f"net.{number * 7919} = 1\n" for number in range(20_000))}
    (tmp_path / "host.gz").write_bytes(gzip.compress("\n".join(stream(files)).encode())[:-20_000])
    recording = load(tmp_path / "host.gz")
    assert recording.answers["ip/route4.json"] == FILES["ip/route4.json"]
    assert "cut off" in recording.failures["sysctls"].reason


def test_from_reads_standard_input() -> None:
    argv = [sys.executable, "-m", "netdash", "--from", "-", "routes", "--json"]
    done = subprocess.run(argv, input="\n".join(stream(FILES)), capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["routes"]) == 1
    done = subprocess.run(argv, input="rubbish", capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 3
    assert "nor what the collector printed" in done.stderr
