"""Small hosts to trace on: an uplink, one bridge with two containers, and the rules that a test writes."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.host import Container, Host
from netdash.model.index import index_of
from netdash.trace import default_questions
from netdash.trace.default_questions import Usual
from netdash.trace.model import Origin, Question, Trace
from netdash.trace.tracer import trace

OUTSIDE = "192.0.2.10"
HOST = "203.0.113.2"
WEB, DB = "172.17.0.2", "172.17.0.3"
NETWORK = "f" * 64
IDS = {"web": "a" * 64, "db": "b" * 64}


def _link(index: int, name: str, address: str, length: int, **more: object) -> dict[str, object]:
    own = [{"family": "inet", "local": address, "prefixlen": length}] if address else []
    flags = ["UP", "LOWER_UP"]
    return {"ifindex": index, "ifname": name, "flags": flags, "operstate": "UP", "addr_info": own, **more}


def _veth(index: int, name: str, nsid: int) -> dict[str, object]:
    slave = {"info_kind": "veth", "info_slave_kind": "bridge", "info_slave_data": {"hairpin": False}}
    return _link(index, name, "", 0, linkinfo=slave, master="docker0", link_index=2, link_netnsid=nsid)


LINKS = [
    _link(1, "lo", "127.0.0.1", 8),
    _link(2, "eth0", HOST, 24),
    _link(3, "docker0", "172.17.0.1", 16, linkinfo={"info_kind": "bridge"}),
    _veth(4, "vweb", 1),
    _veth(5, "vdb", 2),
    _link(6, "eth1", "198.51.100.2", 24),
]
_OWN = (("127.0.0.1", "lo"), (HOST, "eth0"), ("172.17.0.1", "docker0"), ("198.51.100.2", "eth1"))
ROUTES: list[dict[str, object]] = [
    {"dst": "default", "gateway": "203.0.113.1", "dev": "eth0"},
    {"dst": "203.0.113.0/24", "dev": "eth0", "prefsrc": HOST},
    {"dst": "172.17.0.0/16", "dev": "docker0", "prefsrc": "172.17.0.1"},
    {"dst": "198.51.100.0/24", "dev": "eth1", "prefsrc": "198.51.100.2"},
    {"type": "local", "dst": "127.0.0.0/8", "dev": "lo", "table": "local", "prefsrc": "127.0.0.1"},
    *({"type": "local", "dst": ip, "dev": dev, "table": "local", "prefsrc": ip} for ip, dev in _OWN),
    {"type": "broadcast", "dst": "203.0.113.255", "dev": "eth0", "table": "local"},
]
RULES: list[dict[str, object]] = [
    {"priority": 0, "src": "all", "table": "local"},
    {"priority": 32766, "src": "all", "table": "main"},
    {"priority": 32767, "src": "all", "table": "default"},
]
SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv4.conf.all.forwarding": "1",
    "net.bridge.bridge-nf-call-iptables": "1",
    **{f"net.ipv4.conf.{name}.rp_filter": "0" for name in ("all", "default", "eth0", "eth1", "docker0")},
    **{f"net.ipv4.conf.all.{name}": "0" for name in ("route_localnet", "accept_local", "src_valid_mark")},
}
LISTENERS = 'tcp LISTEN 0 9 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7,fd=3))\n'
INNER = [{"dst": "default", "gateway": "172.17.0.1", "dev": "eth0"}, {"dst": "172.17.0.0/16", "dev": "eth0"}]


def _container(name: str, ip: str, pid: int) -> dict[str, object]:
    end = {"NetworkID": NETWORK, "Gateway": "172.17.0.1", "IPAddress": ip, "IPPrefixLen": 16}
    return {
        "Id": IDS[name],
        "Name": f"/{name}",
        "State": {"Status": "running", "Pid": pid},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {"bridge": end}},
    }


def host(
    legacy: str | None = None,
    nft: object = None,
    routes: list[dict[str, object]] | None = None,
    rules: list[dict[str, object]] | None = None,
    sysctls: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
    inner: list[dict[str, object]] | None = None,
    inner_sysctls: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Host:
    """`legacy`: as iptables-legacy-save prints it; `nft`: what stands under "nftables". `routes` and `rules` come
    before the usual ones; `more` are further files, `without` those that were not read."""
    network = {"Id": NETWORK, "Name": "bridge", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}
    answers: dict[str, object] = {
        "docker/version.json": {"Version": "28.5.2"},
        "docker/inspect.json": [_container("web", WEB, 11), _container("db", DB, 12)],
        "docker/networks.json": [{**network, "Options": {"com.docker.network.bridge.name": "docker0"}}],
        "ip/addr.json": LINKS,
        "ip/netns.json": {"11": 1, "12": 2},
        "ip/route4.json": [*(routes or []), *ROUTES],
        "ip/rule4.json": [*(rules or []), *RULES],
        "host/sysctl.txt": "".join(f"{name} = {value}\n" for name, value in {**SYSCTLS, **(sysctls or {})}.items()),
        "host/listeners.txt": LISTENERS,
        "host/docker-proxy.txt": "",
        "rules/nft.json": {"nftables": nft or []},
    }
    for name in ("web", "db"):
        own = {"web": WEB, "db": DB}[name]
        answers[f"containers/{name}/addr.json"] = [_link(1, "lo", "127.0.0.1", 8), _link(2, "eth0", own, 16)]
        answers[f"containers/{name}/route.json"] = inner or INNER
        if inner_sysctls is not None:
            answers[f"containers/{name}/sysctl.txt"] = inner_sysctls
        answers[f"containers/{name}/listeners.txt"] = "tcp LISTEN 0 9 *:80 *:*\n"
    answers |= more or {}
    if legacy is not None:
        answers["rules/iptables-legacy-save.txt"] = legacy
    return Builder().build(Recording({name: one for name, one in answers.items() if name not in without}))


def table(name: str, *lines: str, policy: str = "ACCEPT") -> str:
    """One legacy table; every built-in chain has `policy`, chains that a line appends to are made."""
    built_in = {
        "raw": "PREROUTING OUTPUT",
        "nat": "PREROUTING INPUT OUTPUT POSTROUTING",
        "filter": "INPUT FORWARD OUTPUT",
    }
    chains = built_in.get(name, "PREROUTING INPUT FORWARD OUTPUT POSTROUTING").split()
    made = dict.fromkeys(line.split()[1] for line in lines if line.split()[1] not in chains)
    heads = [f":{chain} {policy} [0:0]" for chain in chains] + [f":{chain} - [0:0]" for chain in made]
    return "\n".join((f"*{name}", *heads, *lines, "COMMIT", ""))


def from_outside(on: Host, dst: str = HOST, dport: int = 8080, **more: object) -> Trace:
    asked = {"src": ip_address(OUTSIDE), "iif": "eth0", "sport": 40000, **more}
    return trace(on, Question(Origin.OUTSIDE, ip_address(dst), "tcp", dport, **asked))  # type: ignore[arg-type]


def from_web(on: Host, dst: str = OUTSIDE, dport: int = 80, **more: object) -> Trace:
    return trace(on, Question(Origin.CONTAINER, ip_address(dst), "tcp", dport, container=IDS["web"], **more))  # type: ignore[arg-type]


def from_host(on: Host, dst: str = OUTSIDE, dport: int = 80, **more: object) -> Trace:
    return trace(on, Question(Origin.HOST, ip_address(dst), "tcp", dport, **more))  # type: ignore[arg-type]


def places(answer: Trace) -> list[str]:
    return [step.place for step in answer.steps]


PUBLISHED = table("nat", f"-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {WEB}:80")
MASQUERADED = table("nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")


def questions_of(host: Host, container: Container) -> tuple[Usual, ...]:
    """To its published ports from outside and from this host, then its way out of each address family."""
    ports = (port for port in index_of(host).ports(container.id) if port.live)
    inwards = [usual for port in ports for usual in default_questions.of_port(host, port)]
    return (*inwards, *default_questions.outwards(host, container))
