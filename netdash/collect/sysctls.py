"""The sysctls under net. that decide what happens to a packet, of this network namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_ROOT = Path("/proc/sys/net")
_SINGLE = (
    "ipv4/ip_forward",
    "ipv4/ip_local_port_range",
    "ipv4/ip_unprivileged_port_start",
    "ipv4/icmp_echo_ignore_all",
    "ipv4/icmp_echo_ignore_broadcasts",
    "ipv6/icmp/echo_ignore_all",
    "netfilter/nf_conntrack_tcp_loose",
    "netfilter/nf_conntrack_count",
    "netfilter/nf_conntrack_max",
    "netfilter/nf_conntrack_tcp_timeout_syn_sent",
    "netfilter/nf_conntrack_tcp_timeout_syn_recv",
    "netfilter/nf_conntrack_udp_timeout",
)
_PER_DEVICE = {
    "ipv4": (
        *("forwarding", "rp_filter", "route_localnet", "accept_local", "src_valid_mark"),
        *("ignore_routes_with_linkdown", "proxy_arp", "arp_ignore", "arp_filter"),
    ),
    "ipv6": ("forwarding", "disable_ipv6", "proxy_ndp"),
}


def read_sysctls(devices: Iterable[str], root: Path = _ROOT) -> str:
    """`name = value` a line, for all, default and each device. What this kernel does not have is left out. Raises
    OSError when there is nothing to read at all."""
    lines = [f"{name} = {value}\n" for name, value in _values(tuple(devices), root)]
    if not lines:
        raise OSError(f"{root} cannot be read")
    return "".join(lines)


def _values(devices: tuple[str, ...], root: Path) -> Iterator[tuple[str, str]]:
    for name in (*_SINGLE, *(f"bridge/{path.name}" for path in sorted(root.glob("bridge/bridge-nf-call-*")))):
        value = _value(root / name)
        if value is not None:
            yield f"net.{name.replace('/', '.')}", value
    for family, keys in _PER_DEVICE.items():
        for device in dict.fromkeys(("all", "default", *devices)):
            if "/" in device or device in (".", ".."):
                continue
            for key in keys:
                value = _value(root / family / "conf" / device / key)
                if value is not None:
                    # sysctl writes a device's own dots as slashes
                    yield f"net.{family}.conf.{device.replace('.', '/')}.{key}", value


def _value(path: Path) -> str | None:
    try:
        return path.read_text("ascii", "replace").strip().replace("\t", " ")
    except OSError:
        return None
