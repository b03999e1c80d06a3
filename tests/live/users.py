"""netdash run by others than root, in a lab's host: Python and the packages are mounted where anyone may read them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from lab import ROOT, Lab

NOBODY = ("--reuid=65534", "--regid=65534")


def rights(lab: Lab, user: str) -> list[str]:
    """setpriv's words for a column of the table of docs/privileges.md."""
    if user == "root":
        return []
    if user == "docker group":
        return [*NOBODY, f"--groups={lab.socket.stat().st_gid}"]
    if user == "CAP_NET_ADMIN":
        return [*NOBODY, "--clear-groups", "--inh-caps=+net_admin", "--ambient-caps=+net_admin"]
    return [*NOBODY, "--clear-groups"]


def command(lab: Lab, user: str, *words: str, within: tuple[str, ...] = ()) -> list[str]:
    """Python with these words, as that user; `within`: what then runs Python."""
    shown = lab.folder / "nobody"
    mounts = {
        Path(sys.base_prefix): shown / "base",
        ROOT / "netdash": shown / "code" / "netdash",
        ROOT / "tests": shown / "code" / "tests",
        Path(sysconfig.get_path("purelib")): shown / "packages",
    }
    for target in mounts.values():
        target.mkdir(parents=True, exist_ok=True)
    binds = [
        f"mount --rbind {shlex.quote(str(source))} {shlex.quote(str(target))}" for source, target in mounts.items()
    ]
    python = mounts[Path(sys.base_prefix)] / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    drop = ["setpriv", *rights(lab, user), "--"]
    asked = ["nsenter", f"--net=/run/netns/{lab.host_ns}", *drop, *within, str(python), *words]
    script = " && ".join([*binds, "exec " + shlex.join(asked)])
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]


def environment(lab: Lab) -> dict[str, str]:
    shown = lab.folder / "nobody"
    path = f"{shown}/code:{shown}/packages"
    # A Python built with a shared library looks for it where nobody may not. The tools are this machine's own: those of
    # another release run in its root, which only root may enter.
    own = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "HOME": "/"}
    return {**lab.environment, **own, "PYTHONPATH": path, "LD_LIBRARY_PATH": f"{shown}/base/lib"}


def ask(lab: Lab, user: str, *words: str) -> subprocess.CompletedProcess[str]:
    """netdash with these words, as that user."""
    return subprocess.run(
        command(lab, user, "-m", "netdash", *words),
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env=environment(lab),
    )
