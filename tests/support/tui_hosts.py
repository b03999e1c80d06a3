"""Made-up hosts of any size for the tests and measurements of the dashboard."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from ipaddress import ip_address, ip_interface, ip_network

from netdash.model.host import (
    Binding,
    Chain,
    Container,
    Endpoint,
    Engine,
    Holder,
    Host,
    Link,
    Listener,
    Match,
    Network,
    Port,
    Proxy,
    Route,
    Rule,
    Ruleset,
    Scope,
    Target,
    Verb,
)

BRIDGE = "docker0"
NETWORK = "n" * 64


def container(number: int, **changes: object) -> Container:
    made = Container(
        id=f"{number:064x}",
        name=f"web-{number}",
        image="httpd:2.4",
        state="running",
        health=None,
        exit_code=None,
        started_at=1_000.0,
        finished_at=None,
        pid=1000 + number,
        network_mode="bridge",
        shares_with=None,
        endpoints=(endpoint(number),),
        bindings=(Binding("tcp", 80, ip_address("0.0.0.0"), 20000 + number),),
        configured=(),
        exposed=((80, "tcp"),),
        compose=None,
        service=None,
        listeners=(Listener("tcp", ip_address("0.0.0.0"), 80),),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def endpoint(number: int) -> Endpoint:
    address = ip_interface(f"10.8.{number // 250}.{number % 250 + 2}/16")
    return Endpoint("bridge", NETWORK, None, (address,), (ip_address("10.8.0.1"),), (), (), 0, f"veth{number}")


def rule(position: int, words: str, verb: Verb, chain: str = "DOCKER", **target: object) -> Rule:
    matches = (Match("proto", ("tcp",)), Match("dport", ((20000 + position, 20000 + position),)))
    made = Target(verb, **target)  # type: ignore[arg-type]
    return Rule("ip", "nat", chain, position, f"-A {chain} {words}", matches, made, position, 60, "iptables-nft")


@cache
def crowd(containers: int, ports: int | None = None, rules: int | None = None, taken: float = 5_000.0) -> Host:
    """A host of many containers, each with a port, a DNAT rule, a proxy and a veth; `ports` and `rules` add others. It
    is the same one for all tests: what was traced on it is known to the next."""
    people = tuple(container(number) for number in range(containers))
    dnats, ledger, proxies, links = [], [], [], [_link(1, BRIDGE, "bridge", "10.8.0.1/16"), _link(2, "eth0", None)]
    for number, one in enumerate(people):
        ip = one.endpoints[0].addresses[0].ip
        words = f"! -i {BRIDGE} -p tcp -m tcp --dport {20000 + number} -j DNAT --to-destination {ip}:80"
        dnat = rule(number + 1, words, Verb.DNAT, address=ip, ports=(80, 80))
        proxy = Proxy(
            9000 + number, 1, "docker-proxy", "docker-proxy", "tcp", ip_address("0.0.0.0"), 20000 + number, ip, 80
        )
        holder = Holder("docker-proxy", proxy.pid, proxy.command)
        wild = ip_address("0.0.0.0")
        ledger.append(Port("tcp", wild, 20000 + number, 80, ip, dnat, proxy, True, "httpd", Scope.ALL, one.id, holder))
        dnats.append(dnat)
        proxies.append(proxy)
        links.append(replace(_link(10 + number, f"veth{number}", "veth"), master=BRIDGE))
    holder = Holder("process", 77, "other")
    for number in range(len(ledger), ports or 0):
        wild = ip_address("0.0.0.0")
        ledger.append(Port("tcp", wild, 30000 + number, None, None, None, None, None, None, Scope.ALL, None, holder))
    more = [
        rule(at + 1, f"-p tcp --dport {at} -j ACCEPT", Verb.ACCEPT, "EXTRA") for at in range(len(dnats), rules or 0)
    ]
    masquerade = replace(
        rule(1, f"-s 10.8.0.0/16 ! -o {BRIDGE} -j MASQUERADE", Verb.MASQUERADE, "POSTROUTING"),
        matches=(Match("src", (ip_network("10.8.0.0/16"),)), Match("oif", (BRIDGE,), True)),
    )
    chains = (
        Chain("ip", "nat", "DOCKER", "iptables-nft", tuple(dnats)),
        Chain("ip", "nat", "POSTROUTING", "iptables-nft", (masquerade,), "nat", "postrouting", 100, "accept"),
        Chain("ip", "nat", "EXTRA", "iptables-nft", tuple(more)),
    )
    return Host(
        name="stage",
        taken=taken,
        live=True,
        engine=Engine("docker", "28.5.2", False, True, "iptables"),
        containers=people,
        networks=(_network(),),
        links=tuple(links),
        routes=(
            Route(
                4, "main", "unicast", ip_network("0.0.0.0/0"), ip_address("192.0.2.1"), "eth0", None, 100, None, None
            ),
            Route(4, "main", "unicast", ip_network("10.8.0.0/16"), None, BRIDGE, ip_address("10.8.0.1"), 0, None, None),
        ),
        policy=(),
        neighbours=(),
        ruleset=Ruleset(chains),
        proxies=tuple(proxies),
        listeners=(),
        ports=tuple(ledger),
        sysctls={},
        privileged=True,
    )


def _network() -> Network:
    return Network(
        NETWORK, "bridge", "bridge", "local", BRIDGE, (ip_network("10.8.0.0/16"),), (ip_address("10.8.0.1"),),
        False, False, True, True, None, None, ("nat", "nat"), None, None,
    )  # fmt: skip


def _link(index: int, name: str, kind: str | None, *addresses: str) -> Link:
    found = tuple(ip_interface(each) for each in addresses)
    return Link(index, name, kind, True, "UP", 1500, None, None, None, None, found)
