"""Who wrote a rule, told by the names of its table and chains, and by its comment."""

from __future__ import annotations

import re

from netdash.drift.expected.mode import NATIVE_TABLE, NETAVARK_TABLE
from netdash.model.host import Rule

_ENGINE = re.compile(r"DOCKER(?!-USER)[A-Z0-9-]*|NETAVARK[A-Z0-9_-]*")
_BY_NAME = (
    (re.compile(r"firewalld|[A-Z_]+_(ZONES|ZONES_SOURCE|direct)|(IN|FWDI|FWDO|PRE|POST)_\w+"), "firewalld"),
    (re.compile(r"ufw6?-[a-z0-9-]+"), "ufw"),
    (re.compile(r"KUBE-[A-Z0-9-]+|FLANNEL-[A-Z]+|kube-router.*"), "Kubernetes (k3s, kube-proxy)"),
    (re.compile(r"CNI-[\w-]+"), "CNI's plugins (k3s and other Kubernetes, Podman)"),
    (re.compile(r"PVEFW-[\w-]+"), "Proxmox"),
    (re.compile(r"cali-[\w:-]+"), "Calico"),
    (re.compile(r"ts-[a-z]+"), "Tailscale"),
    (re.compile(r"f2b-.*|fail2ban.*|addr-set-.*"), "fail2ban"),
    (re.compile(r"CROWDSEC[\w-]*|crowdsec6?.*"), "CrowdSec"),
    (re.compile(r"LIBVIRT_[A-Z]+|libvirt.*"), "libvirt"),
    (re.compile(r"wg-quick-.*"), "wg-quick"),
    (re.compile(r"sshuttle.*"), "sshuttle"),
    (re.compile(r"ISTIO_[A-Z_]+"), "Istio"),
    (re.compile(r"(csf|LOCALINPUT|LOCALOUTPUT|DENYIN|DENYOUT|ALLOWIN|ALLOWOUT)"), "csf"),
    (re.compile(r"shorewall.*|sw-.*"), "Shorewall"),
)
_USER = "DOCKER-USER"


def owner_of(rule: Rule) -> str:
    """Who keeps a rule; "" where no name tells it."""
    return owner(rule.table, rule.chain, rule.comment or "")


def owner(table: str, chain: str, comment: str = "") -> str:
    if table in (NATIVE_TABLE, NETAVARK_TABLE) or _ENGINE.fullmatch(chain):
        return "the container engine"
    for pattern, name in _BY_NAME:
        if any(pattern.fullmatch(word) for word in (table, chain, *comment.split())):
            return name
    return ""


def is_engines(rule: Rule) -> bool:
    return owner_of(rule) == "the container engine"


def is_users(rule: Rule) -> bool:
    """Whether it stands in the chain that the engine leaves to its user."""
    return rule.chain == _USER


def belongs(name: str) -> str:
    return f"which belongs to {name}" if name else "which belongs to nobody known"
