"""A recorded host with as many containers as one likes, every second one with a published port, and with all that
Docker 20.10 adds for each: veth, rules, docker-proxies, sockets, and what is read inside."""

from __future__ import annotations

import copy
import ipaddress
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from netdash.bundle.recording import Answer, Recording
from netdash.bundle.storage import load

BUNDLE = Path(__file__).parents[1] / "recordings" / "docker20.10-legacy"
FIRST_PORT = 20_000
_PID, _INDEX = 1_000_000, 10_000
_FIRST_IP = ipaddress.ip_address("172.17.1.1")  # the pattern's subnet is a /16
_IP, _MAC, _VETH = "172.17.0.2", "02:42:ac:11:00:02", "veth8f3519d"  # of the pattern, `web`


class _Copy:
    """Container `number`, a copy of the recording's `web`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"job{number}"
        self.id = f"{number:064x}"
        self.ip = str(_FIRST_IP + number)
        self.mac = "02:42:" + ":".join(f"{int(part):02x}" for part in self.ip.split("."))
        self.veth = f"veth{number:07x}"
        self.index = _INDEX + 2 * number
        self.port = FIRST_PORT + number if number % 2 else None

    def docker(self, pattern: Any) -> Any:
        """An entry of the engine's list or an inspect."""
        made = json.loads(json.dumps(pattern).replace(_IP + '"', self.ip + '"').replace(_MAC, self.mac))
        made["Id"] = self.id
        if "Name" in made:
            made["Name"] = f"/{self.name}"
            made["State"]["Pid"] = _PID + self.number
            made["HostConfig"]["PortBindings"] = {"80/tcp": self._bindings()} if self.port else {}
            made["NetworkSettings"]["Ports"] = {"80/tcp": self._bindings() or None}
        else:
            made["Names"] = [f"/{self.name}"]
            there = {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": self.port, "Type": "tcp"}
            made["Ports"] = [there] if self.port else []
        return made

    def _bindings(self) -> list[dict[str, str]]:
        return [{"HostIp": "0.0.0.0", "HostPort": str(self.port)}] if self.port else []

    def link(self, pattern: Any) -> Any:
        made = copy.deepcopy(pattern)
        made.update(ifindex=self.index + 1, ifname=self.veth)
        if "link_netnsid" in made:
            made.update(link_index=self.index, link_netnsid=_INDEX + self.number)
        else:
            made.update(link=f"if{self.index}")
        return made

    def inside(self, text: str) -> str:
        found = text.replace(f'"{_IP}"', f'"{self.ip}"').replace(_MAC, self.mac)
        return found.replace('"ifindex":4,"link_index":5', f'"ifindex":{self.index},"link_index":{self.index + 1}')

    def rules(self) -> dict[str, list[str]]:
        """By the chain that they are appended to."""
        to = "-p tcp -m tcp --dport"
        if not self.port:
            return {}
        return {
            "-A DOCKER -d": [f"[0:0] -A DOCKER -d {self.ip}/32 ! -i docker0 -o docker0 {to} 80 -j ACCEPT"],
            "-A POSTROUTING": [f"[0:0] -A POSTROUTING -s {self.ip}/32 -d {self.ip}/32 {to} 80 -j MASQUERADE"],
            "-A DOCKER !": [f"[0:0] -A DOCKER ! -i docker0 {to} {self.port} -j DNAT --to-destination {self.ip}:80"],
        }

    def proxy(self) -> str:
        to = f"-host-ip 0.0.0.0 -host-port {self.port} -container-ip {self.ip} -container-port 80"
        return f"{_PID * 2 + self.number} 30307 /usr/sbin/docker-proxy -proto tcp {to} "

    def listener(self) -> str:
        who = f'users:(("docker-proxy",pid={_PID * 2 + self.number},fd=4))'
        return f"tcp LISTEN 0      4096       0.0.0.0:{self.port}  0.0.0.0:* {who}"


def many(count: int, inside: bool = True) -> Recording:
    """The recorded host and `count` containers more; `inside`: with what is read in their namespaces."""
    recording = load(BUNDLE)
    jobs = [_Copy(number) for number in range(count)]
    published = [job for job in jobs if job.port]
    answers: dict[str, Answer] = dict(recording.answers)
    for path in ("docker/inspect.json", "docker/containers.json"):
        listed: Any = recording.json(path)
        pattern = next(one for one in listed if one.get("Name", one.get("Names")) in ("/web", ["/web"]))
        answers[path] = [*listed, *(job.docker(pattern) for job in jobs)]
    for path in ("ip/addr.json", "ip/bridge-link.json"):
        links: Any = recording.json(path)
        pattern = next(one for one in links if one["ifname"] == _VETH)
        answers[path] = [*links, *(job.link(pattern) for job in jobs)]
    for file in ("addr.json", "route.json", "proc-net.txt"):
        raw = recording.answers[f"containers/web/{file}"]
        text = raw if isinstance(raw, str) else json.dumps(raw, separators=(",", ":"))
        if inside:
            answers |= {f"containers/{job.name}/{file}": job.inside(text) for job in jobs}
    answers["rules/iptables-legacy-save.txt"] = _rules(
        recording.text("rules/iptables-legacy-save.txt") or "", published
    )
    for path, line in (("host/docker-proxy.txt", _Copy.proxy), ("host/listeners.txt", _Copy.listener)):
        answers[path] = (recording.text(path) or "") + "".join(f"{line(job)}\n" for job in published)
    return replace(recording, answers=answers)


def _rules(text: str, published: list[_Copy]) -> str:
    lines = text.splitlines()
    for start in ("-A DOCKER -d", "-A POSTROUTING", "-A DOCKER !"):
        last = max(at for at, line in enumerate(lines) if start in line)
        lines[last + 1 : last + 1] = [rule for job in published for rule in job.rules()[start]]
    return "\n".join(lines) + "\n"
