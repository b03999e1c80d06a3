"""The golden files of lists agree with what the engine and the kernel answered, which is read here without netdash."""

from __future__ import annotations

import json
import re
from ipaddress import ip_address
from typing import Any

import pytest

from tests.support import raw_answers as raw
from tests.support.golden_commands import GOLDEN, OTHERS, SHOWN

PORTS = (*SHOWN, *(name for name, view in OTHERS.items() if view == "ports"))
CONTAINERS = (*SHOWN, "docker20.10-nft-full")
RULES = (*(name for name in SHOWN if "rootless" not in name), "docker20.10-legacy")
DRIFTED = tuple(name for name, view in OTHERS.items() if view == "drift")


def golden(name: str, view: str) -> Any:
    return json.JSONDecoder().raw_decode((GOLDEN / name / f"{view}.json").read_text("utf-8"))[0]


def table(name: str, view: str) -> list[dict[str, str]]:
    """The rows of a text table by its heads; a column of numbers is aligned with the end of its head."""
    head, *lines = (GOLDEN / name / f"{view}.txt").read_text("utf-8").splitlines()
    if head.startswith("stderr"):
        return []
    names = head.split("  ")
    heads = [word.strip() for word in names if word.strip()]
    rows = [line for line in lines if not re.match(r"stderr: |exit \d", line)]
    blank = [
        at
        for at in range(max(map(len, [head, *rows])))
        if all(line[at : at + 1].strip() == "" for line in [head, *rows])
    ]
    gaps = [at for at in blank if at + 1 in blank] + [max(map(len, [head, *rows]))]
    cuts = [at for at in gaps if head[:at].strip()]
    starts: list[int] = []
    for word in heads:
        starts.append(head.index(word, starts[-1] + 1 if starts else 0))
    bounds = [
        0,
        *(next(cut for cut in cuts if start + len(word) <= cut) for word, start in zip(heads, starts, strict=True)),
    ]
    return [{word: line[bounds[at] : bounds[at + 1]].strip() for at, word in enumerate(heads)} for line in rows]


def place(rule: dict[str, Any]) -> raw.Place:
    return raw.Place(*(rule[key] for key in ("backend", "family", "table", "chain", "rule")))


@pytest.mark.parametrize("name", SHOWN)
def test_containers_are_what_the_engine_inspects(name: str) -> None:
    inspected = raw.inspected(name)
    images = {listed["Id"]: listed["Image"] for listed in raw.answer(name, "docker/containers.json")}
    shown = {container["name"]: container for container in golden(name, "containers")["containers"]}
    assert set(shown) == set(inspected)
    for label, container in inspected.items():
        row, state = shown[label], container["State"]
        assert (row["id"], row["state"], row["image"]) == (
            container["Id"][:12],
            state["Status"],
            images[container["Id"]],
        )
        assert (row["pid"] or 0) == (state["Pid"] if state["Running"] else 0)
        keys = ("network", "ip", "prefix", "gateway", "mac")
        assert {tuple(address[key] for key in keys) for address in row["addresses"]} == raw.endpoint_addresses(
            container
        )
        for address in row["addresses"]:
            if (device := raw.peer_of_veth(name, label, address["ip"])) is not None:
                assert address["veth"] == device
        live = [port for port in row["published"] if port["live"] and row["network_mode"] != "host"]
        keys = ("proto", "host_ip", "host_port", "container_port")
        assert {tuple(port[key] for key in keys) for port in live} >= raw.published(container)
        assert all(port["dnat"] for port in live if tuple(port[key] for key in keys) not in raw.published(container))


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_table_of_containers_has_every_container_and_its_addresses(name: str) -> None:
    inspected = raw.inspected(name)
    rows = {row["NAME"]: row for row in table(name, "containers")}
    assert set(rows) == set(inspected)
    for label, container in inspected.items():
        assert rows[label]["STATE"].split()[1] == container["State"]["Status"]
        addresses = {entry[1] for entry in raw.endpoint_addresses(container)}
        shown = {word for word in rows[label]["ADDRESS"].split(", ") if "." in word or ":" in word}
        assert shown == addresses
        ports = {int(number) for number in re.findall(r"(\d+)→", rows[label]["PUBLISHED"].partition("(")[0])}
        assert ports <= {port[2] for port in raw.published(container)}


@pytest.mark.parametrize("name", SHOWN)
def test_networks_are_what_the_engine_lists(name: str) -> None:
    listed = {network["Name"]: network for network in raw.answer(name, "docker/networks.json")}
    shown = {network["name"]: network for network in golden(name, "networks")["networks"]}
    bridges = {link["ifname"] for link in raw.answer(name, "ip/addr.json") if _kind(link) == "bridge"}
    assert set(shown) == set(listed)
    for label, network in listed.items():
        row, pools = shown[label], network["IPAM"]["Config"] or []
        assert (row["id"], row["driver"], row["scope"]) == (network["Id"][:12], network["Driver"], network["Scope"])
        assert row["internal"] is network["Internal"]
        assert set(row["subnets"]) == {pool["Subnet"] for pool in pools}
        assert set(row["gateways"] or ()) >= {
            pool["Gateway"].partition("/")[0] for pool in pools if pool.get("Gateway")
        }
        members = {found for found, told in raw.inspected(name).items() if label in told["NetworkSettings"]["Networks"]}
        assert members >= {member["Name"] for member in network["Containers"].values()}  # those that run
        assert set(row["containers"]) == members
        bridge = (network["Options"] or {}).get("com.docker.network.bridge.name") or f"br-{network['Id'][:12]}"
        if network["Driver"] == "bridge" and bridge in bridges:
            assert row["bridge"] == bridge


def _kind(link: dict[str, Any]) -> str | None:
    kind: str | None = link.get("linkinfo", {}).get("info_kind")
    return kind


@pytest.mark.parametrize("name", SHOWN)
def test_links_are_what_the_kernel_lists(name: str) -> None:
    shown = {link["name"]: link for link in golden(name, "links")["links"]}
    listed = raw.answer(name, "ip/addr.json")
    assert list(shown) == [link["ifname"] for link in listed]
    for link in listed:
        row = shown[link["ifname"]]
        keys = ("ifindex", "mtu", "operstate", "address", "master")
        assert [row[key] for key in ("index", "mtu", "state", "mac", "master")] == [link.get(key) for key in keys]
        assert row["addresses"] == [f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"] if entry]
        assert row["up"] is ("UP" in link["flags"])


@pytest.mark.parametrize("name", SHOWN)
def test_routes_and_policy_rules_are_what_the_kernel_lists(name: str) -> None:
    shown = golden(name, "routes")
    for family in (4, 6):
        listed = [route for route in raw.answer(name, f"ip/route{family}.json") if _family(route) == family]
        told = [
            [row[key] for key in ("dst", "gateway", "dev", "prefsrc", "table", "kind", "protocol")]
            + [row["metric"] or 0]
            for row in shown["routes"]
            if row["family"] == family
        ]
        defaults = {"table": "main", "type": "unicast"}
        keys = ("gateway", "dev", "prefsrc", "table", "type", "protocol")
        answers = [
            [_with_length(route["dst"], family), *((defaults | route).get(key) for key in keys), route.get("metric", 0)]
            for route in listed
        ]
        assert sorted(map(str, told)) == sorted(map(str, answers))
        policy = [(rule["priority"], rule.get("table")) for rule in raw.answer(name, f"ip/rule{family}.json")]
        assert [(rule["priority"], rule["table"]) for rule in shown["policy"] if rule["family"] == family] == policy


def _family(route: dict[str, Any]) -> int:
    """`ip -4 route show table all` lists routes of IPv6 too."""
    return 6 if ":" in route["dst"] + route.get("gateway", "") else 4


def _with_length(destination: str, family: int) -> str:
    if destination == "default" or "/" in destination:
        return destination
    return f"{destination}/{32 if family == 4 else 128}"


@pytest.mark.parametrize("name", SHOWN)
def test_proxies_are_the_processes_that_run(name: str) -> None:
    keys = ("proto", "host_ip", "host_port", "container_ip", "container_port")
    shown = {row["pid"]: tuple(row[key] for key in keys) for row in golden(name, "proxies")["proxies"]}
    assert shown == raw.proxies(name)
    owners = {
        entry[1]: label for label, found in raw.inspected(name).items() for entry in raw.endpoint_addresses(found)
    }
    for row in golden(name, "proxies")["proxies"]:
        assert row["container"] == owners[row["container_ip"]]


@pytest.mark.parametrize("name", SHOWN)
def test_ports_are_what_the_engine_published_and_what_listens(name: str) -> None:
    rows = [row for row in golden(name, "ports")["ports"] if row["live"]]
    keys = ("proto", "host_ip", "host_port")
    expected = {(*port[:3], label) for label, found in raw.inspected(name).items() for port in raw.published(found)}
    shown = {(*(row[key] for key in keys), row["container"]) for row in rows}
    assert expected <= shown
    for row in rows:
        taken = tuple(row[key] for key in keys)
        if (*taken, row["container"]) not in expected:
            assert taken in raw.sockets(name) or row["dnat"]
        if row["holder"] and row["holder"]["pid"] is not None:
            own = raw.sockets(name)
            any_address = ("0.0.0.0", "::") if row["host_ip"] == "0.0.0.0" else ("::",)
            candidates = [
                own[key]
                for ip in (row["host_ip"], *any_address)
                if (key := (row["proto"], ip, row["host_port"])) in own
            ]
            assert row["holder"]["pid"] in candidates
        if row["proxy"]:
            assert raw.proxies(name)[row["proxy"]["pid"]][:3] == taken


@pytest.mark.parametrize("name", SHOWN)
def test_a_ports_rule_is_where_the_tools_list_it(name: str) -> None:
    for row in golden(name, "ports")["ports"]:
        asked = (row["proto"], row["host_port"])
        if row["dnat"]:
            rule = raw.rules(name)[place(row["dnat"])]
            assert (rule.packets, rule.size) == (row["dnat"]["packets"], row["dnat"]["bytes"])
            assert rule.text == row["dnat"]["text"] or row["dnat"]["backend"] == "nft"
            assert (rule.port, rule.target) == (asked, (row["target_ip"], row["container_port"]))
            assert rule.address in (None, row["host_ip"])
            continue
        version = "ip6" if ":" in row["host_ip"] else "ip"
        for where, rule in raw.rules(name).items():
            if rule.target and rule.port == asked and where.family == version:
                assert rule.address not in (None, row["host_ip"])


@pytest.mark.parametrize("name", SHOWN)
def test_who_listens_is_what_the_kernel_lists_inside(name: str) -> None:
    for row in golden(name, "ports")["ports"]:
        if row["live"] and row["container"] and row["target_ip"] and row["proto"] == "tcp":
            inside = raw.listens_inside(name, row["container"], row["target_ip"], row["container_port"])
            assert inside is None or row["listening"] is inside
        if row["live"] and row["target_ip"] is None and not row["dnat"]:
            own = (row["proto"], row["host_ip"], row["host_port"])
            assert row["listening"] in (own in raw.sockets(name), None)


@pytest.mark.parametrize("name", PORTS)
def test_the_table_of_ports_agrees_with_rules_and_sockets(name: str) -> None:
    rows = table(name, "ports")
    assert rows
    published = {port[1:3] for found in raw.inspected(name).values() for port in raw.published(found)}
    assert {(row["BIND"], int(row["PORT"])) for row in rows} >= published
    for row in rows:
        holder = re.fullmatch(r"\S+ (\d+)", row["HELD BY"])
        if holder:
            assert int(holder[1]) in {
                pid
                for (proto, _, port), pid in raw.sockets(name).items()
                if (proto, port) == (row["PROTO"], int(row["PORT"]))
            }
        if found := re.fullmatch(r"(?:(\w+) )?(\S+)/(\S+) #(\d+)", row["RULE"]):
            family, table_name, chain, number = found.groups()
            where = [
                rule
                for at, rule in raw.rules(name).items()
                if (at.family, at.table, at.chain, at.rule) == (family or "ip", table_name, chain, int(number))
                and rule.target
            ]
            assert (row["PROTO"], int(row["PORT"])) in {rule.port for rule in where}
            assert row["PACKETS"] in {"?" if rule.packets is None else str(rule.packets) for rule in where}


@pytest.mark.parametrize("name", RULES)
def test_rules_stand_as_the_tools_list_them(name: str) -> None:
    """Of iptables every rule with its own words and counters; of nft each chain has as many as the kernel."""
    rows = table(name, "rules")
    shown = sorted(
        (row["TABLE"].rpartition(" ")[2], row["CHAIN"], int(row["#"]), row["RULE"])
        for row in rows
        if "nft" not in row["BACKEND"] or "ipt" in row["BACKEND"]
    )
    listed = sorted(
        (at.table, at.chain, at.rule, rule.text.removeprefix(f"-A {at.chain} "))
        for at, rule in raw.rules(name).items()
        if at.backend != "nft"
    )
    assert shown == listed
    numbers = {(row["CHAIN"], int(row["#"])) for row in rows}
    assert {(at.chain, at.rule) for at in raw.rules(name) if at.backend != "nft" or not shown} <= numbers


def test_every_rule_of_the_demo_host_has_its_counters() -> None:
    shown = golden("su1", "rules")["rules"]
    assert {place(rule): (rule["text"], rule["packets"], rule["bytes"]) for rule in shown} == {
        at: (rule.text, rule.packets, rule.size) for at, rule in raw.rules("su1").items()
    }


@pytest.mark.parametrize("name", DRIFTED)
def test_a_missing_rule_is_not_listed_and_a_shadowed_one_is(name: str) -> None:
    rows = table(name, "drift")
    assert rows
    for row in rows:
        chain, _, number = row["RULE"].partition("/")[2].partition(" #")
        texts = [
            rule.text
            for at, rule in raw.rules(name).items()
            if at.chain == chain and str(at.rule) == (number or str(at.rule))
        ]
        assert (f"-A {chain} {row['TEXT']}" in texts) is (row["DRIFT"] != "missing")


@pytest.mark.parametrize("name", SHOWN)
def test_a_card_has_the_addresses_of_its_container(name: str) -> None:
    for label in SHOWN[name]:
        card = (GOLDEN / name / f"show-{label}.txt").read_text("utf-8")
        for _, address, *_ in raw.endpoint_addresses(raw.inspected(name)[label]):
            assert str(ip_address(address)) in card
