"""Another host by ssh, against a real sshd: the same as netdash shows there, and nothing changed by looking."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, until
from sshd import ASKED, BANNER, IN_GROUP, PLAIN, PORT, SHELLS, SUDOER, Sshd, why_not
from terminal import Terminal
from test_live_reading import VIEWS, state
from users import ask

from netdash.collect.ssh import collector

SECRETS = ("hunter2", "hunter3", "hunter4")
NOISE = re.compile(r"conntrack|packets|bytes|rss")


@pytest.fixture(scope="module")
def sshd(lab: Lab) -> Iterator[Sshd]:
    reason = why_not()
    if reason:
        if os.environ.get("NETDASH_LIVE") == "required":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    lab.docker("network", "create", "ssh-net")
    lab.httpd("ssh-web", "-p", "8090:80", "-e", "TOKEN=hunter2", "--label", "note=hunter3")
    lab.docker("run", "-d", "--name", "ssh-two", "--network", "ssh-net", "-p", "127.0.0.1:9090:90/udp", *_IDLE)
    lab.docker("network", "connect", "bridge", "ssh-two")
    lab.docker("create", "--name", "ssh-idle", "netdash/busybox", "echo", "hunter4")
    with Sshd(lab) as server:
        yield server
    lab.remove_containers()
    lab.docker("network", "rm", "ssh-net")


_IDLE = ("netdash/busybox", "sleep", "999")


def settled(answer: Any) -> Any:
    """Without what differs from one moment to the next; the engine lists networks in no order."""
    if isinstance(answer, dict):
        neighbour = {"ip", "dev", "mac"} < answer.keys()  # its state ages from REACHABLE to STALE by itself
        kept = {
            key: value for key, value in answer.items() if not NOISE.search(key) and not (neighbour and key == "state")
        }
        return {key: settled(value) for key, value in kept.items()}
    if isinstance(answer, list):
        found = [settled(one) for one in answer if not _comes_by_itself(one)]
        return (
            sorted(found, key=json.dumps) if all(isinstance(one, dict) and "scope" in one for one in found) else found
        )
    return answer


def _comes_by_itself(entry: object) -> bool:
    """A neighbour by its link-local address: the kernel learns of it when the other end sends a router solicitation."""
    return isinstance(entry, dict) and {"ip", "dev", "mac"} < entry.keys() and str(entry["ip"]).startswith("fe80:")


@pytest.mark.parametrize("view", VIEWS)
def test_root_sees_by_ssh_what_netdash_sees_there(sshd: Sshd, view: str) -> None:
    for _ in range(3):  # the kernel may add a route of a new device between the two readings
        there = settled(sshd.lab.json(view))
        done = sshd.netdash(*sshd.options(), view, "--json")
        assert done.returncode == 0, done.stderr
        if (seen := settled(json.loads(done.stdout))) == there:
            break
    assert seen == there


@pytest.mark.parametrize("view", VIEWS)
def test_a_recording_by_ssh_is_the_recording_in_place(sshd: Sshd, view: str, tmp_path: Path) -> None:
    assert sshd.lab.netdash("record", str(tmp_path / "there")).returncode == 0
    assert sshd.netdash(*sshd.options(), "record", str(tmp_path / "here")).returncode == 0
    both = [sshd.netdash("--from", str(tmp_path / name), view, "--json") for name in ("there", "here")]
    assert settled(json.loads(both[1].stdout)) == settled(json.loads(both[0].stdout))


NOT_BY_SSH = {"ip/netns.json", "host/engine.txt", "host/proxy-sockets.txt"}
"""The numbers of namespaces, which the addresses inside tell as well; which process the engine is; what proxies carry,
which is compared at one moment."""
TWICE = ("proc-net.txt", "netns.txt")
"""Files of containers that others tell as well."""


def test_a_recording_by_ssh_has_the_files_of_one_in_place(sshd: Sshd, tmp_path: Path) -> None:
    lab = sshd.lab
    for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy"):
        lab.inside("ssh-web", tool, "-A", "INPUT", "-p", "tcp", "--dport", "81", "-j", "DROP")
    lab.on_host("ipset", "create", "ssh-set", "hash:ip")
    lab.on_host("ipset", "add", "ssh-set", "192.0.2.7")
    lab.on_host("ip", "xfrm", "policy", "add", "src", "192.0.2.0/24", "dst", "192.0.2.0/24", "dir", "out")
    lab.on_host("conntrack", "-L")
    try:
        assert lab.netdash("record", str(tmp_path / "there")).returncode == 0
        assert sshd.netdash(*sshd.options(), "record", str(tmp_path / "here")).returncode == 0
    finally:
        lab.on_host("ip", "xfrm", "policy", "flush")
        lab.on_host("ipset", "destroy", "ssh-set")
        for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy"):
            lab.inside("ssh-web", tool, "-F")
    there, here = files(tmp_path / "there"), files(tmp_path / "here")
    assert {path for path in there ^ here if not path.endswith(TWICE)} <= NOT_BY_SSH
    for path in sorted(here & there):
        if (path.endswith(".txt") and not NOISY.search(path)) or path.endswith(("/hosts", "/resolv.conf")):
            both = [(tmp_path / name / path).read_text() for name in ("there", "here")]
            assert sorted(both[1].splitlines()) == sorted(both[0].splitlines()), path


NOISY = re.compile(r"memory|conntrack|nstat|softnet|sysctl|-save|process-owner|listeners")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("link", ["etc", "etc/hosts"])
def test_a_file_of_a_container_is_never_one_of_the_host(possible: None, tmp_path: Path, link: str) -> None:
    """Seen from the host, a link in a container leads to the host's own files."""
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
    (root / link).parent.mkdir(exist_ok=True)
    (root / link).symlink_to(f"/{link}")
    script = f'{collector()}\nread -r pid; for name in hosts resolv.conf; do sh -c "$of_etc" sh "$pid" "$name"; done\n'
    (tmp_path / "script").write_text(script)
    argv = ["unshare", "--mount", "chroot", str(root), "/bin/busybox", "sleep", "60"]
    with subprocess.Popen(argv) as process:
        try:
            proc = Path(f"/proc/{process.pid}")
            assert until(lambda: (proc / "comm").read_text() == "busybox\n")
            assert (proc / "root" / link).is_symlink()
            done = subprocess.run(
                ["sh", str(tmp_path / "script")], input=f"{process.pid}\n", capture_output=True, text=True, timeout=30
            )
        finally:
            process.kill()
    assert done.stdout == ""


@pytest.mark.parametrize("view", VIEWS)
def test_a_plain_user_sees_what_a_plain_user_sees_there(sshd: Sshd, view: str) -> None:
    there = json.loads(ask(sshd.lab, "neither", view, "--json").stdout)
    done = sshd.netdash(*sshd.options(PLAIN), view, "--json")
    here = json.loads(done.stdout)
    assert set(here.pop("unknown")) == set(there.pop("unknown")), done.stderr
    assert settled(here) == settled(there)


def test_who_may_use_the_engine_sees_containers_without_root(sshd: Sshd) -> None:
    sshd.allow(IN_GROUP)
    try:
        done = sshd.netdash(*sshd.options(IN_GROUP), "containers", "--json")
    finally:
        os.chown(sshd.lab.socket, 0, 0)
    answer = json.loads(done.stdout)
    assert {one["name"] for one in answer["containers"]} >= {"ssh-web", "ssh-two", "ssh-idle"}
    (web,) = [one for one in answer["containers"] if one["name"] == "ssh-web"]
    assert [port["listening"] for port in web["published"]] == [True, True]


@pytest.mark.parametrize("shell", [name for name in SHELLS if name != "nologin"])
def test_any_login_shell_will_do(sshd: Sshd, shell: str) -> None:
    if shutil.which(SHELLS[shell]) is None:
        pytest.skip(f"{SHELLS[shell]} is not installed")
    done = sshd.netdash(*sshd.options(shell), "ports", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "neither the banner nor the shell is heard"
    assert settled(json.loads(done.stdout)) == settled(sshd.lab.json("ports"))


def test_what_an_account_without_a_shell_says_is_the_reason(sshd: Sshd) -> None:
    done = sshd.netdash(*sshd.options("nologin"), "ports")
    assert done.returncode == 3
    assert "not available" in done.stderr
    assert "name another one" in done.stderr
    assert BANNER not in done.stderr


@pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")
def test_sudo_reads_as_root_where_it_asks_for_no_password(sshd: Sshd) -> None:
    done = sshd.netdash(*sshd.options(SUDOER), "--sudo", "rules", "--json")
    assert done.returncode == 0, done.stderr
    assert settled(json.loads(done.stdout)) == settled(sshd.lab.json("rules"))
    without = sshd.netdash(*sshd.options(SUDOER), "rules")
    assert without.returncode == 3
    assert "--sudo" in without.stderr
    asked = sshd.netdash(*sshd.options(ASKED), "--sudo", "rules")
    assert asked.returncode == 3
    assert "password is required" in asked.stderr


def on_host(lab: Lab, shell: list[str], script: Path) -> str:
    return lab.on_host(*shell, str(script))


@pytest.mark.parametrize("shell", [["dash"], ["busybox", "sh"]], ids=" ".join)
def test_the_script_by_hand_shows_the_same_and_no_secret(sshd: Sshd, shell: list[str], tmp_path: Path) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    (tmp_path / "collect.sh").write_text(sshd.netdash("collector").stdout)
    text = on_host(sshd.lab, shell, tmp_path / "collect.sh")
    assert not [word for word in SECRETS if word in text]
    (tmp_path / "host.txt").write_text(text)
    for view in VIEWS:
        done = sshd.netdash("--from", str(tmp_path / "host.txt"), view, "--json")
        assert settled(json.loads(done.stdout)) == settled(sshd.lab.json(view)), view


def test_the_docker_command_serves_where_curl_is_missing(sshd: Sshd, tmp_path: Path) -> None:
    script = sshd.netdash("collector").stdout.replace("curl", "no-such-curl")
    (tmp_path / "collect.sh").write_text(script)
    text = on_host(sshd.lab, ["dash"], tmp_path / "collect.sh")
    assert not [word for word in SECRETS if word in text]
    (tmp_path / "host.txt").write_text(text)
    for view in VIEWS:
        done = sshd.netdash("--from", str(tmp_path / "host.txt"), view, "--json")
        assert settled(json.loads(done.stdout)) == settled(sshd.lab.json(view)), view


def test_reading_by_ssh_changes_nothing(sshd: Sshd) -> None:
    lab = sshd.lab
    assert until(lambda: "tentative" not in lab.on_host("ip", "addr"))
    before, files = state(lab), written(sshd)
    for user in ("root", PLAIN):
        sshd.netdash(*sshd.options(user), "ports")
    assert state(lab) == before
    assert written(sshd) == files


def written(sshd: Sshd) -> set[str]:
    """What lies where a careless script would leave something."""
    folders = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path.home())
    found = (one for folder in folders if folder.is_dir() for one in folder.iterdir())
    return {str(one) for one in found if "sh-thd" in one.name or "collect" in one.name}


def test_a_hung_engine_over_there_is_told_and_the_rest_works(sshd: Sshd) -> None:
    assert sshd.lab.dockerd
    os.kill(sshd.lab.dockerd.pid, signal.SIGSTOP)
    try:
        done = sshd.netdash(*sshd.options(), "containers", "--json")
        assert done.returncode == 3
        assert "timed out" in json.loads(done.stdout)["unknown"]["docker"]
        assert json.loads(sshd.netdash(*sshd.options(), "rules", "--json").stdout)["rules"]
    finally:
        os.kill(sshd.lab.dockerd.pid, signal.SIGCONT)


# --- several, and in the dashboard ------------------------------------------------------------------------------------


def several(sshd: Sshd) -> list[str]:
    return [*sshd.options(), "--host", sshd.url(PLAIN), "--host", "ssh://root@127.0.0.1:9", "--host", "local"]


def test_several_hosts_and_a_dead_one_in_one_list(sshd: Sshd) -> None:
    done = sshd.netdash(*several(sshd), "containers", "--json", "ssh-")
    answer = json.loads(done.stdout)
    assert done.returncode == 3, "one of them is not known"
    by_host = {one["host"] for one in answer["containers"]}
    assert by_host == {f"root@127.0.0.1:{PORT}", "local"}
    assert len(answer["containers"]) == 6
    assert "Connection refused" in answer["hosts"][2]["error"]
    assert "no permission" in answer["hosts"][1]["unknown"]["docker"]


def test_a_key_that_is_not_accepted_is_told_with_what_to_do(sshd: Sshd) -> None:
    keys = sshd.folder / "authorized"
    kept = keys.read_text()
    keys.write_text("")
    try:
        done = sshd.netdash(*sshd.options(), "routes")
    finally:
        keys.write_text(kept)
    assert done.returncode == 3
    assert "Permission denied" in done.stderr
    assert "ssh-copy-id" in done.stderr


def test_the_dashboard_shows_hosts_and_marks_one_that_goes(sshd: Sshd) -> None:
    argv = sshd.lab.netdash_argv(*several(sshd))
    with Terminal(argv, sshd.environment) as terminal:
        assert terminal.wait_for("ssh-web"), terminal.text
        assert "1/4" in terminal.text
        sshd.lab.docker("run", "-d", "--name", "ssh-late", *_IDLE)
        assert terminal.wait_for("ssh-late"), terminal.text
        sshd.lab.docker("rm", "-f", "ssh-late")
        terminal.press("H")
        assert terminal.wait_for("Connection refused"), terminal.text
        terminal.press("\x1b")
        with cut_off(sshd):
            assert terminal.wait_for("host gone"), terminal.text
            assert "ssh-web" in terminal.text
            for key in ":host local\r":
                terminal.press(key)
            assert terminal.wait_for("4/4"), terminal.text
            assert "● live" in terminal.text
            for key in ":host root@127.0.0.1:2222\r":
                terminal.press(key)
            assert terminal.wait_for("host gone"), terminal.text
        assert terminal.wait_for("● live"), terminal.text
        children = ssh_of(terminal.process.pid)
        assert children
        terminal.write(b"q")
        assert terminal.end() == 0
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


class cut_off:  # noqa: N801  # used as a word
    """Ends every session, and answers no new one meanwhile."""

    def __init__(self, sshd: Sshd) -> None:
        self.stop = sshd.stopped()
        assert sshd.process
        self.pid = sshd.process.pid

    def __enter__(self) -> None:
        self.stop.__enter__()
        for pid in children_of(self.pid):
            os.kill(pid, signal.SIGKILL)

    def __exit__(self, *told: object) -> None:
        self.stop.__exit__(None, None, None)


def children_of(pid: int) -> list[int]:
    done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in done.stdout.split()]


def ssh_of(pid: int) -> list[int]:
    return [one for one in children_of(pid) if "ssh" in Path(f"/proc/{one}/comm").read_text()]
