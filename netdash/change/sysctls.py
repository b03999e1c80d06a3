"""Sysctls that are written, and the others that the kernel writes with them (devinet.c, addrconf.c)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from netdash.change.model import CannotModel, Change, SysctlChange
from netdash.model.host import Host, Link
from netdash.model.numbers import decimal

_CONF = re.compile(r"net\.(ipv[46])\.conf\.([^.]+)\.([a-z0-9_]+)")
_BRIDGES = "net.bridge."
_FORWARD = "net.ipv4.ip_forward"


def written(sysctls: Mapping[str, str], name: str, value: str, links: Iterable[Link]) -> Mapping[str, str]:
    """`links`: those of the namespace. Raises CannotModel for a name that the kernel does not have there."""
    if name.startswith(_BRIDGES) and name not in sysctls:
        raise CannotModel(f"{name} does not exist: br_netfilter is not loaded")
    found = _CONF.fullmatch(name)
    devices = {link.name.replace(".", "/"): link for link in links}
    known = ("all", "default", *devices)
    if found and found[2] not in known:
        raise CannotModel(f"{name} does not exist: there is no device {found[2]}")
    if found and found[3] == "disable_ipv6":
        raise CannotModel(f"{name}: the IPv6 addresses that go or come with it are not modelled")
    _understood(sysctls, name, found[3] if found else None, value)
    changed = {**sysctls, name: value}
    if name == _FORWARD or (found and found[2] == "all" and found[3] == "forwarding"):
        family = found[1] if found else "ipv4"
        if family == "ipv4" and sysctls.get(name) == value:
            return changed  # devinet_sysctl_forward acts on another value only
        changed |= {f"net.{family}.conf.{device}.forwarding": value for device in known}
        changed |= {_FORWARD: value} if family == "ipv4" else {}
    elif found and (found[1], found[2]) == ("ipv4", "default") and found[3] != "forwarding":
        changed |= _following(sysctls, found[3], value, devices)
    return changed


def _understood(sysctls: Mapping[str, str], name: str, of_device: str | None, value: str) -> None:
    """`of_device`: which of a device's settings it is. One that was read of any device, all have."""
    here = name == _FORWARD or name in sysctls
    if not here and not (of_device and any(known.endswith(f".{of_device}") for known in sysctls)):
        raise CannotModel(f"{name} is none of the sysctls that were read: whether it exists, and decides, is not known")
    if decimal(value) is None and decimal(sysctls.get(name, "0")) is not None:
        raise CannotModel(f"{name}: {value!r} is not a number")


def _following(sysctls: Mapping[str, str], key: str, value: str, devices: Mapping[str, Link]) -> dict[str, str]:
    """IPv4 devices follow the default until they have an address, or are given a value of their own
    (devinet_copy_dflt_conf, ipv4_devconf_setall). Whether one was is not told: what was as the default
    follows."""
    before = sysctls.get(f"net.ipv4.conf.default.{key}")
    names = [
        f"net.ipv4.conf.{device}.{key}"
        for device, link in devices.items()
        if all(address.version == 6 for address in link.addresses)
    ]
    return {name: value for name in names if name in sysctls and sysctls[name] == before}


_QUIET = ("-w", "--write", "-q", "--quiet", "-qw", "-wq", "-e", "--ignore")


def read_sysctl(_host: Host, words: list[str], container: str | None) -> tuple[Change, ...]:
    found = []
    for word in words[1:]:
        if word in _QUIET:
            continue
        name, equals, value = word.partition("=")
        if word.startswith("-") or not equals or not name.strip():
            raise CannotModel(f"sysctl {word}: only NAME=VALUE changes something")
        found.append(SysctlChange(_dotted(name.strip()), value.strip(), container))
    if not found:
        raise CannotModel("sysctl: a NAME=VALUE is missing")
    return tuple(found)


def _dotted(name: str) -> str:
    """With the separator that comes first a name may have the other one in it: net/ipv4/conf/eth0.1/forwarding."""
    first = next((letter for letter in name if letter in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))
