"""Made-up hosts for the tests of what is shown: small ones with every hard case, hostile ones, and very large ones."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.engine_state import Drift, DriftKind
from netdash.model.host import (
    Binding,
    Chain,
    Container,
    Endpoint,
    Ends,
    Failure,
    Holder,
    Host,
    Link,
    Neighbour,
    Network,
    PolicyRule,
    Port,
    Proxy,
    Route,
    Rule,
    Ruleset,
    Scope,
    Target,
    TrackedFlow,
    Verb,
)
from netdash.model.kernel_state import Counter
from netdash.model.source import AWAITED, FILES, SOURCES
from tests.conftest import RECORDINGS

WEB = "f3" * 32


def container(name: str = "web", identity: str = WEB, **changes: Any) -> Container:
    endpoint = Endpoint(
        network="bridge",
        network_id="1" * 64,
        mac="02:42:ac:11:00:03",
        addresses=(ip_interface("172.17.0.3/16"),),
        gateways=(ip_address("172.17.0.1"),),
        names=(),
        links=(),
        veth="veth1",
    )
    plain = Container(
        id=identity,
        name=name,
        image="httpd",
        state="running",
        health=None,
        exit_code=0,
        started_at=1000.0,
        finished_at=None,
        pid=500,
        network_mode="bridge",
        shares_with=None,
        endpoints=(endpoint,),
        bindings=(),
        configured=(),
        exposed=(),
        compose=None,
        service=None,
        listeners=(),
    )
    return replace(plain, **changes)


def dnat(number: int = 8080, position: int = 3) -> Rule:
    text = f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {number} -j DNAT --to-destination 172.17.0.3:80"
    target = Target(Verb.DNAT, address=ip_address("172.17.0.3"), ports=(80, 80))
    return Rule("ip", "nat", "DOCKER", position, text, (), target, 14, 840, "iptables-nft")


def port(host_port: int = 8080, host_ip: str = "0.0.0.0", **changes: Any) -> Port:
    plain = Port(
        proto="tcp",
        host_ip=ip_address(host_ip),
        host_port=host_port,
        container_port=80,
        target_ip=ip_address("172.17.0.3"),
        dnat=dnat(host_port),
        proxy=None,
        listening=True,
        listener="httpd",
        scope=Scope.ALL,
        container_id=WEB,
        holder=Holder("docker-proxy", 2672, "docker-proxy"),
    )
    return replace(plain, **changes)


def drift(**changes: Any) -> Drift:
    text = "-A DOCKER -d 172.17.0.3/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT"
    plain = Drift(
        DriftKind.MISSING,
        *("ip", "filter", "DOCKER", text, "lets packets through to web", "iptables-nft"),
        None,
        WEB,
        "1" * 64,
        Binding("tcp", 80, ip_address("0.0.0.0"), 8080),
    )
    return replace(plain, **changes)


def host(**changes: Any) -> Host:
    """Two containers on the default bridge, one of them stopped; everything could be read."""
    network = Network(
        id="1" * 64,
        name="bridge",
        driver="bridge",
        scope="local",
        bridge="docker0",
        subnets=(ip_network("172.17.0.0/16"),),
        gateways=(ip_address("172.17.0.1"),),
        internal=False,
        ipv6=False,
        icc=True,
        masquerade=True,
        host_binding=None,
        snat_to=None,
        gateway_modes=("nat", "nat"),
        parent=None,
        compose=None,
    )
    stopped = container("job", "aa" * 32, state="exited", exit_code=3, endpoints=(), finished_at=4000.0)
    default = Route(
        4, "main", "unicast", ip_network("0.0.0.0/0"), ip_address("172.25.34.250"), "eth0", None, 100, "static", None
    )
    proxy = Proxy(
        pid=2672,
        ppid=1,
        command="docker-proxy",
        argv="/usr/bin/docker-proxy -proto tcp",
        proto="tcp",
        host_ip=ip_address("0.0.0.0"),
        host_port=8080,
        container_ip=ip_address("172.17.0.3"),
        container_port=80,
        rss=4_200_000,
    )
    values: dict[str, Any] = {
        "name": "su1",
        "taken": 5000.0,
        "live": False,
        "engine": None,
        "containers": (container(), stopped),
        "networks": (network,),
        "links": (_link("docker0", "bridge", "172.17.0.1/16"), _link("eth0", None, "172.25.34.8/24"), _link("veth1")),
        "routes": (default,),
        "policy": (PolicyRule(4, 32766, "from all lookup main", "main", ()),),
        "neighbours": (Neighbour(ip_address("172.25.34.250"), "eth0", "00:00:0c:07:ac:22", "REACHABLE"),),
        "ruleset": Ruleset((Chain("ip", "nat", "DOCKER", "iptables-nft", (dnat(),)),)),
        "proxies": (proxy,),
        "listeners": (),
        "ports": (port(),),
        "sysctls": {},
        "privileged": True,
        "drift": (),
        "flows": (flow(),),
        "counters": {file.path: {} for file in FILES if file.source == "drops"}
        | {"ip/link-stats.json": {("eth0", "rx_dropped"): Counter(12, 1.5)}},
    }
    return Host(**(values | changes))


def flow(**changes: Any) -> TrackedFlow:
    """A client outside by the published port of the container."""
    there = Ends(ip_address("192.0.2.10"), 51122, ip_address("172.25.34.8"), 8080)
    back = Ends(ip_address("172.17.0.3"), 80, ip_address("192.0.2.10"), 51122)
    return replace(TrackedFlow("tcp", there, back, True, "ESTABLISHED", 400, assured=True, mark=0), **changes)


def _link(name: str, kind: str | None = "veth", address: str = "") -> Link:
    addresses = (ip_interface(address),) if address else ()
    return Link(
        len(name),
        name,
        kind,
        True,
        "UP",
        1500,
        "02:42:00:00:00:01",
        "docker0" if kind == "veth" else None,
        None,
        None,
        addresses,
    )


def blind(reason: str = "permission denied") -> Host:
    """Nothing could be read."""
    names = "containers networks links routes policy neighbours ruleset proxies listeners ports sysctls drift flows"
    sources = ("docker", "links", "routes", "neighbours", "rules", "proxies", "listeners", "sysctls", "flows", "drops")
    failures = {source: Failure(source, reason, "run with sudo") for source in sources}
    return host(**dict.fromkeys([*names.split(), "counters"]), failures=failures)


HOSTILE = "[red]\x1b[31m\x07\r\n日本語 e\u0301 \u202e" + "x" * 10_000


def hostile() -> Host:
    """Every name that comes from outside is markup, escapes, wide characters and 10 kB long."""
    plain = host()
    bad = container(HOSTILE, image=HOSTILE, compose=HOSTILE, service=HOSTILE, state="running", health=HOSTILE)
    end = replace(bad.endpoints[0], network=HOSTILE, names=(HOSTILE,), veth=HOSTILE)
    rule = replace(dnat(), chain=HOSTILE, text=HOSTILE, comment=HOSTILE, not_understood=(HOSTILE,))
    proxy = replace((plain.proxies or ())[0], command=HOSTILE, argv=HOSTILE)
    other = container(HOSTILE[::-1], "bb" * 32, endpoints=(replace(end, addresses=(ip_interface("172.17.0.4/16"),)),))
    entry = port(dnat=rule, proxy=proxy, listener=HOSTILE, holder=Holder("process", 7, HOSTILE), proto=HOSTILE)
    return host(
        containers=(replace(bad, endpoints=(end,)), other, container("down" + HOSTILE, "cc" * 32, state=HOSTILE)),
        networks=(replace((plain.networks or ())[0], name=HOSTILE, bridge=HOSTILE, driver="bridge", compose=HOSTILE),),
        links=(
            replace((plain.links or ())[0], name=HOSTILE, kind=HOSTILE, state=HOSTILE, master=HOSTILE, mac=HOSTILE),
        ),
        routes=(replace((plain.routes or ())[0], dev=HOSTILE, table="main", protocol=HOSTILE, kind=HOSTILE),),
        policy=(PolicyRule(4, 0, HOSTILE, HOSTILE, ()),),
        neighbours=(Neighbour(ip_address("172.25.34.250"), HOSTILE, HOSTILE, HOSTILE),),
        ruleset=Ruleset((Chain("ip", HOSTILE, HOSTILE, "iptables-nft", (rule,), hook=HOSTILE),)),
        proxies=(proxy,),
        ports=(entry, port(81), replace(entry, host_port=82, container_id=None)),
        failures={"rules": Failure("rules", HOSTILE, HOSTILE)},
        flows=(flow(proto=HOSTILE, state=HOSTILE), flow(proto="udp")),
        counters={"ip/link-stats.json": {(HOSTILE, "rx_dropped"): Counter(1, 1.0)}},
        drift=(
            drift(why=HOSTILE, text=HOSTILE, chain=HOSTILE, table=HOSTILE, backend=HOSTILE),
            drift(rule=rule, kind=DriftKind.EXTRA, why=HOSTILE, binding=Binding(HOSTILE, 1, None, None)),
        ),
    )


def early(name: str, *sources: str) -> Host:
    """A live host in its first moment: of `sources` alone there is an answer, and of the engine its list."""
    full = load(RECORDINGS / name)
    files = {file for source in sources for file in SOURCES[source]} | {"docker/containers.json"}
    answers = {path: answer for path, answer in full.answers.items() if path in files}
    awaited = AWAITED.difference(sources)
    return Builder().build(replace(full, answers=answers, failures={}, pending=awaited, live=True))
