"""The golden screens agree with what the engine and the kernel answered, which is read here without netdash."""

from __future__ import annotations

import re

import pytest

from tests.support import raw_answers as raw
from tests.support.golden_commands import GOLDEN

NAME = "docker29.7-nftables-full"
SCREENS = GOLDEN / "screens"
VIEWS = tuple(f"view-{digit}-120x40" for digit in "2345678")
REACHED = "docker28.5-nft-full"


def rows(screen: str) -> list[list[str]]:
    """The list at the top of a screen: each row's cells, without the marks at its ends."""
    lines = (SCREENS / f"{screen}.txt").read_text("utf-8").splitlines()
    lines = lines[next(at for at, line in enumerate(lines) if "0 Health" in line) + 2 :]
    listed = lines[: next(at for at, line in enumerate(lines) if line.startswith("─"))]
    stripped = (re.sub(r"^[▌▎ ]+([●○◐✗✓!?·] )?|[▐ ]+$", "", line) for line in listed)
    return [re.split(r" {2,}", line) for line in stripped if line]


def same(shown: str, value: object) -> bool:
    """Whether a cell says that, perhaps cut off."""
    return str(value).startswith(shown[:-1]) if shown.endswith("…") else shown == str(value)


@pytest.mark.parametrize("screen", VIEWS)
def test_the_head_counts_what_the_engine_lists(screen: str) -> None:
    head = (SCREENS / f"{screen}.txt").read_text("utf-8").splitlines()[0]
    counts = (len(raw.inspected(NAME)), len(raw.answer(NAME, "docker/networks.json")))
    assert re.search(r"(\d+) containers  (\d+) networks", head)[0] == "{} containers  {} networks".format(*counts)
    assert f"docker {raw.answer(NAME, 'docker/version.json')['Version']} · nftables" in head


def test_containers() -> None:
    images = {found["Id"]: found["Image"] for found in raw.answer("su1", "docker/containers.json")}
    shown = rows("containers-120x40")
    assert {row[0] for row in shown} == set(raw.inspected("su1"))
    whole = [row for row in shown if len(row) == 10]  # of the others it is said what hits them
    for label, inwards, outwards, _, address, network, _, published, _, image in whole:
        container = raw.inspected("su1")[label]
        assert image == images[container["Id"]]
        assert {inwards, outwards} <= set("✓·")
        assert {(network, address)} == {end[:2] for end in raw.endpoint_addresses(container)}
        assert published in {f"{port[2]}→{port[3]}" for port in raw.published(container)}


def test_ports() -> None:
    published = {(*port[:3], label) for label, found in raw.inspected(NAME).items() for port in raw.published(found)}
    carried = {(*proxy[:3], pid): proxy[3:] for pid, proxy in raw.proxies(NAME).items()}
    for port, proto, bind, container, target, holder, rule, packets, listening in rows("view-2-120x40"):
        if holder == "nobody":
            assert listening == "not running"
            continue
        command, pid = holder.split()
        if command == "docker-proxy":
            assert (proto, bind, int(port), container) in published
            ip, number = carried[proto, bind, int(port), int(pid)]
            assert target == f"[{ip}]:{number}" if ":" in ip else f"{ip}:{number}"
            dnat = [rule for rule in raw.rules(NAME).values() if rule.target == (ip, number) and rule.port]
            assert (packets == "—") is (rule == "—")
            assert packets == "—" or int(packets) in {one.packets for one in dnat if one.port == (proto, int(port))}
        else:
            assert raw.sockets(NAME)[proto, bind.replace("*", "::"), int(port)] == int(pid)
        assert listening.startswith("●")


def test_networks() -> None:
    listed = {network["Name"]: network for network in raw.answer(NAME, "docker/networks.json")}
    shown = rows("view-3-120x40")
    assert len(listed) - 1 <= len(shown) <= len(listed)  # the last one may be below the pane
    for label, driver, _, subnets, gateways, members, flags in shown:
        pools = sorted(listed[label]["IPAM"]["Config"] or [], key=lambda pool: ":" in pool["Subnet"])
        assert driver == listed[label]["Driver"]
        assert same(subnets, ", ".join(pool["Subnet"] for pool in pools) or "—")
        told = [pool["Gateway"].partition("/")[0] for pool in pools if pool.get("Gateway")]
        assert gateways in ("?", "—") or same(gateways, ", ".join(told))
        inside = [one for one in raw.inspected(NAME).values() if label in one["NetworkSettings"]["Networks"]]
        assert int(members) == len(inside)
        assert ("internal" in flags) is listed[label]["Internal"]


def test_rules() -> None:
    for table, chain, number, action, packets, *_ in rows("view-4-120x40"):
        (rule,) = [
            rule
            for place, rule in raw.rules(NAME).items()
            if (place.table, place.chain, place.rule, place.family) == (table, chain, int(number), "ip")
        ]
        assert packets == ("—" if rule.packets is None else str(rule.packets))
        if rule.target:
            assert action == "DNAT → {}:{}".format(*rule.target)
        else:
            assert "dnat" not in rule.text


def test_routes() -> None:
    kernel = {
        (route["dst"], route.get("gateway", "—"), route["dev"], route.get("prefsrc", "—"), route.get("metric", 0))
        for family in (4, 6)
        for route in raw.answer(NAME, f"ip/route{family}.json")
    }
    for destination, gateway, device, source, metric, *_ in rows("view-5-120x40"):
        assert (destination, gateway, device, source, int(metric)) in kernel


def test_proxies() -> None:
    owners = {end[1]: label for label, found in raw.inspected(NAME).items() for end in raw.endpoint_addresses(found)}
    for pid, command, proto, bind, target, container, *_ in rows("view-6-120x40"):
        carried, ip, port, inside, number = raw.proxies(NAME)[int(pid)]
        assert (command, proto, container) == ("docker-proxy", carried, owners[inside])
        assert [bind, target] == [f"[{a}]:{n}" if ":" in a else f"{a}:{n}" for a, n in ((ip, port), (inside, number))]


def test_links() -> None:
    listed = {link["ifname"]: link for link in raw.answer(NAME, "ip/addr.json")}
    for label, _, state, master, addresses, container, mtu in rows("view-7-120x40"):
        link = listed[label]
        assert (state, master, int(mtu)) == (
            "● up" if "UP" in link["flags"] else "○ down",
            link.get("master", "—"),
            link["mtu"],
        )
        assert same(addresses, ", ".join(f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"]))
        if container != "—":
            peers = (
                raw.peer_of_veth(NAME, container, end[1])
                for end in raw.endpoint_addresses(raw.inspected(NAME)[container])
            )
            assert label in peers


def test_drift() -> None:
    """The engine's rule for the port is not among the recorded rules, and the other container's is."""
    shown = rows("drift-8-120x40")
    lost = [row for row in shown if row[0] == "missing" and row[3] == "8080/tcp"]
    assert [row[2] for row in lost] == ["web"]
    published = raw.published(raw.inspected("dnat-missing-proxied")["web"])
    assert ("tcp", "0.0.0.0", 8080, 80) in published
    assert not [
        rule for rule in raw.rules("dnat-missing-proxied").values() if rule.port == ("tcp", 8080) and rule.target
    ]


def test_reach() -> None:
    """Whoever has no route there has none in the container's own table; a rule that stops one is there and drops."""
    text = (SCREENS / "reach-80x24.txt").read_text("utf-8")
    reached = ""
    for line in text.splitlines()[2:]:
        if head := re.match(r"(\S+)  (\S+)/tcp  published", line):
            container, (reached, _, port) = head[1], head[2].rpartition(":")
            inspected = raw.inspected(REACHED)[container]
            bound = {entry[2] for entry in raw.published(inspected)}
            assert int(port) in bound or ("tcp", "::", int(port)) in raw.sockets(REACHED)
        elif stopped := re.match(r" no  (.+?)  no route inside", line):
            for sender in re.sub(r" \+\d+$", "", stopped[1]).split(", "):
                assert not has_default(sender, 6 if ":" in reached else 4)
        elif rule := re.match(r" no  .+  (\w+)/(\S+) #(\d+)$", line):
            place = raw.Place("iptables-nft", "ip", rule[1], rule[2], int(rule[3]))
            assert raw.rules(REACHED)[place].text.endswith("-j DROP")


def has_default(sender: str, family: int) -> bool:
    routes = raw.answer(REACHED, f"containers/{sender}/route.json") or []
    return any(route["dst"] == "default" and (":" in route.get("gateway", "")) is (family == 6) for route in routes)
