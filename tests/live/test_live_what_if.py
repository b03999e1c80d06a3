"""`what-if` against the engine and the kernel: the prediction on the host as it is equals what is read when the command
was really given, pair by pair."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from lab import Lab, LabError, until

from netdash.bundle.storage import load
from netdash.change.apply import apply
from netdash.change.difference import Difference, difference, read_command
from netdash.join.host import Builder
from netdash.model.host import Host

CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a rule of the user's": (
        ("iptables -I DOCKER-USER -i eth0 -p tcp -m conntrack --ctorigdstport 8080 -j DROP",),
        ("iptables -D DOCKER-USER 1",),
    ),
    "the published ports' rules": (("iptables -F DOCKER",), ("docker restart -t 0 web", "docker restart -t 0 back")),
    "a policy": (("iptables -P FORWARD ACCEPT",), ("iptables -P FORWARD DROP",)),
    "a rule of nft": (
        (
            "nft add table inet mine",
            "nft add chain inet mine c { type filter hook input priority 0 \\; }",
            "nft add rule inet mine c iifname docker0 tcp dport 8080 drop",
        ),
        ("nft delete table inet mine",),
    ),
    "no forwarding": (("sysctl -w net.ipv4.ip_forward=0",), ("sysctl -w net.ipv4.ip_forward=1",)),
    "no default route": (("ip route del default",), ("ip route add default via 203.0.113.1",)),
    "a bridge that is down": (("ip link set docker0 down",), ("ip link set docker0 up",)),
    "a container that is stopped": (("docker stop -t 0 web",), ("docker start web",)),
    "one network more": (("docker network connect shop web",), ("docker network disconnect shop web",)),
}
"""What is done, and how it is taken back."""


@pytest.fixture(scope="module")
def host(lab: Lab) -> Lab:
    lab.docker("network", "create", "--subnet", "10.79.1.0/24", "shop")
    lab.httpd("web", "-p", "8080:80")
    lab.httpd("peer")
    lab.httpd("back", "--network", "shop", "-p", "8081:80")
    return lab


@pytest.mark.parametrize("case", CASES)
def test_the_prediction_is_what_is_read_afterwards(host: Lab, case: str, tmp_path: Path) -> None:
    done, back = CASES[case]
    before = planned = _read(host, tmp_path / "before")
    for command in done:
        planned = apply(planned, read_command(planned, command))
    try:
        for command in done:
            _give(host, command)
        found = _differs(host, planned, tmp_path / "after")
    finally:
        for command in back:
            _give(host, command)
    assert (found.lost, found.gained, found.unknown) == ((), (), ())
    told = difference(before, planned)
    assert told.lost or told.gained, "the command changes nothing that the test could see"
    until(lambda: not _moved(difference(before, _read(host, tmp_path / "again"))), 10)


def _give(host: Lab, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "docker":
        host.docker(*words[1:])
    else:
        host.on_host(*words)


def _differs(host: Lab, planned: Host, path: Path) -> Difference:
    """Sockets and carriers follow a little after the command."""
    found: list[Difference] = []

    def same() -> bool:
        found.append(difference(planned, _read(host, path)))
        return not _moved(found[-1])

    until(same, 8)
    return found[-1]


def _moved(found: Difference) -> bool:
    return bool(found.lost or found.gained or found.unknown)


def _read(host: Lab, path: Path) -> Host:
    target = next(made for number in range(99) if not (made := path.with_name(f"{path.name}{number}.tar.gz")).exists())
    done = host.netdash("record", str(target))
    if done.returncode:
        raise LabError(done.stderr)
    return Builder().build(load(target))
