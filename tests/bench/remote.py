"""What another host pays for being looked at by ssh: `python tests/bench/remote.py` as root.

A real sshd in a namespace with the devices, rules and neighbours of many containers, which a fake engine tells of.
Bytes are those on the wire, both ways; processor time is that of sshd's session, of the shell and of what it runs.
Nothing is asked inside containers, because these have no processes. --containers and --rounds change the size.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "live"), str(HERE.parents[1])]

from bench import say  # noqa: E402
from lab import RULE_TOOLS, LabError, run, why_not  # noqa: E402
from sshd import Space, Sshd  # noqa: E402
from terminal import cpu_seconds  # noqa: E402

from netdash.bundle.collector_stream import ASKED  # noqa: E402
from netdash.collect.hosts import QUICK, SLOW  # noqa: E402
from netdash.collect.ssh import Session, address  # noqa: E402
from tests.support.read_engines import FakeEngine  # noqa: E402

RECORDED = HERE.parent / "recordings/docker29.7-nftables-full/docker"
FIRST_PORT = 20_000


class Crowd(FakeEngine):
    """An engine with many copies of one recorded container; every other one has a published port."""

    def __init__(self, path: Path, count: int) -> None:
        super().__init__(path, 0)
        (listed,), (inspected,) = (
            [one for one in json.loads((RECORDED / name).read_text()) if name_of(one) == "web"]
            for name in ("containers.json", "inspect.json")
        )
        self.listed: dict[str, Any] = {}
        for number in range(count):
            identity = f"{number * 7919 + 1:064x}"
            self.listed[identity] = self._copy(listed, number, identity)
            self.containers[identity] = self._copy(inspected, number, identity)

    def _copy(self, one: dict[str, Any], number: int, identity: str) -> dict[str, Any]:
        found = copy.deepcopy(one)
        name = f"b-{number:03}"
        found |= {"Id": identity} | ({"Names": [f"/{name}"]} if "Names" in found else {"Name": f"/{name}"})
        for network in found["NetworkSettings"]["Networks"].values():
            network["IPAddress"] = container_address(number)
        if "Name" in found:
            found["State"]["Pid"] = 0
            ports = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(FIRST_PORT + number)}]} if number % 2 else {}
            found["NetworkSettings"]["Ports"] = found["HostConfig"]["PortBindings"] = ports
        return found

    def answer(self, path: str) -> object:
        if path == "/containers/json":
            return [one for identity, one in self.listed.items() if identity in self.containers]
        recorded = {"/networks": "networks.json", "/info": "info.json", "/version": "version.json"}
        return json.loads((RECORDED / recorded[path]).read_text()) if path in recorded else super().answer(path)


def name_of(one: dict[str, Any]) -> str:
    return str(one.get("Name") or one["Names"][0]).removeprefix("/")


def container_address(number: int) -> str:
    return f"172.17.{1 + number // 250}.{2 + number % 250}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--containers", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10, help="of which the mean is shown")
    options = parser.parse_args()
    reason = why_not(RULE_TOOLS)
    if reason:
        print(f"cannot measure here: {reason}", file=sys.stderr)
        return 1
    try:
        with Space(lambda path: Crowd(path, options.containers)) as space, Sshd(space) as sshd:
            inside = f"{space.tag}c"  # the other ends of all devices
            run("ip", "netns", "add", inside)
            try:
                furnish(space, inside, options.containers)
                measure(sshd, options.rounds)
            finally:
                run("ip", "netns", "del", inside)
    except LabError as error:
        print(f"cannot measure here: {error}", file=sys.stderr)
        return 1
    return 0


def furnish(space: Space, inside: str, count: int) -> None:
    """The bridge, a pair of devices and a neighbour for each container, and Docker's rules for the published ports."""
    lines = ["link add docker0 type bridge", "addr add 172.17.0.1/16 dev docker0", "link set docker0 up"]
    rules = [
        "*nat",
        ":DOCKER - [0:0]",
        *(f"-A {hook} -m addrtype --dst-type LOCAL -j DOCKER" for hook in ("PREROUTING", "OUTPUT")),
    ]
    for number in range(count):
        ip = container_address(number)
        mac = f"02:42:ac:11:{number // 250:02x}:{number % 250:02x}"
        lines += [
            f"link add veth{number} master docker0 type veth peer name c{number} netns {inside}",
            f"link set veth{number} up",
            f"neigh replace {ip} lladdr {mac} dev docker0",
        ]
        if number % 2:
            port = FIRST_PORT + number
            rules.append(f"-A DOCKER ! -i docker0 -p tcp --dport {port} -j DNAT --to-destination {ip}:80")
    enter = ["nsenter", f"--net=/run/netns/{space.host_ns}"]
    subprocess.run([*enter, "ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
    rules += ["COMMIT", ""]
    batch = "\n".join(f"link set c{number} up" for number in range(count))
    subprocess.run(["ip", "-n", inside, "-batch", "-"], input=batch, text=True, check=True)
    subprocess.run([*enter, "iptables-nft-restore"], input="\n".join(rules), text=True, check=True)


def measure(sshd: Sshd, rounds: int) -> None:
    enter = f"nsenter --net=/run/netns/{sshd.lab.host_ns}"
    ssh = f"{shutil.which('ssh')} -F {sshd.folder}/config"
    (sshd.folder / "bin/ssh").write_text(f'#!/bin/sh\nexec {enter} {ssh} "$@"\n')
    os.environ["PATH"] = f"{sshd.folder}/bin:{sshd.lab.environment['PATH']}"
    session = Session(address(sshd.url()), f"unix://{sshd.lab.socket}")
    try:
        first = cost(sshd, lambda: ask(session, ASKED))
        say("all sources at first", *shown(first))
        everything = cost(sshd, lambda: ask(session, ASKED), rounds)
        say("all sources, nothing changed", *shown(everything))
        sshd.lab.engine.containers.popitem()
        say("all sources, a container went", *shown(cost(sshd, lambda: ask(session, ASKED))))
        slow = cost(sshd, lambda: ask(session, SLOW), rounds)
        say("all but the engine, nothing changed", *shown(slow))
        quick = cost(sshd, lambda: ask(session, QUICK), rounds)
        say("quick sources, nothing changed", *shown(quick))
        counted = cost(sshd, lambda: ask(session, QUICK), rounds, lambda: traffic(sshd))
        say("quick sources, rules counted", *shown(counted))
        waited = cost(sshd, lambda: session.changed(2), rounds)
        say("waiting for events, 2 s", *shown(waited))
        for what, one, pause in (("where nothing changes", quick, 15), ("where rules count", counted, 5)):
            # of 60 s: once everything, once all but the engine, else the quick sources
            sums = [(everything[at] + slow[at] + one[at] * (60 / pause - 2)) / 60 + waited[at] / 2 for at in (0, 1)]
            say(f"so at rest, {what}", f"{sums[0]:.0f} B/s", f"{sums[1] * 100:.1f} % of a core")
    finally:
        session.close()


def ask(session: Session, sources: Sequence[str]) -> None:
    found = session.ask(sources)
    if "host" in found.failures or session.trouble:
        raise LabError(f"it cannot be read: {session.trouble}; {dict(found.failures)}")


def traffic(sshd: Sshd) -> None:
    """New connections, which the rules of nat count."""
    send = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.2', 40000))"
    sshd.lab.on_host(sys.executable, "-c", send)


def shown(both: tuple[float, float]) -> tuple[str, str]:
    return f"{both[0] / 1000:.1f} kB", f"{both[1]:.3f} s"


def cost(
    sshd: Sshd, work: Callable[[], object], times: int = 1, before: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """Bytes on the wire and seconds of the processor there, of one round."""
    sent = spent = 0.0
    for _ in range(times):
        before()
        began = wire(sshd), there(sshd)
        work()
        sent, spent = sent + wire(sshd) - began[0], spent + there(sshd) - began[1]
    return sent / times, spent / times


def wire(sshd: Sshd) -> int:
    """Bytes that the host's loopback has carried: nothing but ssh talks on it at length."""
    return int(sshd.lab.on_host("cat", "/proc/net/dev").partition("lo:")[2].split()[0])


def there(sshd: Sshd) -> float:
    """For all sessions, with the children that have ended."""
    assert sshd.process
    return sum(cpu_seconds(pid) for pid in below(sshd.process.pid))


def below(pid: int) -> Iterator[int]:
    """All children of a process, theirs and so on."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        yield from below(child)


if __name__ == "__main__":
    sys.exit(main())
