"""The collector itself, under the shells that hosts have: what it prints, what it keeps to itself, what it survives."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from netdash.bundle.collector_stream import ASKED, parse
from netdash.bundle.recording import Recording, scrub
from netdash.collect.ssh import collector, script
from netdash.model.engine_state import other_kernel
from netdash.model.processes import STOPPED
from netdash.model.source import CONTAINER_FILES, FILES, Source, container_commands
from netdash.parse.json_values import mapping
from netdash.parse.proc import parse_listeners

_KNOWN = {"dash": ["dash"], "bash": ["bash"], "busybox": ["busybox", "sh"]}
SHELLS = {name: argv for name, argv in _KNOWN.items() if shutil.which(name)} or {"sh": ["sh"]}
STANDARD = "cat cut date grep head id ls sed sort tail tr awk timeout curl mawk".split()
SECRETS = ("hunter2", "hunter3", "hunter4", "hunter5")
INSPECTED: dict[str, object] = {
    "Id": "ab" * 32,
    "Name": "/web",
    "State": {"Status": "running", "Pid": 0, "Health": {"Status": "healthy", "Log": []}},
    "Path": "hunter4",
    "Args": ["--key", 'hunter5"\\', "]}"],
    "Config": {
        "Env": ["PATH=/bin", 'A="hunter2"', "B={\\", 'C=\\"Env":["', "}]", ""],
        "Cmd": None,
        "Entrypoint": "hunter4",
        "Labels": {
            "com.docker.compose.project": "shop",
            "hunter3": "x",
            "b": 'hunter3","com.docker.compose.service":"stolen',
            "com.docker.compose.service": 'a "quoted" \\ {name}',
        },
        "Image": "httpd",
        "Healthcheck": {"Test": ["CMD", "hunter4"]},
    },
    "HostConfig": {"NetworkMode": "bridge", "LogConfig": {"Config": {"token": "hunter2"}}, "Dns": []},
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}, "Ports": {"80/tcp": [{"HostPort": "80"}]}},
}


def tools(folder: Path, **scripts: str) -> Path:
    """A folder with these tools and the standard ones, and nothing else."""
    folder.mkdir(exist_ok=True)
    for name in STANDARD:
        found = shutil.which(name)
        if found and name not in scripts and not (folder / name).exists():
            (folder / name).symlink_to(found)
    for name, text in scripts.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    return folder


def text_of(shell: str, path: Path, sources: str = " ".join(ASKED), env: Mapping[str, str] | None = None) -> str:
    """What the collector prints with only the tools of `path`."""
    argv = SHELLS[shell]
    # What it adds to PATH is taken out: these tests have no host.
    bare = (
        collector()
        .replace("PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin", "")
        .replace("timeout 5", "timeout 1")
    )
    whole = shutil.which(argv[0])
    assert whole
    done = subprocess.run(
        [whole, *argv[1:]],
        input=f"{bare}\ncollect abc {sources}\n",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        env={"PATH": str(path), **(env or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded(shell: str, path: Path, sources: str = " ".join(ASKED), **env: str) -> Recording:
    return parse(text_of(shell, path, sources, env), "abc")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_host_without_any_tool_has_a_reason_for_everything(shell: str, tmp_path: Path) -> None:
    bare = tools(tmp_path / "bin")
    recording = recorded(shell, bare, DOCKER_HOST="unix:///nowhere.sock")
    assert "there is no Docker engine on unix:///nowhere.sock" in recording.failures["docker"].reason
    for source in ("links", "neighbours", "listeners", "rules"):
        assert "is not installed" in recording.failures[source].reason, source
    assert recording.failures["routes"].remedy == "install iproute2"
    assert recording.answers["host/sysctl.txt"]
    assert "inside" not in recording.failures


@pytest.mark.parametrize("shell", SHELLS)
def test_answers_come_whole_and_errors_with_their_reason(shell: str, tmp_path: Path) -> None:
    big = "x" * 100_000
    path = tools(
        tmp_path / "bin",
        ip=f"printf 'a\\n\\n|=abc done\\n\\t{big}'",
        bridge="exit 3",
        nft="echo first >&2; echo 'Operation not permitted (you must be root)' >&2; exit 1",
        iptables_nft_save="printf '*nat\\n'; exit 4",
        ip6tables_save="echo '# ip6tables-save v1.8.9 (nf_tables)'",
        ss="printf '\\377\\n'",
    )
    recording = recorded(shell, path, "links routes rules listeners")
    as_root = os.geteuid() == 0
    assert recording.answers["ip/addr.json"] == f"a\n\n|=abc done\n\t{big}"
    assert "ip/bridge-link.json" not in recording.answers
    told = "Operation not permitted (you must be root)" if as_root else "rules need root"
    assert recording.failures["rules: nft"].reason == told
    assert bool(recording.failures["rules: nft"].remedy) is not as_root, "root is not told to log in as root"
    assert recording.failures["rules: iptables"].reason == "ended with status 4"
    assert "rules/ip6tables-save.txt" in recording.answers
    assert recording.answers["host/listeners.txt"].endswith("\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_sockets_are_those_of_the_kernel_where_python_is(shell: str, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", ss="echo 'tcp LISTEN 0 0 10.0.0.1:1 *:*'", python3=f'exec {sys.executable} "$@"')
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        listed = parse_listeners(str(recorded(shell, path, "listeners").answers["host/listeners.txt"]))
    assert [each.pid for each in listed if each.port == port and each.proto == "tcp"] == [os.getpid()]
    tools(path, python3="exit 1")
    recording = recorded(shell, path, "listeners")
    assert recording.answers["host/listeners.txt"] == "tcp LISTEN 0 0 10.0.0.1:1 *:*\n"
    assert "listeners" not in recording.failures


@pytest.mark.parametrize("shell", SHELLS)
def test_processes_are_asked_for_their_sockets_again_when_a_socket_came(shell: str, tmp_path: Path) -> None:
    asked, sockets = tmp_path / "asked", tmp_path / "sockets"
    path = tools(tmp_path / "bin", ss=f"cat {sockets}", python3=f"echo x >> {asked}; wc -l < {asked}; cat {sockets}")
    (path / "wc").symlink_to(shutil.which("wc") or "wc")
    sockets.write_text("a")
    again = f"\ncollect def listeners\nprintf b > {sockets}\ncollect ghi listeners\ncollect jkl docker listeners"
    text = text_of(shell, path, f"listeners{again}", {"DOCKER_HOST": "unix:///nowhere.sock"})
    told = [str(parse(text, mark).answers["host/listeners.txt"]).split() for mark in ("abc", "def", "ghi", "jkl")]
    assert told == [["1", "a"], ["1", "a"], ["2", "b"], ["3", "b"]]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_tool_that_hangs_is_ended(shell: str, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", ip="exec sleep 60", sleep=f'exec {shutil.which("sleep")} "$@"')
    recording = recorded(shell, path, "neighbours")  # the limit of the whole is the test's
    assert "ip/neigh.json" not in recording.answers
    assert "neighbours" in recording.failures


def engine(folder: Path, answers: Mapping[str, object]) -> Path:
    """A `curl` that answers for an engine, and a socket that is there."""
    cases = [f"*/{path}) cat {folder}/{number} ;;" for number, path in enumerate(answers)]
    for number, answer in enumerate(answers.values()):
        (folder / str(number)).write_text(answer if isinstance(answer, str) else json.dumps(answer) + "\n")
    script = f"""
case $* in *-K*) read -r _ _ url; set -- "${{url%\\"}}"; code='\\n200\\n' ;; esac
for url; do :; done
case $url in {" ".join(cases)} *) exit 22 ;; esac
printf "$code"
"""
    return tools(folder / "bin", curl=script)


@pytest.mark.parametrize("shell", SHELLS)
def test_what_may_be_secret_is_never_printed(shell: str, tmp_path: Path) -> None:
    answers = {
        "version": {"Version": "28.5.2"},
        "info": {"Name": "su1", "HttpProxy": "http://me:hunter2@proxy", "Labels": ["hunter3"], "Swarm": {"NodeID": ""}},
        "networks": [{"Name": "bridge", "Id": "cc", "Labels": {"x": "hunter3"}}],
        "json?all=1": [{"Id": INSPECTED["Id"], "Names": ["/web"], "Command": "hunter4", "Labels": {"x": "hunter3"}}],
        f"{INSPECTED['Id']}/json": INSPECTED,
    }
    path = engine(tmp_path, answers)
    (tmp_path / "sock").touch()
    text = text_of(shell, path, "docker inside", {"DOCKER_HOST": f"unix://{tmp_path}/sock"})
    assert not [word for word in SECRETS if word in text]
    recording = parse(text)
    assert recording.failures == {}
    unnamed = {**INSPECTED, "Config": {**mapping(INSPECTED["Config"]), "Env": None}}  # names are not told
    assert recording.answers["docker/inspect.json"] == scrub("docker/inspect.json", [unnamed])
    assert recording.answers["docker/networks.json"] == scrub("docker/networks.json", answers["networks"])
    assert recording.answers["docker/info.json"] == scrub("docker/info.json", answers["info"])


@pytest.mark.parametrize("shell", SHELLS)
def test_an_engine_on_another_kernel_is_told(shell: str, tmp_path: Path) -> None:
    """A socket can lead into a virtual machine, of which the devices and rules here say nothing."""
    found = {}
    (tmp_path / "sock").touch()
    for name, release in (("far", "5.15.0-vm"), ("here", os.uname().release)):
        (tmp_path / name).mkdir()
        path = engine(
            tmp_path / name,
            {
                "version": {"KernelVersion": release, "Components": [{"Details": {"KernelVersion": release}}]},
                "info": {},
                "networks": [],
                "json?all=1": [{"Id": INSPECTED["Id"], "Names": ["/web"], "State": "running"}],
                f"{INSPECTED['Id']}/json": INSPECTED,
            },
        )
        recording = recorded(shell, path, "docker", DOCKER_HOST=f"unix://{tmp_path}/sock")
        assert not recording.failures
        found[name] = recording.answers.get("host/engine-kernel.txt")
    assert other_kernel(str(found["far"])) == f"it runs on kernel 5.15.0-vm, this machine on {os.uname().release}"
    assert found["here"] is None, "no process of the container is here"


@pytest.mark.parametrize("shell", SHELLS)
def test_an_engine_that_answers_with_an_error_is_asked_once(shell: str, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", curl=f"echo x >> {tmp_path}/asked; echo 'curl: (7) cannot connect' >&2; exit 7")
    (tmp_path / "sock").touch()
    recording = recorded(shell, path, "docker inside", DOCKER_HOST=f"unix://{tmp_path}/sock")
    assert recording.failures["docker"].reason == f"the engine on unix://{tmp_path}/sock: curl: (7) cannot connect"
    assert (tmp_path / "asked").read_text() == "x\n"
    assert recording.answers == {}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("tool", ["awk", "ls", "sort", "tr"])
@pytest.mark.parametrize("fault", ["missing", "broken"])
def test_a_failed_tool_is_no_list_without_proxies(shell: str, tool: str, fault: str, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", **({tool: "exit 1"} if fault == "broken" else {}))
    if fault == "missing":
        (path / tool).unlink()
    proxy = tmp_path / "docker-proxy"
    shutil.copy(shutil.which("sleep") or "sleep", proxy)
    with subprocess.Popen([proxy, "60"]) as process:
        try:
            recording = recorded(shell, path, "proxies")
            whole = recorded(shell, tools(tmp_path / "all"), "proxies")
        finally:
            process.kill()
    assert f"{process.pid} {os.getpid()} {proxy} 60" in str(whole.answers["host/docker-proxy.txt"])
    listed = recording.answers.get("host/docker-proxy.txt")
    if listed is None:
        assert recording.failures["proxies"].reason
    else:
        assert shell == "busybox", "which has these tools itself"
        assert str(process.pid) in str(listed)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_proxy_that_is_stopped_is_told(shell: str, tmp_path: Path) -> None:
    path, proxy = tools(tmp_path / "bin"), tmp_path / "docker-proxy"
    shutil.copy(shutil.which("sleep") or "sleep", proxy)
    with subprocess.Popen([proxy, "60"]) as process:
        try:
            runs = recorded(shell, path, "proxies").answers[STOPPED]
            process.send_signal(signal.SIGSTOP)
            stands = recorded(shell, path, "proxies").answers[STOPPED]
        finally:
            process.kill()
    pid = str(process.pid)
    assert (pid in str(runs).split(), pid in str(stands).split()) == (False, True)


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "busybox"])  # which has an awk itself
def test_no_containers_are_listed_where_the_filter_fails(shell: str, tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", docker="""printf '{"Id":"ab"}\\n'""", awk="exit 1")
    (path / "curl").unlink()
    (tmp_path / "sock").touch()
    recording = recorded(shell, path, "docker", DOCKER_HOST=f"unix://{tmp_path}/sock")
    assert "docker" in recording.failures
    assert "docker/containers.json" not in recording.answers


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("address", ["tcp://10.0.0.9:2375", "ssh://me@box", "tcp://me:hunter2@box:2376"])
def test_an_engine_elsewhere_is_not_taken_for_the_one_there(shell: str, address: str, tmp_path: Path) -> None:
    asked = "echo x >> $(dirname $0)/asked"
    path = tools(tmp_path / "bin", docker=asked, curl=asked, dirname=f'exec {shutil.which("dirname")} "$@"')
    text = text_of(shell, path, "docker", {"DOCKER_HOST": address})
    assert "the engine is elsewhere: " in parse(text).failures["docker"].reason
    assert "hunter2" not in text
    assert not (path / "asked").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_context_elsewhere_is_not_taken_for_the_one_there(shell: str, tmp_path: Path) -> None:
    docker = """[ "$1" != context ] || { echo tcp://10.0.0.9:2375; exit; }; echo '{"Id":"ab"}'"""
    path = tools(tmp_path / "bin", docker=docker)
    recording = recorded(shell, path, "docker")
    if "there is no" not in recording.failures["docker"].reason:  # a machine with an engine
        assert recording.failures["docker"].reason == "the engine is elsewhere: tcp://10.0.0.9:2375"
    assert "docker/containers.json" not in recording.answers


# --- the script -------------------------------------------------------------------------------------------------------


def test_the_printed_script_runs_by_itself_and_a_cut_one_does_nothing(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin")
    text = script()
    for cut, does in ((len(text), True), (len(text) - 80, False), (len(text) // 2, False)):
        (tmp_path / "collect.sh").write_text(text[:cut])
        done = subprocess.run(
            [shutil.which("sh") or "sh", str(tmp_path / "collect.sh")],
            capture_output=True,
            text=True,
            timeout=30,
            env={"PATH": str(path), "DOCKER_HOST": "unix:///nowhere.sock"},
        )
        assert ("netdash-collector" in done.stdout) is does


NOT_THERE = {
    "ip/link.json",  # of older recordings: ip/addr.json has it too
    "nat.txt",
    "host/kept.txt",  # netdash's own journals
    "host/waiting.txt",  # and its forwards
    "ip/netns.json",  # numbers of namespaces: the addresses inside tell whose end a veth is
    "host/engine.txt",  # which process the engine is: only its socket tells that
    "host/proxy-sockets.txt",  # compared with each other at one moment, which tools cannot
}


def test_the_collector_asks_for_all_that_is_read_on_this_host() -> None:
    text = script()
    asked = set(re.findall(r"\b(?:ask|file) \"?([\w./$-]+)", text))
    asked = {path.replace("$1", tool) for path in asked for tool in ("iptables", "ip6tables")}
    asked = {path.replace(".jsonl", ".json") for path in asked}
    assert {file.path for file in FILES if "*" not in file.path} <= asked | NOT_THERE
    inside = {path.rpartition("/")[2] for path in asked if path.startswith("containers/$name/")}
    parts = set(re.findall(r"\banswer ([\w.]+)|## ([\w.]+)", text))
    inside |= {name for pair in parts for name in pair}
    saved = {f"{tool}-{kind}.txt" for tool in ("iptables", "ip6tables") for kind in ("save", "legacy-save")}
    assert "$tool-$1.txt" in text
    assert "for each in resolv.conf hosts" in text
    assert set(CONTAINER_FILES) <= inside | saved | {"resolv.conf", "hosts"} | NOT_THERE
    for file in container_commands(Source.INSIDE, Source.TRACE):
        name, words = file.path.rpartition("/")[2], " ".join(file.command[1:])
        assert re.search(rf'{re.escape(name)}"?;? "\$[12]" {re.escape(words)}[ ;\n]', text), file


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_script_is_plain_shell() -> None:
    done = subprocess.run(["shellcheck", "-s", "sh", "-"], input=script(), capture_output=True, text=True)
    assert done.stdout == ""
