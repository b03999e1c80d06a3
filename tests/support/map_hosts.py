"""Hosts of many containers on many networks, as raw answers: some stopped, some cut off, the same at each seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Host
from tests.support.trace_hosts import LINKS, LISTENERS, ROUTES, RULES, SYSCTLS, table

_Answers = dict[str, object]


def wired(seed: int, containers: int, networks: int) -> Host:
    """Of the containers one in twenty does not run, one in ten publishes nothing; packets from eth0 to one in forty are
    dropped in DOCKER-USER."""
    dice = random.Random(seed)
    nets = [IPv4Network(f"172.{18 + at}.0.0/16") for at in range(networks)]
    people = [(number, dice.randrange(networks)) for number in range(containers)]
    stopped = {number for number, _ in people if not dice.randrange(20)}
    closed = {number for number, _ in people if not dice.randrange(10)}
    dropped = [
        f"-A DOCKER-USER -d {_ip(nets, number, at)}/32 -i eth0 -j DROP"
        for number, at in people
        if not dice.randrange(40)
    ]
    running = [one for one in people if one[0] not in stopped]
    published = [one for one in running if one[0] not in closed]
    nat = [
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
        *(f"-A POSTROUTING -s {net} ! -o br{at} -j MASQUERADE" for at, net in enumerate(nets)),
        *(
            f"-A DOCKER ! -i br{at} -p tcp -m tcp --dport {_port(number)}"
            f" -j DNAT --to-destination {_ip(nets, number, at)}:80"
            for number, at in published
        ),
    ]
    legacy = table("nat", *nat) + table("filter", "-A FORWARD -j DOCKER-USER", *dropped, "-A DOCKER-USER -j RETURN")
    answers: _Answers = {
        "docker/version.json": {"Version": "28.5.2"},
        "docker/networks.json": [_network(at, net) for at, net in enumerate(nets)],
        "docker/inspect.json": [
            _container(number, at, nets[at], number not in stopped, number not in closed) for number, at in people
        ],
        "ip/addr.json": [*_outer(LINKS), *_bridges(nets), *(_veth(number, at) for number, at in running)],
        "ip/netns.json": {str(1000 + number): number for number, _ in running},
        "ip/route4.json": [*_outer(ROUTES), *(route for at, net in enumerate(nets) for route in _routes(at, net))],
        "ip/rule4.json": RULES,
        "host/sysctl.txt": "".join(f"{name} = {value}\n" for name, value in SYSCTLS.items()),
        "host/listeners.txt": LISTENERS + "".join(_socket(number) for number, _ in published),
        "host/docker-proxy.txt": "".join(
            f"{5000 + number} 1 /usr/sbin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port {_port(number)}"
            f" -container-ip {_ip(nets, number, at)} -container-port 80\n"
            for number, at in published
        ),
        "rules/iptables-legacy-save.txt": legacy,
        "rules/nft.json": {"nftables": []},
    }
    for number, at in running:
        answers |= _inside(number, nets[at])
    return Builder().build(Recording(answers))


def _port(number: int) -> int:
    return 20000 + number


def _ip(nets: Sequence[IPv4Network], number: int, at: int) -> str:
    return str(nets[at][number + 2])


def _socket(number: int) -> str:
    return f'tcp LISTEN 0 9 0.0.0.0:{_port(number)} 0.0.0.0:* users:(("docker-proxy",pid={5000 + number},fd=7))\n'


def _outer(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Without the bridge and the veths of the small host."""
    inner = ("docker0", "vweb", "vdb", "eth1")
    return [row for row in rows if row.get("ifname", row.get("dev")) not in inner]


def _network(at: int, net: IPv4Network) -> _Answers:
    config = [{"Subnet": str(net), "Gateway": str(net[1])}]
    options = {"com.docker.network.bridge.name": f"br{at}"}
    return {"Id": f"{at:064x}", "Name": f"proj{at}", "Driver": "bridge", "IPAM": {"Config": config}, "Options": options}


def _container(number: int, at: int, net: IPv4Network, runs: bool, publishes: bool) -> _Answers:
    ip = str(net[number + 2]) if runs else ""
    end = {"NetworkID": f"{at:064x}", "Gateway": str(net[1]) if runs else "", "IPAddress": ip, "IPPrefixLen": 16}
    bound = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(_port(number))}]} if publishes else {}
    state = {"Status": "running", "Pid": 1000 + number} if runs else {"Status": "exited", "Pid": 0, "ExitCode": 0}
    return {
        "Id": f"{number + 4096:064x}",
        "Name": f"/{'api cache db web worker'.split()[number % 5]}-{number}",
        "State": state,
        "HostConfig": {"NetworkMode": f"proj{at}", "PortBindings": bound},
        "NetworkSettings": {"Networks": {f"proj{at}": end}, "Ports": bound if runs else {}},
    }


def _link(index: int, name: str, address: str, **more: object) -> _Answers:
    own = [{"family": "inet", "local": address, "prefixlen": 16}] if address else []
    flags = ["UP", "LOWER_UP"]
    return {"ifindex": index, "ifname": name, "flags": flags, "operstate": "UP", "addr_info": own, **more}


def _bridges(nets: Sequence[IPv4Network]) -> list[_Answers]:
    kind = {"info_kind": "bridge"}
    return [_link(100 + at, f"br{at}", str(net[1]), linkinfo=kind) for at, net in enumerate(nets)]


def _veth(number: int, at: int) -> _Answers:
    slave = {"info_kind": "veth", "info_slave_kind": "bridge", "info_slave_data": {"hairpin": False}}
    return _link(1000 + number, f"v{number}", "", linkinfo=slave, master=f"br{at}", link_index=2, link_netnsid=number)


def _routes(at: int, net: IPv4Network) -> list[_Answers]:
    own = str(net[1])
    local = {"type": "local", "dst": own, "dev": f"br{at}", "table": "local", "prefsrc": own}
    return [{"dst": str(net), "dev": f"br{at}", "prefsrc": own}, local]


def _inside(number: int, net: IPv4Network) -> _Answers:
    folder, name = "containers", f"{'api cache db web worker'.split()[number % 5]}-{number}"
    own = _link(2, "eth0", str(net[number + 2]))
    return {
        f"{folder}/{name}/addr.json": [_link(1, "lo", "127.0.0.1"), own],
        f"{folder}/{name}/route.json": [
            {"dst": "default", "gateway": str(net[1]), "dev": "eth0"},
            {"dst": str(net), "dev": "eth0"},
        ],
        f"{folder}/{name}/listeners.txt": 'tcp LISTEN 0 9 *:80 *:* users:(("httpd",pid=7,fd=3))\n',
    }
