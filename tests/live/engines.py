"""Engines of other Debian releases, in the folders of `make engines`: their daemons and rule tools run with a folder as
their root, in a mount namespace of their own, so that nothing they mount is seen outside."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("NETDASH_ENGINES", ROOT / ".engines"))
RULE_TOOLS = ("nft", "iptables-save", "ip6tables-save", "iptables-nft-save", "ip6tables-nft-save")
LEGACY_TOOLS = ("iptables-legacy-save", "ip6tables-legacy-save")
_ENTER = """
set -e
root=$1 shared=$2
shift 2
mount --bind "$root" "$root"
for each in proc sys dev; do mount --rbind "/$each" "$root/$each"; done
for each in run tmp; do mount -t tmpfs -o mode=755 tmpfs "$root/$each"; done
mkdir -p "$root$shared"
mount --rbind "$shared" "$root$shared"
cd "$root"
pivot_root . mnt
exec chroot . sh -c 'umount --lazy /mnt; exec "$@"' sh "$@"
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """One release's root."""

    suite: str

    @property
    def root(self) -> Path:
        return FOLDER / self.suite

    def why_not(self, tool: str = "dockerd") -> str | None:
        """What keeps its engine from running here, in one line."""
        if any((self.root / place / tool).exists() for place in ("usr/sbin", "usr/bin")):
            return None
        return f"no {tool} in {self.root} (make engines)"

    def enter(self, shared: Path) -> list[str]:
        """The words before a command that is to have the folder as its root, and `shared` at the same path as here."""
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", str(self.root), str(shared)]

    def tools(self, target: Path, pid: int) -> None:
        """Commands in `target` which run the release's own rule tools: the ones that a host with this engine has. They
        go where its daemon is."""
        target.mkdir(exist_ok=True)
        for name in (*RULE_TOOLS, *LEGACY_TOOLS):
            if (self.root / "usr/sbin" / name).is_symlink() or (self.root / "usr/sbin" / name).exists():
                script = target / name
                script.write_text(
                    f'#!/bin/sh\nexec nsenter --target {pid} --mount --root --wd=/ -- /usr/sbin/{name} "$@"\n'
                )
                script.chmod(0o755)
