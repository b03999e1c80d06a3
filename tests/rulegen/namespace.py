"""A network namespace of its own to load rules into, and netdash's own reader pointed at it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from netdash.bundle.recording import Recording
from netdash.collect.filter_rules import RuleFamily, RuleReader
from netdash.model.host import Ruleset
from netdash.rules.ruleset import read_ruleset

RESTORE = {
    ("ip", "iptables-nft"): "iptables-nft-restore",
    ("ip6", "iptables-nft"): "ip6tables-nft-restore",
    ("ip", "iptables-legacy"): "iptables-legacy-restore",
    ("ip6", "iptables-legacy"): "ip6tables-legacy-restore",
}

_numbers = itertools.count()


class Namespace:
    """`with Namespace() as space`."""

    def __init__(self) -> None:
        self.name = f"ndgen{os.getpid()}-{next(_numbers)}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))

    def __enter__(self) -> Namespace:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=True)
        shutil.rmtree(self.folder)

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        enter = ("nsenter", f"--net=/run/netns/{self.name}", "--", *command)
        return subprocess.run(enter, input=text, capture_output=True, text=True, check=False)

    def refused(self, tool: str, *options: str, text: str) -> str:
        """Load `text` by a tool that reads its standard input; its complaint, "" when it took all."""
        done = self.run(tool, *options, text=text)
        return "" if done.returncode == 0 else done.stderr.strip() or "refused"

    def flush(self) -> None:
        self.run("nft", "flush", "ruleset")

    def read(self) -> Ruleset:
        """What netdash reads of this namespace's rules."""
        answers, failures = self.reader().read()
        ruleset = read_ruleset(Recording(answers=dict(answers)))
        assert ruleset is not None, failures
        return ruleset

    def reader(self) -> RuleReader:
        """A reader that asks this namespace, and knows nothing yet."""
        families = []
        for name, tool in (("ip", "iptables"), ("ip6", "ip6tables")):
            names = self.folder / name
            names.write_text(self.run("cat", f"/proc/net/{name}_tables_names").stdout)
            families.append(RuleFamily(tool, names, name))
        return RuleReader(60.0, self._find, lambda: None, tuple(families))

    def _find(self, tool: str) -> str | None:
        """A script that runs the tool in this namespace."""
        path = shutil.which(tool)
        if path is None:
            return None
        script = self.folder / f"run-{tool}"
        script.write_text(f'#!/bin/sh\nexec nsenter --net=/run/netns/{self.name} -- {path} "$@"\n')
        script.chmod(0o755)
        return str(script)
