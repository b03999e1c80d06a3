"""What a user without rights can make look like an engine's: it is neither run nor believed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import Lab, until

NAME = "forged-web"
AS_NOBODY = """
import os, sys
null = os.open("/dev/null", os.O_WRONLY)
os.dup2(null, 10), os.dup2(10, 3)  # a docker-proxy tells there that it listens
os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
os.execv(sys.argv[1], sys.argv[2:])
"""


@contextmanager
def forged(
    lab: Lab, *words: str, executable: str = "/usr/sbin/docker-proxy", called: str = "docker-proxy"
) -> Iterator[subprocess.Popen[bytes]]:
    """A program of nobody whose file is called docker-proxy, in the lab's host, with the arguments of one."""
    folder = lab.folder / f"forged-{called}"
    folder.mkdir(exist_ok=True)
    path = folder / "docker-proxy"
    if not path.exists():
        shutil.copy(executable, path)
        path.chmod(0o755)
        for each in (folder, path):
            os.chown(each, 65534, 65534)
    argv = ["nsenter", f"--net=/run/netns/{lab.host_ns}", sys.executable, "-c", AS_NOBODY, str(path), called, *words]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def listens(lab: Lab, process: subprocess.Popen[bytes], port: int) -> bool:
    return f":{port} " in lab.on_host("ss", "-Hltn") and process.pid in executables(lab)


@pytest.fixture(scope="module")
def target(lab: Lab) -> Iterator[str]:
    lab.httpd(NAME)
    yield lab.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", NAME)
    lab.docker("rm", "-f", NAME)


def arguments(target: str, port: int) -> tuple[str, ...]:
    options = {"proto": "tcp", "host-ip": "0.0.0.0", "host-port": port, "container-ip": target, "container-port": 80}
    return tuple(word for key, value in options.items() for word in (f"-{key}", str(value)))


def executables(lab: Lab) -> dict[int, tuple[str, int]]:
    """Path of the executable and user of each process in the lab's host that is a userland proxy."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            here = (entry / "ns/net").stat().st_ino == Path(f"/run/netns/{lab.host_ns}").stat().st_ino
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if here and b"-container-ip" in words:
                found[int(entry.name)] = (os.readlink(entry / "exe"), (entry / "cmdline").stat().st_uid)
        except OSError:
            continue
    return found


def test_a_users_program_is_not_run_as_root(lab: Lab, target: str) -> None:
    with forged(lab, *arguments(target, 18080)) as process:
        assert until(lambda: listens(lab, process, 18080))
        forgery = executables(lab)[process.pid][0]
        try:
            done = lab.netdash("publish", NAME, "18081:80", "--yes", "--json")
            assert done.returncode == 0, done.stderr
            assert forgery not in done.stdout
            own = {path for pid, (path, _) in executables(lab).items() if pid != process.pid}
            assert own
            assert forgery not in own
        finally:
            lab.netdash("undo", "--yes")


def test_a_users_socket_is_not_the_engines(lab: Lab, target: str) -> None:
    # An engine that looks for its jump while the kernel is busy may insert it twice: that drift is its own.
    engines_own = lab.netdash("drift").stdout
    with forged(lab, *arguments(target, 18080)) as process:
        assert until(lambda: listens(lab, process, 18080))
        ports: Any = lab.json("ports")["ports"]
        (entry,) = [one for one in ports if one["host_port"] == 18080]
        holder = {"kind": "process", "pid": process.pid, "command": '"docker-proxy" of nobody'}
        assert (entry["holder"], entry["proxy"], entry["container"]) == (holder, None, None)
        proxies: Any = lab.json("proxies")["proxies"]
        (one,) = [each for each in proxies if each["pid"] == process.pid]
        assert (one["command"], one["container"]) == ('"docker-proxy" of nobody', None)
        traced = lab.netdash("trace", "host", "127.0.0.1:18080")
        assert '"docker-proxy" of nobody listens on' in traced.stdout
        assert NAME not in traced.stdout
        assert lab.netdash("drift").stdout == engines_own


def test_a_users_process_without_a_socket_hides_no_true_proxy(lab: Lab, target: str) -> None:
    """Its arguments name the port of a container that the engine published, and its pid is the later one."""
    lab.httpd("forged-true", "-p", "18070:80")
    try:
        before: Any = lab.json("ports")["ports"]
        words = ("sh", "-c", "sleep 600 & wait", *arguments(target, 18070))
        with forged(lab, *words, executable="/bin/busybox", called="busybox") as process:
            assert until(lambda: process.pid in executables(lab))
            after: Any = lab.json("ports")["ports"]
            proxies: Any = lab.json("proxies")["proxies"]
            assert process.pid in [one["pid"] for one in proxies]
        assert [one for one in after if one["host_port"] == 18070] == [
            one for one in before if one["host_port"] == 18070
        ]
        assert {one["holder"]["kind"] for one in after if one["host_port"] == 18070} == {"docker-proxy"}
    finally:
        lab.docker("rm", "-f", "forged-true")


def test_without_a_docker_proxy_of_the_engine_netdash_forwards_by_itself(lab: Lab, target: str, tmp_path: Path) -> None:
    """The engine's own is hidden from netdash by an empty file in its place."""
    nothing = tmp_path / "nothing"
    nothing.touch()
    with forged(lab, *arguments(target, 18080)) as process:
        assert until(lambda: listens(lab, process, 18080))
        hide = f'mount --bind {nothing} /usr/sbin/docker-proxy && exec "$@"'
        argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh"]
        argv += lab.netdash_argv("publish", NAME, "18082:80", "--yes")
        done = subprocess.run(argv, capture_output=True, text=True, env=lab.environment, timeout=60)
        try:
            assert done.returncode == 0, done.stderr
            own = [path for pid, (path, _) in executables(lab).items() if pid != process.pid]
            assert own
            assert all("python" in path for path in own)
        finally:
            lab.netdash("undo", "--yes")


def test_state_of_another_user_is_refused(lab: Lab) -> None:
    """A folder that anybody can write, and so can put records there that name a process to be ended."""
    folder = lab.folder / "anybodys"
    folder.mkdir()
    folder.chmod(0o777)
    os.chown(folder, 65534, 65534)
    for words in (("published",), ("publish", NAME, "18083:80", "--yes"), ("undo", "--yes")):
        environment = {**lab.environment, "NETDASH_STATE_DIR": str(folder)}
        done = subprocess.run(lab.netdash_argv(*words), capture_output=True, text=True, env=environment, timeout=60)
        assert (done.returncode, "belongs to user 65534" in done.stderr) == (4, True), words
    assert list(folder.iterdir()) == []
