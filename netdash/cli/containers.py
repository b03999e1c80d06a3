"""The list of containers of this host: its engine is asked while what prints the list is loaded. Where that is not
enough to know what the list shows, all is read as for every other list."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING

from netdash.cli.arguments import Arguments
from netdash.engine.first_answer import ListedContainers

if TYPE_CHECKING:
    from netdash.model.host import Host, Network

_LIMIT = 3.0  # seconds, as for other lists


def run(arguments: Arguments) -> int:
    host = _listed(arguments) if _is_plain(arguments) else None
    from netdash.cli import lists

    if host is None:
        return lists.run(arguments)
    from netdash.view.columns_engine import CONTAINERS

    return lists.print_view(arguments, host, CONTAINERS, arguments.filter)


def _is_plain(arguments: Arguments) -> bool:
    """Whether the engine alone knows what is asked for: not how containers fare, nor what their JSON tells."""
    as_json = arguments.json or arguments.output == "json"
    fares = any("is:" in word.casefold() for word in arguments.filter)
    return arguments.bundle is None and not arguments.hosts and not as_json and not fares


def _listed(arguments: Arguments) -> Host | None:
    asked, taken = ListedContainers(arguments.docker_host, arguments.timeout or _LIMIT), time.time()
    from netdash.cli.own_records import with_own_records
    from netdash.join.host import Builder  # loads most of what is needed, while the engine lists its containers

    if not asked.ask_details():
        return None
    from netdash.cli import lists  # loads the rest, while the engine looks each of them up  # noqa: F401
    from netdash.view import columns_engine  # noqa: F401

    answers = asked.take()
    if answers is None or _is_elsewhere(asked.pid):
        return None
    from netdash.bundle.recording import Recording

    recording = Recording(answers, taken=taken, hostname=os.uname().nodename, live=True)
    host = Builder(compare=False).build(with_own_records(recording))
    return host if _is_known(host) else None


def _is_elsewhere(pid: int) -> bool:
    """Whether the engine may be in another network namespace than this process."""
    try:
        return pid > 1 and os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
    except OSError:
        return False


def _is_known(host: Host) -> bool:
    """Whether nothing that is listed hangs on the kernel's devices, or on what is seen in a container's namespace."""
    from netdash.kernel.devices import GWBRIDGE

    networks, containers = host.networks or (), host.containers or ()
    shared = any(container.shares_with for container in containers)
    return not shared and not any(network.name == GWBRIDGE or _is_renamed(network) for network in networks)


def _is_renamed(network: Network) -> bool:
    """Whether the network's bridge may have another name: there is none of its own, but a device has its address."""
    devices, four, six = map(_read, ("dev", "fib_trie", "if_inet6"))
    names = {line.partition(":")[0].strip() for line in devices.splitlines()}
    if not network.bridge or network.bridge in names:
        return False
    own = (f"-- {ip}\n" in four if ip.version == 4 else f"{int(ip):032x}" in six for ip in network.gateways)
    return not devices or not four or any(own)


@cache
def _read(name: str) -> str:
    """What the kernel tells of this network namespace; "" of IPv6 where it has none."""
    try:
        with open(f"/proc/net/{name}", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
