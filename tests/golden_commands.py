"""What the golden files of the command line hold: every list view and `show`, on recorded hosts, as text and JSON."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from netdash.cli import main
from netdash.show.views import VIEWS
from tests.conftest import RECORDINGS, bundle

GOLDEN = Path(__file__).parent / "golden"

SHOWN = {
    "su1": ("trusting_shtern",),
    "docker28.5-nft-full": ("c1", "c-hostip", "c-lo", "c-nomasq", "c-int", "c-mac", "c-share", "c-host", "c-exited"),
    "docker29.7-nftables-full": ("c1", "c-routed", "c-none"),
    "podman5.8-nftables": ("c1", "cint"),
    "docker28.5-rootless-HOSTNS": ("web",),
}
"""Recorded hosts of which every view is kept, and the containers that are shown; of the others one table each."""

OTHERS = {
    "app-on-loopback": "ports",
    "dnat-missing-proxied": "drift",
    "docker20.10-legacy": "rules",
    "docker20.10-nft-full": "containers",
    "docker28.5-ufw": "ports",
    "dockerd-down-live-restore": "containers",
    "iptables-flush": "ports",
    "forward-drop-ahead": "drift",
    "proxy-dead": "ports",
    "v29-nft-flush-ruleset": "drift",
}


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(golden file below GOLDEN, arguments)."""
    for name, containers in SHOWN.items():
        for view in VIEWS:
            yield f"{name}/{view.name}.txt", ("--from", str(bundle(name)), view.name)
            if view.name != "rules" or name == "su1":  # one host's rules say it; they are long
                yield f"{name}/{view.name}.json", ("--from", str(bundle(name)), view.name, "--json")
        for container in containers:
            yield f"{name}/show-{container}.txt", ("--from", str(bundle(name)), "show", container)
        yield f"{name}/show-{containers[0]}.json", ("--from", str(bundle(name)), "show", containers[0], "--json")
    for name, view_name in OTHERS.items():
        yield f"{name}/{view_name}.txt", ("--from", str(RECORDINGS / name), view_name)


def run(arguments: tuple[str, ...]) -> str:
    """What the command says: stdout, then its notes and its exit code where they are not the usual ones."""
    out, notes = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(notes):
        code = main(arguments)
    said = notes.getvalue().replace(str(RECORDINGS.parents[1]), "")
    return out.getvalue() + (f"stderr: {said}" if said else "") + (f"exit {code}\n" if code else "")
