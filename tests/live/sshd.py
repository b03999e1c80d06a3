"""An sshd of the tests' own: on the loopback of the lab's host, with its own keys, config and users; stopped by pid."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lab import ROOT, Lab, LabError, run, until

from tests.support.read_engines import FakeEngine

PORT = 2222
PLAIN, IN_GROUP = "plain", "grouped"  # users without root; the second may use the engine's socket
SUDOER, ASKED = "sudoer", "asked"  # users whose sudo asks for no password, and for one
_UIDS = {PLAIN: 54321, IN_GROUP: 54322, SUDOER: 54323, ASKED: 54324}
SHELLS = {
    "dash": "dash",
    "bash": "bash",
    "fish": "fish",
    "tcsh": "tcsh",
    "zsh": "zsh",
    "rbash": "rbash",
    "ash": "busybox",
    "nologin": "nologin",
}
"""Users with root's rights that are called as their login shell, and the program that it is."""
BANNER = "Authorised users only. Permission denied to all others."
PACKAGES = {"sshd": "openssh-server", "ssh": "openssh-client"}
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def why_not() -> str | None:
    missing = [package for tool, package in PACKAGES.items() if shutil.which(tool, path=_PATH) is None]
    return f"live tests of --host need the packages {', '.join(missing)}" if missing else None


class Space:
    """A network namespace with a fake engine, of three containers where not said otherwise: for tests of the line."""

    def __init__(self, engine: Callable[[Path], FakeEngine] = FakeEngine) -> None:
        self.tag = f"nd{os.getpid()}s"
        self.host_ns = f"{self.tag}h"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.tag}-"))
        self.socket = self.folder / "engine.sock"
        self.engine = engine(self.socket)

    def __enter__(self) -> Space:
        run("ip", "netns", "add", self.host_ns)
        run("ip", "-n", self.host_ns, "link", "set", "lo", "up")
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.stop()
        run("ip", "netns", "del", self.host_ns)
        shutil.rmtree(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "NETDASH_STATE_DIR": f"{self.folder}/state", "PATH": _PATH}

    def on_host(self, *words: str) -> str:
        return run("nsenter", f"--net=/run/netns/{self.host_ns}", *words)

    def netdash_argv(self, *words: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.host_ns}", sys.executable, "-m", "netdash", *words]


class Sshd:
    """`with Sshd(lab) as sshd`: `sshd.environment` has an `ssh` first in PATH that knows its key."""

    def __init__(self, lab: Lab | Space, port: int = PORT, **settings: str) -> None:
        self.lab = lab
        self.port = port
        self.settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix=f"{lab.tag}-ssh-"))
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sshd:
        try:
            self.folder.chmod(0o755)
            self._keys()
            self._client()
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keys(self) -> None:
        for name in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.folder / name)]
            subprocess.run(command, check=True)
        shutil.copy(self.folder / "user.pub", self.folder / "authorized")

    def _client(self) -> None:
        public = (self.folder / "host.pub").read_text().split()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {public[0]} {public[1]}\n")
        config = (
            f"Host *\n IdentityFile {self.folder}/user\n IdentitiesOnly yes\n UserKnownHostsFile {self.folder}/known\n"
        )
        (self.folder / "config").write_text(config + " GlobalKnownHostsFile /dev/null\n")
        tools = self.folder / "bin"
        tools.mkdir()
        (tools / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/config "$@"\n')
        (tools / "ssh").chmod(0o755)

    def _start(self) -> None:
        """Its users are in files that only it sees: a mount namespace of its own."""
        settings: dict[str, object] = {
            "HostKey": self.folder / "host",
            "ListenAddress": f"127.0.0.1:{self.port}",
            "AuthorizedKeysFile": self.folder / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "PrintMotd": "no",
            "Banner": self.folder / "banner",
            **self.settings,
        }
        (self.folder / "banner").write_text(f"{BANNER}\n")
        (self.folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        users = Path("/etc/passwd").read_text(), Path("/etc/shadow").read_text()
        lines = [f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in _UIDS.items()]
        lines += [f"{name}:x:0:0::{self.folder}:{self._shell(name)}\n" for name in SHELLS]
        (self.folder / "passwd").write_text(users[0] + "".join(lines))
        names = (*_UIDS, *SHELLS)
        (self.folder / "shadow").write_text(users[1] + "".join(f"{name}:*:1::::::\n" for name in names))
        sudo = shutil.which("sudo", path=_PATH)
        if sudo:
            (self.folder / "sudoers").write_text(f"{SUDOER} ALL=(ALL) NOPASSWD: ALL\n{ASKED} ALL=(ALL) ALL\n")
            (self.folder / "sudoers").chmod(0o440)
        script = " && ".join(
            (
                f"mount --bind {self.folder}/passwd /etc/passwd",
                f"mount --bind {self.folder}/shadow /etc/shadow",
                *([f"mount --bind {self.folder}/sudoers /etc/sudoers"] if sudo else []),
                "mkdir -p /run/sshd",
                f"exec {shlex.quote(shutil.which('sshd', path=_PATH) or 'sshd')} -D -e -f {self.folder}/sshd_config",
            )
        )
        log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "nsenter",
                f"--net=/run/netns/{self.lab.host_ns}",
                "sh",
                "-c",
                script,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": _PATH},
        )
        log.close()
        if not until(lambda: f":{self.port} " in self.lab.on_host("ss", "-Hltn")):
            raise LabError(f"sshd does not start here: {(self.folder / 'log').read_text()[-300:]}")

    def _shell(self, name: str) -> str:
        """Where the login shell is. Busybox is one when it is called so."""
        program = shutil.which(SHELLS[name], path=_PATH)
        if program is None or name == SHELLS[name]:
            return program or "/bin/sh"
        (self.folder / name).symlink_to(program)
        return str(self.folder / name)

    @property
    def environment(self) -> dict[str, str]:
        return {**self.lab.environment, "PATH": f"{self.folder}/bin:{self.lab.environment['PATH']}"}

    def url(self, user: str = "root") -> str:
        return f"ssh://{user}@127.0.0.1:{PORT}"

    def options(self, user: str = "root") -> list[str]:
        """Of netdash, for the lab's engine as this user."""
        return ["--host", self.url(user), "--docker-host", f"unix://{self.lab.socket}"]

    def netdash(self, *words: str) -> subprocess.CompletedProcess[str]:
        argv = self.lab.netdash_argv(*words)
        return subprocess.run(argv, capture_output=True, text=True, timeout=90, env=self.environment, cwd=self.folder)

    def client(self, config: str) -> None:
        """Adds hosts to the configuration of ssh."""
        with (self.folder / "config").open("a") as file:
            file.write(config)

    def knows(self, other: Sshd) -> None:
        """Lets its ssh log in at another one too."""
        with (self.folder / "known").open("a") as file:
            file.write((other.folder / "known").read_text())
        shutil.copy(self.folder / "authorized", other.folder / "authorized")

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """No new connection is answered meanwhile."""
        assert self.process
        self.process.send_signal(19)  # SIGSTOP
        try:
            yield
        finally:
            self.process.send_signal(18)  # SIGCONT

    def allow(self, user: str) -> None:
        """Lets the user use the engine's socket, as membership of group docker would."""
        os.chown(self.lab.socket, 0, _UIDS[user])
        self.lab.socket.chmod(0o660)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
