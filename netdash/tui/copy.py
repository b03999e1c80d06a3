"""What can be copied of a thing, and the clipboard of the user at the terminal: through tmux, or by a sequence of the
terminal (OSC 52)."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from netdash.kernel.lost_packets import LOST
from netdash.model.addresses import socket_text
from netdash.model.engine_state import Drift
from netdash.model.host import (
    Container,
    Host,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Ref,
    Route,
    Rule,
    RulesNote,
)
from netdash.model.kernel_state import Drop
from netdash.model.packet import Flow
from netdash.model.records import dataclass
from netdash.tui.popup import Offer, Popup
from netdash.tui.term.driver import Terminal
from netdash.tui.work import Background
from netdash.view import json_host, marks
from netdash.view.columns_flows import sentence
from netdash.view.columns_kernel import place, what
from netdash.view.findings import command
from netdash.view.table import View
from netdash.view.text import SafeText, Tone, nft_command, safe, shell_command

if TYPE_CHECKING:
    from netdash.tui.dashboard import Dashboard


def choose(dashboard: Dashboard, ref: Ref | None) -> None:
    """Lists what can be copied of the thing that `ref` names."""
    host_view = dashboard.host_view
    found = host_view.find(ref) if host_view and ref else None
    if host_view is None or ref is None or found is None:
        dashboard.say("nothing to copy here", Tone.DIM)
        return
    view, place = found
    offers = choices(host_view.host, view, host_view.rows(view).things[place], dashboard.netdash.there)
    if ref.kind == "address":
        offers = (("address", ref.key), *(offer for offer in offers if offer[1] != ref.key))

    def copied(text: str | None) -> None:
        if text is not None:
            put(dashboard, safe(text), dashboard.say)

    dashboard.app.push_screen(Popup("Copy", offers=offers), copied)


def choices(
    host: Host, view: View, thing: object, there: Callable[[str], str] = lambda command: command
) -> tuple[Offer, ...]:
    """Label and text of everything worth copying of one record of a view, the likeliest first. A text is one line.
    `there` makes a command one that runs on the host which is shown."""
    values = json_host.show(host, thing) if isinstance(thing, Container) else json_host.list_view(host, view, [thing])
    offers = (*_OFFERS[type(thing)](host, thing), ("JSON", json_host.dumps(values, None)))
    return tuple(
        (label, safe(there(text) if label in ("command", "fix") and not text.startswith("#") else text))
        for label, text in offers
    )


def _fixes(host: Host, container_id: str | None, port: str | None = None) -> list[Offer]:
    """What mends the worst that hits it."""
    found = marks.findings_of(host, container_id, port)
    return [("fix", command(fix)) for fix in (found[0].fix if found else ())]


def _container(host: Host, container: Container) -> list[Offer]:
    offers = _fixes(host, container.id)
    offers += [("address", str(address.ip)) for endpoint in container.endpoints for address in endpoint.addresses]
    ports = [port for port in host.ports or () if port.container_id == container.id and port.live]
    offers += [("address:port", socket_text(port.host_ip, port.host_port)) for port in ports]
    offers += [
        ("name", container.name),
        ("id", container.short_id),
        ("command", shell_command("docker inspect {}", container.name)),
    ]
    if container.pid:
        offers.append(("command", f"nsenter -t {container.pid} -n ip addr"))
    return [*offers, ("command", shell_command("docker port {}", container.name))]


def _port(host: Host, port: Port) -> list[Offer]:
    offers = _fixes(host, port.container_id, f"{port.host_port}/{port.proto}") if port.container_id else []
    offers.append(("address:port", socket_text(port.host_ip, port.host_port)))
    if port.target_ip and port.container_port:
        offers.append(("target", socket_text(port.target_ip, port.container_port)))
    if port.dnat:
        offers.append(("rule", port.dnat.text))
    tool = "-lunp" if port.proto == "udp" else "-ltnp"
    return [*offers, ("command", f"ss {tool} 'sport = :{port.host_port}'")]


def _rule(host: Host, rule: Rule) -> list[Offer]:  # noqa: ARG001
    offers = [("rule", rule.text), ("command", rule_command(rule))]
    if rule.target.address:
        offers.append(("address", str(rule.target.address)))
    return [*offers, ("place", rule.place)]


def _note(host: Host, note: RulesNote) -> list[Offer]:  # noqa: ARG001
    return [("text", note.text)]


def _drift(host: Host, drift: Drift) -> list[Offer]:  # noqa: ARG001
    return [("rule", drift.text), ("command", rule_command(drift)), ("reason", drift.why)]


def rule_command(rule: Rule | Drift) -> SafeText:
    """The command that shows the chain of a rule, with the tool that can. It reads only."""
    if rule.backend.startswith("iptables"):
        tool = "ip6tables" if rule.family == "ip6" else "iptables"
        backend = rule.backend.removeprefix("iptables-")
        return shell_command(f"{tool}-{backend} -t {{}} -vnL {{}} --line-numbers", rule.table, rule.chain)
    return nft_command("nft -a list chain {} {} {}", rule.family, rule.table, rule.chain)


def _route(host: Host, route: Route) -> list[Offer]:  # noqa: ARG001
    dst = "default" if route.default else str(route.dst)
    offers = [("route", dst), ("command", shell_command(f"ip -{route.family} route show table {{}}", route.table))]
    return [*offers, ("gateway", str(route.gateway))] if route.gateway else offers


def _policy(host: Host, rule: PolicyRule) -> list[Offer]:  # noqa: ARG001
    return [("rule", rule.text), ("command", f"ip -{rule.family} rule")]


def _proxy(host: Host, proxy: Proxy) -> list[Offer]:  # noqa: ARG001
    return [
        ("pid", str(proxy.pid)),
        ("address:port", socket_text(proxy.host_ip, proxy.host_port)),
        ("target", socket_text(proxy.container_ip, proxy.container_port)),
        ("command", f"ps -o pid,ppid,rss,args -p {proxy.pid}"),
    ]


def _network(host: Host, network: Network) -> list[Offer]:  # noqa: ARG001
    offers = [("subnet", str(subnet)) for subnet in network.subnets]
    return [*offers, ("name", network.name), ("command", shell_command("docker network inspect {}", network.name))]


def _link(host: Host, link: Link) -> list[Offer]:  # noqa: ARG001
    offers = [("address", str(address.ip)) for address in link.addresses]
    return [("name", link.name), *offers, ("command", shell_command("ip -d -s link show {}", link.name))]


def _neighbour(host: Host, neighbour: Neighbour) -> list[Offer]:  # noqa: ARG001
    offers = [("address", str(neighbour.ip)), ("command", shell_command("ip neigh show dev {}", neighbour.dev))]
    return [*offers, ("MAC", neighbour.mac)] if neighbour.mac else offers


def _flow(host: Host, flow: Flow) -> list[Offer]:
    ends = flow.entry.original
    words = ["conntrack", "-L", "-p", flow.entry.proto, "-s", str(ends.src), "-d", str(ends.dst)]
    words += ["--sport", str(ends.sport), "--dport", str(ends.dport)] if ends.dport is not None else []
    offers = [("path", sentence(host, flow)), ("command", " ".join(words))]
    return [*offers, ("address", str(flow.client.ip)), ("address:port", socket_text(flow.server.ip, flow.server.port))]


def _drop(host: Host, drop: Drop) -> list[Offer]:
    if isinstance(drop.place, Rule):
        return _rule(host, drop.place)
    if drop.device:
        return [("name", drop.device), ("command", shell_command("ip -s -s link show {}", drop.device))]
    offers = [("text", what(host, drop)), ("name", drop.name or place(drop))]
    return [*offers, ("command", shell_command("nstat -asz {}", drop.name))] if drop.name in LOST else offers


_OFFERS: Mapping[type, Callable[[Host, Any], list[Offer]]] = {
    Container: _container,
    Port: _port,
    Rule: _rule,
    RulesNote: _note,
    Route: _route,
    PolicyRule: _policy,
    Proxy: _proxy,
    Network: _network,
    Link: _link,
    Neighbour: _neighbour,
    Drift: _drift,
    Flow: _flow,
    Drop: _drop,
}


Say = Callable[[str, Tone], None]

CHUNK = 76  # bytes of a device control string that every version of screen takes
_PATIENCE = 2.0  # seconds for a call of tmux
_PATH = "/usr/local/bin:/usr/bin:/bin"
_WITHOUT = ("linux", "vt")  # terminals that have no clipboard


@dataclass(frozen=True, slots=True)
class Tmux:
    """A server whose terminal this is. It is spoken to as its own user: it may tell its client what to execute."""

    socket: str
    user: int
    group: int


def put(screen: Screen[Any], text: SafeText, say: Say) -> None:
    """Copies behind the screen, and calls `say` with what was done."""

    def done(copied: object) -> None:
        if isinstance(copied, str):
            say(copied, Tone.GOOD)
            return
        driver = screen.app._driver
        name = os.environ.get("TERM", "")
        if driver is None or name.startswith(_WITHOUT):
            say(f"not copied: this terminal (TERM={name}) has no clipboard", Tone.WARN)
        else:
            driver.write(osc52(text, os.environ))
            say(f"sent to the terminal's clipboard, if it takes that (OSC 52): {text}", Tone.GOOD)

    if isinstance(screen.app._driver, Terminal):
        Background[str | None](screen).start(lambda: _through_tmux(text), done)
    else:
        done(None)


def osc52(text: SafeText, environ: Mapping[str, str]) -> str:
    """The sequence that puts `text` on the clipboard of the terminal in front of the user, through tmux and screen.

    tmux passes a sequence on when it is wrapped in DCS tmux with every ESC doubled; screen when it is cut into
    device control strings of its own.
    """
    sequence = f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode('ascii')}\x07"
    if environ.get("TMUX"):
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\" + sequence
    if environ.get("STY"):
        return "".join(f"\x1bP{sequence[at : at + CHUNK]}\x1b\\" for at in range(0, len(sequence), CHUNK))
    return sequence


# --- tmux -------------------------------------------------------------------------------------------------------------


def _through_tmux(text: SafeText) -> str | None:
    """What was done, in words; None where no tmux took it."""
    tmux = find(os.environ)
    if tmux is None:
        return None
    passes = _asked(tmux, "show-options", "-sv", "set-clipboard") in ("on", "external")
    if passes and _asked(tmux, "load-buffer", "-w", "-", given=text) is not None:
        return f"copied to tmux, which passes it to its terminal: {text}"
    if _asked(tmux, "load-buffer", "-", given=text) is not None:
        return f"copied to tmux only (prefix ] pastes it): {text}"
    return None


def find(environ: Mapping[str, str]) -> Tmux | None:
    """The tmux that this process runs in: an ancestor of it, as sudo takes $TMUX away; else what that names, of the
    same user."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for process in psutil.Process().parents():
            if process.name() == "tmux: server":
                user, group = process.uids().real, process.gids().real
                sockets = sorted(
                    {
                        str(net_connection.laddr)
                        for net_connection in process.net_connections("unix")
                        if net_connection.laddr
                    }
                )
                return next((Tmux(path, user, group) for path in sockets if is_of(path, user)), None)
    path = environ.get("TMUX", "").rpartition(",")[0].rpartition(",")[0]
    return Tmux(path, os.geteuid(), os.getegid()) if path and is_of(path, os.geteuid()) else None


def is_of(path: str, user: int) -> bool:
    """Whether it is a socket in a folder that only that user can write."""
    try:
        folder, file = os.lstat(os.path.dirname(path)), os.lstat(path)
    except OSError:
        return False
    theirs = folder.st_uid == user == file.st_uid and not folder.st_mode & 0o022
    return theirs and stat.S_ISDIR(folder.st_mode) and stat.S_ISSOCK(file.st_mode)


def _asked(tmux: Tmux, *command: str, given: str = "") -> str | None:
    """What the server answers; None when it refuses or hangs."""
    other = tmux.user != os.geteuid()
    try:
        done = subprocess.run(
            ["tmux", "-S", tmux.socket, *command],
            input=given.encode("utf-8", "replace"),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            cwd="/",
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
            user=tmux.user if other else None,
            group=tmux.group if other else None,
            extra_groups=[] if other else None,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
