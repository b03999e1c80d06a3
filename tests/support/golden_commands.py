"""What the golden files of the command line hold: every list view, `show`, `trace`, `reach` and `who`, on recorded
hosts, as text and JSON."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from netdash.cli.main import main
from netdash.view.views import VIEWS
from tests.conftest import RECORDINGS, bundle

GOLDEN = Path(__file__).parents[1] / "golden"

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

TRACED = {
    "docker28.5-nft-full": {
        "published": ("outside", ":8080"),
        "isolated": ("c1", "172.17.0.2:80"),
        "proxied": ("host", "127.0.0.1:8080"),
    },
    "docker29.7-nftables-full": {"neighbour": ("c1", "203.0.113.2:8080"), "no-route": ("c-int", "198.51.100.1:9")},
    "masq-missing": {"out": ("web", "192.0.2.10:80")},
    "nft-incompatible-table": {"unsure": ("outside", ":8080")},
    "podman5.8-nftables": {"unknown": ("outside", ":8080")},
    "internal-network": {"blockers": ("web", "192.0.2.10:80")},
}
"""Questions by recorded host and golden file; the first of each host also as JSON."""


EXAMINED = (
    "app-on-loopback",
    "docker20.10-legacy",
    "docker28.5-rootless-HOSTNS",
    "forward-drop-ahead",
    "iptables-flush",
)
"""Recorded hosts of which the doctor's findings are kept."""


SINGLE = (
    ("masq-missing", "reach.txt", "reach"),
    ("masq-missing", "reach.json", "reach", "--json"),
    ("docker28.5-nft-full", "reach.txt", "reach"),
    ("docker28.5-nft-full", "reach-web.txt", "reach", "web"),
    ("masq-missing", "who.txt", "who", "web"),
    ("masq-missing", "who.json", "who", "web", "--json"),
    ("docker28.5-nft-full", "who-c1.txt", "who", "c1:80"),
    ("docker28.5-nft-full", "map.txt", "map"),  # healthy
    ("docker28.5-nft-full", "map-six.txt", "map", "six"),
    ("docker28.5-rootless-HOSTNS", "map.txt", "map"),  # not readable
    ("forward-drop-ahead", "map.txt", "map"),  # broken
    ("forward-drop-ahead", "map.json", "map", "--json"),
    ("podman5.8-nftables", "map.txt", "map"),  # with answers that are not known
)
"""A recorded host, a golden file and a command."""


def commands() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(golden file below GOLDEN, arguments)."""
    yield from _views()
    for name, questions in TRACED.items():
        for at, (file, words) in enumerate(questions.items()):
            asked = ("--from", str(bundle(name)), "trace", *words)
            yield f"{name}/trace-{file}.txt", asked
            if at == 0:
                yield f"{name}/trace-{file}.json", (*asked, "--json")
    for name, file, *words in SINGLE:
        yield f"{name}/{file}", ("--from", str(bundle(name)), *words)
    for name in EXAMINED:
        yield f"{name}/doctor.txt", ("--from", str(bundle(name)), "doctor")
    yield "iptables-flush/doctor.json", ("--from", str(bundle("iptables-flush")), "doctor", "--json")
    for name, view_name in OTHERS.items():
        yield f"{name}/{view_name}.txt", ("--from", str(RECORDINGS / name), view_name)


def _views() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, containers in SHOWN.items():
        for view in VIEWS:
            yield f"{name}/{view.name}.txt", ("--from", str(bundle(name)), view.name)
            if view.name != "rules" or name == "su1":  # one host's rules say it; they are long
                yield f"{name}/{view.name}.json", ("--from", str(bundle(name)), view.name, "--json")
        for container in containers:
            yield f"{name}/show-{container}.txt", ("--from", str(bundle(name)), "show", container)
        yield f"{name}/show-{containers[0]}.json", ("--from", str(bundle(name)), "show", containers[0], "--json")


def run(arguments: tuple[str, ...]) -> str:
    """What the command says: stdout, then its notes and its exit code where they are not the usual ones."""
    out, notes = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(notes):
        code = main(arguments)
    said = notes.getvalue().replace(str(RECORDINGS.parents[1]), "")
    return out.getvalue() + (f"stderr: {said}" if said else "") + (f"exit {code}\n" if code else "")
