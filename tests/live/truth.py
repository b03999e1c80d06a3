"""What other tools say of a lab's host: iptables-save, ps, ip, docker inspect. The judge of the live tests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lab import Lab

COUNTED = re.compile(r"\[(\d+):(\d+)\] (-A (\S+) .*)")


@dataclass(frozen=True, slots=True)
class Line:
    """A rule as iptables-save counts it; `position` is 1-based in its chain."""

    chain: str
    position: int
    text: str
    packets: int


def backend(lab: Lab) -> str:
    """netdash's word for what carries the engine's rules."""
    return "iptables-legacy" if lab.legacy else "iptables-nft"


def nat_rules(lab: Lab) -> dict[str, Line]:
    """The IPv4 nat table that the engine writes, by rule text."""
    tool = "iptables-legacy-save" if lab.legacy else "iptables-save"
    found: dict[str, Line] = {}
    positions: dict[str, int] = {}
    for line in lab.on_host(tool, "-c", "-t", "nat").splitlines():
        match = COUNTED.fullmatch(line.strip())
        if match:
            packets, _, text, chain = match.groups()
            positions[chain] = positions.get(chain, 0) + 1
            found[text.strip()] = Line(chain, positions[chain], text.strip(), int(packets))
    return found


def inspect(lab: Lab, container: str) -> dict[str, Any]:
    (answer,) = json.loads(lab.docker("inspect", container))
    return answer


def networks(lab: Lab, container: str) -> dict[str, dict[str, Any]]:
    answer: dict[str, dict[str, Any]] = inspect(lab, container)["NetworkSettings"]["Networks"]
    return answer


def host_veth(lab: Lab, container: str, ip: str) -> str:
    """The host's end of the pair whose inner end has the address: by the indices both ends tell."""
    inner = next(
        link
        for link in json.loads(lab.inside(container, "ip", "-j", "addr"))
        if any(one["local"] == ip for one in link["addr_info"])
    )
    outer = [
        link
        for link in json.loads(lab.on_host("ip", "-j", "-d", "link"))
        if link["ifindex"] == inner["link_index"] and link.get("master")
    ]
    return str(outer[0]["ifname"])


def bridge_of(lab: Lab, veth: str) -> str:
    (link,) = json.loads(lab.on_host("ip", "-j", "link", "show", veth))
    return str(link["master"])


def arguments(lab: Lab, pid: int) -> str:
    """As ps shows them; empty for no such process."""
    return lab.on_host("ps", "-o", "args=", "-ww", "-p", str(pid)).strip()


def ports(shown: dict[str, Any], host_ip: str | None = None) -> dict[tuple[str, int], dict[str, Any]]:
    """`published` of `netdash show` by (protocol, host port), of IPv4 binds only, or of one address."""
    return {
        (one["proto"], one["host_port"]): one
        for one in shown["published"]
        if (one["host_ip"] == host_ip if host_ip else ":" not in one["host_ip"])
    }


def out_by(shown: dict[str, Any], network: str) -> dict[str, Any]:
    """The IPv4 way out by that network."""
    return next(one for one in shown["outbound"] if one["network"] == network and ":" not in (one["source"] or ""))
