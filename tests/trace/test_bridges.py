"""What bridges, ARP and neighbour discovery do with a packet, on a recorded host that is changed in one place. What a
kernel did with real packets on such hosts stands in recordings/exchange."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.parse.iproute import parse_bridging
from netdash.trace.model import Origin, Question, Trace, Verdict
from netdash.trace.question import Asked, question
from netdash.trace.tracer import trace
from tests.conftest import RECORDINGS

EXCHANGE = RECORDINGS / "exchange"
Answers = dict[str, Any]
FOUR = ("web 192.0.2.10:80", "cli 172.17.0.2:80", "outside@192.0.2.10 203.0.113.2:8080", "host 172.17.0.2:80")
SIX = ("web [2001:db8:2::10]:80", "cli [fd00:17::2]:80", "host [fd00:17::2]:80")
UNTAGGED = {"vlan": 1, "flags": ["PVID", "Egress Untagged"]}


def answers_of(name: str) -> Answers:
    """Those of l01, which have the bridge's ports, with their switches as the kernel sets them up."""
    held = dict(load(EXCHANGE / "base").answers) | dict(load(EXCHANGE / name).answers)
    decoded = {key: json.loads(text) if key.endswith(".json") and isinstance(text, str) else text
               for key, text in held.items()}  # fmt: skip
    decoded.pop("ip/neigh.json", None)
    for link in decoded["ip/addr.json"]:
        port = link.get("linkinfo", {}).get("info_slave_data")
        if port:
            port["isolated"] = False
    return decoded


def link(answers: Answers, name: str) -> Answers:
    return next(one for one in answers["ip/addr.json"] if one["ifname"] == name)


def port(answers: Answers, name: str, **switches: object) -> None:
    link(answers, name)["linkinfo"]["info_slave_data"].update(switches)


def sysctl(answers: Answers, name: str, value: int) -> None:
    answers["host/sysctl.txt"] += f"{name} = {value}\n"


def vlans(web: list[Answers] | None) -> Callable[[Answers], None]:
    def edit(answers: Answers) -> None:
        link(answers, "docker0")["linkinfo"]["info_data"]["vlan_filtering"] = 1
        if web is not None:
            told = {"docker0": [UNTAGGED], "vethcli": [UNTAGGED], "vethweb": web}
            answers["ip/bridge-vlan.json"] = [{"ifname": name, "vlans": found} for name, found in told.items()]

    return edit


def same_mac(answers: Answers) -> None:
    theirs, ours = (answers[f"containers/{name}/addr.json"] for name in ("web", "cli"))
    mac = next(one["address"] for one in theirs if one["ifname"] == "eth0")
    next(one for one in ours if one["ifname"] == "eth0")["address"] = mac


def without_learning(answers: Answers) -> None:
    port(answers, "vethweb", learning=False)


def locked(answers: Answers) -> None:
    port(answers, "vethweb", locked=True)
    answers["ip/bridge-fdb.json"] = []


def noarp(answers: Answers) -> None:
    link(answers, "docker0")["flags"].append("NOARP")


def permanent(answers: Answers) -> None:
    entry = {"dst": "172.17.0.1", "dev": "eth0", "lladdr": "02:00:00:00:00:99", "state": ["PERMANENT"]}
    answers["containers/web/neigh.json"] = [entry]


def gateway(state: str) -> Callable[[Answers], None]:
    def edit(answers: Answers) -> None:
        answers["ip/neigh.json"] = [{"dst": "203.0.113.1", "dev": "eth0", "state": [state]}]

    return edit


def on_link(answers: Answers) -> None:
    """web takes everything to be on its link."""
    for route in answers["containers/web/route.json"]:
        if route["dst"] == "default":
            del route["gateway"]


def proxied(answers: Answers) -> None:
    on_link(answers)
    sysctl(answers, "net.ipv4.conf.all.proxy_arp", 1)


def arp_chain(*, hook: str, words: list[object]) -> Callable[[Answers], None]:
    def edit(answers: Answers) -> None:
        head = {"family": "arp", "table": "f"}
        answers["rules/nft.json"]["nftables"] += [
            {"table": {"family": "arp", "name": "f", "handle": 1}},
            {
                "chain": {
                    **head,
                    "name": "c",
                    "handle": 2,
                    "type": "filter",
                    "hook": hook,
                    "prio": 0,
                    "policy": "accept",
                }
            },
            {"rule": {**head, "chain": "c", "handle": 3, "expr": [*words, {"drop": None}]}},
        ]

    return edit


def arp_dropped_at(device: str) -> Callable[[Answers], None]:
    def edit(answers: Answers) -> None:
        head = {"family": "netdev", "table": "f"}
        chain = {**head, "name": "c", "handle": 2, "dev": device, "type": "filter", "hook": "ingress", "prio": 0}
        words = [match({"payload": {"protocol": "ether", "field": "type"}}, "arp"), {"drop": None}]
        answers["rules/nft.json"]["nftables"] += [
            {"table": {"family": "netdev", "name": "f", "handle": 1}},
            {"chain": chain},
            {"rule": {**head, "chain": "c", "handle": 3, "expr": words}},
        ]

    return edit


def match(left: object, right: object, op: str = "==") -> object:
    return {"match": {"op": op, "left": left, "right": right}}


ON_DOCKER0 = match({"meta": {"key": "iifname"}}, "docker0")
FROM_OTHERS = match({"payload": {"protocol": "arp", "field": "saddr ip"}}, "172.17.0.3", "!=")
REQUESTS = match({"payload": {"protocol": "arp", "field": "operation"}}, "request")
OF_IP = match({"payload": {"protocol": "ip", "field": "daddr"}}, "10.0.0.1", "!=")


CASES: dict[str, tuple[Callable[[Answers], None], tuple[str, ...], tuple[bool | None, ...]]] = {
    "nothing": (lambda _: None, FOUR, (True, True, True, True)),
    "nothing, of IPv6": (lambda _: None, SIX, (True, True, True)),
    "a port that is blocking": (lambda a: port(a, "vethweb", state="blocking"), FOUR, (False,) * 4),
    "one isolated port": (lambda a: port(a, "vethweb", isolated=True), FOUR, (True,) * 4),
    "no broadcasts to a port": (lambda a: port(a, "vethweb", bcast_flood=False), FOUR, (True, False, True, True)),
    "no multicast to a port": (lambda a: port(a, "vethweb", mcast_flood=False), SIX, (True, False, True)),
    "no flood, yet learning": (lambda a: port(a, "vethweb", flood=False), FOUR, (True,) * 4),
    "no learning, yet flood": (without_learning, FOUR, (True,) * 4),
    "a locked port": (locked, FOUR, (False,) * 4),
    "VLANs that were not read": (vlans(None), FOUR, (None,) * 4),
    "one VLAN for all": (vlans([UNTAGGED]), FOUR, (True,) * 4),
    "another VLAN": (vlans([{**UNTAGGED, "vlan": 5}]), FOUR, (False,) * 4),
    "a range without a PVID": (vlans([{"vlan": 1, "vlanEnd": 9, "flags": []}]), FOUR, (False,) * 4),
    "one MAC on two ports": (same_mac, FOUR, (None, False, None, None)),
    "a bridge without ARP": (noarp, FOUR, (False, True, False, False)),
    "a wrong MAC for good": (permanent, FOUR, (False, True, False, False)),
    "a gateway that fails": (gateway("FAILED"), FOUR, (False, True, False, True)),
    "a gateway that answered": (gateway("REACHABLE"), FOUR, (True,) * 4),
    "arp_ignore 8": (lambda a: sysctl(a, "net.ipv4.conf.docker0.arp_ignore", 8), FOUR, (False, True, True, True)),
    "arp_ignore 1": (lambda a: sysctl(a, "net.ipv4.conf.all.arp_ignore", 1), FOUR, (True,) * 4),
    "all on the link": (on_link, FOUR, (False, True, False, True)),
    "all on the link, proxy_arp": (proxied, FOUR, (True,) * 4),
    "arp in, by device": (arp_chain(hook="input", words=[ON_DOCKER0]), FOUR, (False, True, False, False)),
    "arp in, by sender": (
        arp_chain(hook="input", words=[ON_DOCKER0, FROM_OTHERS]), (*FOUR, "cli 192.0.2.10:80"),
        (False, True, False, False, True),
    ),
    "arp out, requests": (arp_chain(hook="output", words=[REQUESTS]), FOUR, (False, True, False, False)),
    "netdev, at a port": (arp_dropped_at("vethweb"), FOUR, (False,) * 4),
    "netdev, at the uplink": (arp_dropped_at("eth0"), FOUR, (False, True, False, True)),
    "arp in, of IP": (arp_chain(hook="input", words=[OF_IP]), FOUR, (True,) * 4),
}  # fmt: skip


def ask(answers: Answers, words: str) -> Trace:
    host = Builder().build(replace(load(EXCHANGE / "base"), answers=answers))
    sender, target = words.split()
    return trace(host, question(host, sender, target, Asked("tcp"))[0])


@pytest.mark.parametrize("name", CASES)
def test_the_link_layer_decides(name: str) -> None:
    edit, asked, expected = CASES[name]
    answers = answers_of("l01-port-isolated")
    edit(answers)
    assert tuple(ask(answers, words).answered for words in asked) == expected


def test_the_decision_names_who_asks_by_which_protocol_and_what_stops_it() -> None:
    answers = answers_of("l01-port-isolated")
    arp_chain(hook="input", words=[ON_DOCKER0])(answers)
    decided = ask(answers, "web 192.0.2.10:80").decided_by
    assert decided is not None
    assert decided.place == "arp f/c #1"
    assert decided.text.startswith("web does not learn who has 172.17.0.1, ARP is stopped: ")


def test_who_still_remembers_the_mac_does_not_ask() -> None:
    answers = answers_of("l01-port-isolated")
    mac = next(one["address"] for one in answers["containers/web/addr.json"] if one["ifname"] == "eth0")
    answers["ip/neigh.json"] = [{"dst": "172.17.0.2", "dev": "docker0", "lladdr": mac, "state": ["STALE"]}]
    arp_chain(hook="input", words=[ON_DOCKER0])(answers)
    answer = ask(answers, "host 172.17.0.2:80")
    assert answer.answered
    assert answer.assumed == ("this host still remembers the MAC of 172.17.0.2: asked anew, ARP fails",)


def test_a_bridge_s_own_addresses_are_no_entries_of_its_forwarding_table() -> None:
    own = {"mac": "33:33:00:00:00:01", "ifname": "eth0", "flags": ["self"], "state": "permanent"}
    heard = {"mac": "02:42:AC:11:00:02", "ifname": "vethweb", "master": "docker0", "state": ""}
    found = parse_bridging([own, heard, {}], [{"ifname": "vethweb", "vlans": [{}, {"vlan": 7, "flags": []}]}])
    assert [(one.mac, one.port, one.fixed) for one in found.fdb or ()] == [("02:42:ac:11:00:02", "vethweb", False)]
    assert [(one.first, one.last, one.pvid) for one in (found.vlans or {})["vethweb"]] == [(7, 7, False)]
    assert parse_bridging(None, None).fdb is None


# --- an uplink that is a port of a bridge, beside the port of a virtual machine ---------------------------------------

BY_CARD = "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m physdev --physdev-in eth0 -p tcp --dport 80 -j DROP\nCOMMIT\n"


def with_a_machine() -> Answers:
    answers = answers_of("d24-uplink-bridge")
    answers["ip/addr.json"].append({**link(answers, "eth0"), "ifindex": 40, "ifname": "tap7i0"})
    answers["host/sysctl.txt"] += "net.bridge.bridge-nf-call-iptables = 1\n"
    answers["rules/iptables-legacy-save.txt"] = BY_CARD
    return answers


def test_the_router_is_behind_the_only_network_card_of_a_bridge() -> None:
    answer = ask(with_a_machine(), "outside@192.0.2.10 203.0.113.2:8080")
    assert answer.answered is False
    assert answer.decided_by is not None
    assert answer.decided_by.place == "filter/FORWARD #1"
    assert "203.0.113.1 is a router: taken to be behind eth0, the only network card of br0" in answer.assumed


def test_a_neighbour_may_be_behind_either_port() -> None:
    assert ask(with_a_machine(), "outside@203.0.113.77 203.0.113.2:8080").answered is None


def test_what_came_by_one_of_two_ports_leaves_by_the_other() -> None:
    answers = with_a_machine()
    answers["rules/iptables-legacy-save.txt"] = BY_CARD.replace("--physdev-in eth0", "--physdev-out tap+")
    assert ask(answers, "outside@203.0.113.1 203.0.113.100:80").answered is False


def test_another_mac_that_answers_for_a_containers_address_leaves_it_open_who_gets_the_packet() -> None:
    bundle = load(RECORDINGS / "duplicate-ip")
    whole = Builder().build(bundle)
    web = next(container for container in whole.containers or () if container.name == "web")
    alone = replace(whole, containers=(web,))
    asked = Question(Origin.HOST, ip_address("172.17.0.2"), dport=80)
    assert trace(alone, asked).answered is True  # the host's neighbour is web's own MAC
    neighbours = tuple(replace(entry, mac="02:42:ac:11:00:03") for entry in whole.neighbours or ())
    given = replace(alone, neighbours=neighbours)
    answer = trace(given, asked)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.decided_by is not None
    assert answer.decided_by.text == "02:42:ac:11:00:03 answers for 172.17.0.2, the engine gave web 02:42:ac:11:00:02"
    stale = tuple(replace(entry, state="STALE") for entry in neighbours)
    assert trace(replace(alone, neighbours=stale), asked).answered is True
