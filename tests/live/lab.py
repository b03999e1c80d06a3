"""A Docker host and a host outside, each in a network namespace of its own, with a private engine; all gone at the end.

    container -- docker0 [ host: eth0 203.0.113.2 ] ----veth---- [ outside: eth0 203.0.113.1, lo 198.51.100.1 ]

The outside host has no route to the containers: only a translated packet gets an answer.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import forked
from engines import Folder

from tests.support import schemas

ROOT = Path(__file__).parents[2]
OUTSIDE = Path(__file__).with_name("outside.py")
HOST_IP, GATEWAY_IP, INTERNET_IP = "203.0.113.2", "203.0.113.1", "198.51.100.1"
HOST_IP6, GATEWAY_IP6 = "2001:db8:1::2", "2001:db8:1::1"
IMAGE = "netdash/busybox"
TOOLS = {
    "dockerd": "docker.io",
    "docker": "docker-cli or docker.io",
    "iptables-save": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "ss": "iproute2",
    "curl": "curl",
    "busybox": "busybox-static",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "ps": "procps",
}
"""Command -> the Debian package that has it."""
RULE_TOOLS = {tool: TOOLS[tool] for tool in ("iptables-save", "nft", "ip", "nsenter")}

_numbers = itertools.count()


class LabError(Exception):
    """The lab cannot run here, in one line."""


def why_not(tools: Mapping[str, str] = TOOLS) -> str | None:
    """What keeps a private engine, or these tools, from running here, in one line; None when nothing is known to."""
    if os.geteuid() != 0:
        return "live tests need root"
    missing = sorted({package for tool, package in tools.items() if shutil.which(tool) is None})
    if missing:
        return f"live tests need the packages {', '.join(missing)}"
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    return f"live tests need network namespaces: {probe.stderr.strip()}" if probe.returncode else None


class Lab:
    """`with Lab() as lab`: `flags` go to dockerd; with `legacy` the engine writes iptables-legacy rules; with `suite`
    the engine and the rule tools are those of another Debian release (make engines)."""

    def __init__(self, *flags: str, legacy: bool = False, suite: str | None = None) -> None:
        self.flags = flags
        self.legacy = legacy
        self.engine = Folder(suite) if suite else None
        self.tag = f"nd{os.getpid()}-{next(_numbers)}"
        self.host_ns, self.outside_ns = f"{self.tag}h", f"{self.tag}o"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.tag}-"))
        self.socket = self.folder / "docker.sock"
        self.dockerd: subprocess.Popen[bytes] | None = None
        self._helpers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Lab:
        try:
            self.folder.chmod(0o755)
            self._namespaces()
            self._serve(self.outside_ns, "http", INTERNET_IP, 80)
            self._serve(self.outside_ns, "http", GATEWAY_IP, 80)
            self.start_engine()
            self._import_image()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- building -----------------------------------------------------------------------------------------------------

    def _namespaces(self) -> None:
        host, outside = self.host_ns, self.outside_ns
        for name in (host, outside):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", outside)
        for name, addresses in (
            (host, (f"{HOST_IP}/24", f"{HOST_IP6}/64")),
            (outside, (f"{GATEWAY_IP}/24", f"{GATEWAY_IP6}/64")),
        ):
            for address in addresses:
                nodad = ("nodad",) if ":" in address else ()
                run("ip", "-n", name, "addr", "add", address, "dev", "eth0", *nodad)
            run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", outside, "addr", "add", f"{INTERNET_IP}/32", "dev", "lo")
        run("ip", "-n", host, "route", "add", "default", "via", GATEWAY_IP)
        run("ip", "-n", host, "-6", "route", "add", "default", "via", GATEWAY_IP6)

    def _serve(self, namespace: str, kind: str, address: str, port: int) -> None:
        self._helpers.append(
            subprocess.Popen(
                [*_enter(f"/run/netns/{namespace}"), sys.executable, str(OUTSIDE), kind, address, str(port)],
                stdin=subprocess.DEVNULL,
            )
        )

    def serve_outside(self, kind: str, address: str, port: int) -> None:
        """Start a server of outside.py on the host outside."""
        self._serve(self.outside_ns, kind, address, port)

    def serve_in(self, container: str, kind: str, address: str, port: int) -> None:
        """Start a server of outside.py inside the container's network namespace."""
        self._helpers.append(
            subprocess.Popen(
                [
                    *_enter(f"/proc/{self.pid(container)}/ns/net"),
                    sys.executable,
                    str(OUTSIDE),
                    kind,
                    address,
                    str(port),
                ],
                stdin=subprocess.DEVNULL,
            )
        )

    def start_engine(self) -> None:
        log = self.folder / "dockerd.log"
        inner = self.engine.enter(self.folder) if self.engine else []
        with log.open("ab") as sink:
            # nsenter, not `ip netns exec`: that hides the cgroup mounts, and dockerd does not start without them.
            self.dockerd = subprocess.Popen(
                [*_enter(f"/run/netns/{self.host_ns}"), *inner, *self._engine_argv()],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, "PATH": self._engine_path()},
            )
        if not until(lambda: self._engine_answers() or self.dockerd_died) or self.dockerd_died:
            lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
            raise LabError(f"dockerd does not start here: {lines[-1][:300] if lines else 'it says nothing'}")
        if self.engine:
            self.engine.tools(self._tools, self.dockerd.pid)

    def _engine_argv(self) -> list[str]:
        folder = self.folder
        return [
            "dockerd",
            f"--host=unix://{self.socket}",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/docker.pid",
            f"--containerd-namespace={self.tag}",
            f"--containerd-plugins-namespace={self.tag}p",
            *self.flags,
        ]

    def _engine_path(self) -> str:
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        if not self.legacy:
            return path
        tools = self.folder / "legacy"
        tools.mkdir(exist_ok=True)
        for name in ("iptables", "ip6tables"):
            target = shutil.which(f"{name}-legacy", path=path) or (f"/usr/sbin/{name}-legacy" if self.engine else None)
            if target and not (tools / name).exists():
                (tools / name).symlink_to(target)
        return f"{tools}:{path}"

    def start_killed_engine(self) -> None:
        """Start it again after a SIGKILL. Its containerd dies with it, but not at once: the next must not meet it."""
        assert self.dockerd
        self.dockerd.wait(20)
        words = f"{self.folder}/exec/containerd/containerd.toml".encode()
        assert until(lambda: not any(words in command for command in _command_lines()))
        # where nobody reaps it, dockerd takes its zombie for alive
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)
        self.start_engine()

    @property
    def dockerd_died(self) -> bool:
        return self.dockerd is not None and self.dockerd.poll() is not None

    def _engine_answers(self) -> bool:
        return self.socket.exists() and subprocess.run(self._docker("version"), capture_output=True).returncode == 0

    def _import_image(self) -> None:
        busybox = shutil.which("busybox")
        assert busybox
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
        with io.BytesIO() as buffer:
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                archive.add(Path(busybox).resolve(), "bin/busybox")
                for folder in ("etc", "proc", "sys", "dev", "tmp", "www"):
                    entry = tarfile.TarInfo(folder)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
                for applet in set(applets) - {"busybox"}:
                    link = tarfile.TarInfo(f"bin/{applet}")
                    link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                    archive.addfile(link)
            subprocess.run(
                self._docker("import", "-c", "ENV PATH=/bin", "-", IMAGE),
                input=buffer.getvalue(),
                capture_output=True,
                check=True,
            )

    # --- using --------------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DOCKER_HOST": f"unix://{self.socket}",
            "PYTHONPATH": str(ROOT),
            "NETDASH_STATE_DIR": f"{self.folder}/state",
            "PATH": (f"{self._tools}:" if self.engine else "") + os.environ["PATH"] + ":/usr/sbin:/sbin",
        }

    @property
    def _tools(self) -> Path:
        return self.folder / "tools"

    def _docker(self, *words: str) -> list[str]:
        return ["docker", "--host", f"unix://{self.socket}", *words]

    def docker(self, *words: str) -> str:
        return run(*self._docker(*words)).strip()

    def httpd(self, name: str, *options: str, port: int = 80) -> str:
        """Run a container whose page says its name, and wait until it listens; answers its id."""
        script = f"echo {name} >/www/index.html; exec httpd -f -p {port} -h /www"
        identity = self.docker("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", script)
        assert until(lambda: f":{port} " in self.inside(name, "ss", "-Hltn")), f"{name} does not listen"
        return identity

    def pid(self, container: str) -> int:
        return int(self.docker("inspect", "-f", "{{.State.Pid}}", container))

    def on_host(self, *words: str) -> str:
        return run(*_enter(f"/run/netns/{self.host_ns}"), *words, env=self.environment)

    def outside(self, *words: str) -> str:
        return run(*_enter(f"/run/netns/{self.outside_ns}"), *words)

    def inside(self, container: str, *words: str) -> str:
        """Run a command of this machine in the container's network namespace."""
        return run(*_enter(f"/proc/{self.pid(container)}/ns/net"), *words)

    def fetch(self, url: str) -> str:
        """What the outside host gets."""
        return self.outside("curl", "-sS", "--noproxy", "*", "--max-time", "5", url).strip()

    def netdash_argv(self, *words: str) -> list[str]:
        return [*_enter(f"/run/netns/{self.host_ns}"), sys.executable, "-m", "netdash", *words]

    def netdash(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run_python("netdash.cli.main", *words)

    def run_python(
        self, module: str, *words: str, environment: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """The `main` of a module with these words, on the host."""
        path = self.folder / f"{self.host_ns}.sock"
        if not path.exists():
            argv = [*_enter(f"/run/netns/{self.host_ns}"), sys.executable, forked.__file__, str(path)]
            self._helpers.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=self.environment))
            assert until(path.exists)
        return forked.ask(path, module, words, environment or self.environment, self.folder, timeout)

    def json(self, *words: str) -> dict[str, object]:
        done = self.netdash(*words, "--json")
        assert done.returncode == 0, done.stderr
        command = words[2] if words[0] == "--from" else words[0]
        named = {"publish": "plan", "flows": "flows_by" if "--by" in words else "flows"}
        answer: dict[str, object] = schemas.loads(named.get(command, command), done.stdout)
        return answer

    def remove_containers(self) -> None:
        found = self.docker("ps", "-aq").split()
        if found:
            run(*self._docker("rm", "-f", *found), timeout=600)

    # --- ending -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop by pid everything that the lab started, and remove what it made; never raises."""
        with contextlib.suppress(subprocess.SubprocessError, OSError, LabError):
            if self.dockerd and not self.dockerd_died:
                self.remove_containers()
        for process in (*self._helpers, *([self.dockerd] if self.dockerd else [])):
            _end(process)
        for pid in _processes_of(self.folder):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for mount in _mounts_under(self.folder):
            subprocess.run(["umount", "--lazy", mount], capture_output=True)
        for name in (self.host_ns, self.outside_ns):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def run(*words: str, env: dict[str, str] | None = None, timeout: float = 60) -> str:
    """The command's stdout; a failure is told with its stderr."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=env)
    if done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def until(condition: Callable[[], object], seconds: float = 60) -> bool:
    """Whether the condition came true in time; the machine may be busy with other tests."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _enter(namespace: str) -> list[str]:
    return ["nsenter", f"--net={namespace}"]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


def _processes_of(folder: Path) -> Iterator[int]:
    """Left-over shims and daemons: those whose arguments name the lab's own folder."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                yield int(entry.parent.name)


def _command_lines() -> Iterator[bytes]:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield entry.read_bytes()


def _mounts_under(folder: Path) -> Sequence[str]:
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True)
