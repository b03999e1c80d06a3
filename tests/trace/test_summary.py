"""What stands against a container's usual packets, on hosts with one thing broken: what the trace of each met."""

import pytest

from netdash.kernel.devices import trouble
from netdash.model.host import Link
from netdash.trace.summary import Leaves, asked_of, inbound, obstacle, outbound
from netdash.view import json_host
from netdash.view.answer import broken as broken_of
from netdash.view.answer import sentence
from netdash.view.card import card


def web(host):
    return next(one for one in host.containers if one.name == "web")


def first_way(host):
    return next(way for way in inbound(host, web(host)) if way.port.host_ip.version == 4)


def drawn(host):
    return "\n".join("".join(span.text for span in line).rstrip() for line in card(host, web(host), 200))


def broken(host):
    return broken_of(asked_of(host, first_way(host).port))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bridge-route-missing", "dropped: the route to 172.17.0.2 leads to eth0, not to docker0"),
        ("tailscale-exit-node", "dropped: the route to 172.17.0.2 leads to eth1, not to docker0"),
        ("ip-forward-off", "dropped: net.ipv4.conf.eth0.forwarding is 0: what comes in by eth0 is not forwarded"),
        ("host-ip-changed", "dropped: no device of this host has 203.0.113.2: nothing is received for it"),
        ("dnat-shadow-foreign", "dropped: 10.43.0.10 is no address of web: another rule takes its port"),
        ("multi-network-wrong-gateway", "rp_filter of eth1 inside web is 1"),
        ("forward-drop-ahead", "dropped: filter/FORWARD #1"),
        ("docker20.10-legacy", None),
    ],
)
def test_what_stands_against_the_path_in(host, name, sentence):
    joined = host(name)
    assert bool(broken(joined)) is (sentence is not None)
    assert not sentence or sentence in broken(joined)[0]
    asked = next(line for line in drawn(joined).splitlines() if "outside → " in line or "this host → " in line)
    assert ("✗" in asked) is (sentence is not None)


@pytest.mark.parametrize(
    ("name", "leaves", "why"),
    [
        ("container-eth0-down", Leaves.NOWHERE, "no route inside web leads to 1.1.1.1"),
        ("veth-no-master", Leaves.NOWHERE, "veth4841bfa is not in docker0"),
        ("forward-drop-ahead", Leaves.NOWHERE, "dropped: filter/FORWARD #1"),
        ("iptables-flush", Leaves.NOWHERE, "dropped: filter/FORWARD policy"),
        ("bridge-route-missing", Leaves.MASQUERADE, "the answer is dropped: filter/FORWARD policy"),
        ("app-on-loopback", Leaves.MASQUERADE, ""),
    ],
)
def test_what_stands_against_the_path_out(host, name, leaves, why):
    (way,) = outbound(host(name), web(host(name)))
    lacks = obstacle(way.trace)
    said = sentence(way.trace, lacks) if lacks else ""
    assert way.leaves is leaves
    assert why in said
    assert bool(why) is bool(said)
    assert (way.leaves_as is None) is (leaves is Leaves.NOWHERE)


def test_devices_on_the_path_show_their_state(host):
    assert "docker0 ✗ no carrier" in drawn(host("container-eth0-down"))
    assert "veth4841bfa is not in docker0" in drawn(host("veth-no-master"))


def test_what_listens_in_a_container_says_nothing_of_another_address(host):
    port = first_way(host("dnat-shadow-foreign")).port
    assert (str(port.target_ip), port.listening, port.listener) == ("10.43.0.10", None, None)
    assert "10.43.0.10 is no address of web: another rule takes its port" in drawn(host("dnat-shadow-foreign"))


def test_a_paused_container_listens_and_does_not_answer(host):
    assert "✗ no answer  web is paused: its processes do not answer" in drawn(host("container-paused"))
    assert "172.17.0.2:80 ● ─▶ ✗ no answer" in drawn(host("container-paused"))


def test_the_rule_is_found_without_a_default_route(host):
    """The kernel's trace: eth0, nat/DOCKER #2."""
    port = first_way(host("default-route-missing")).port
    assert (port.dnat.place, port.unsure) == ("nat/DOCKER #2", ())


def test_the_default_route_seen_inside_is_believed(host):
    """The kernel's trace: its packets leave by zz1, although aa2 has the published port."""
    ways = outbound(host("multi-network-wrong-gateway"), web(host("multi-network-wrong-gateway")))
    assert {way.network: way.default for way in ways} == {"aa2": False, "zz1": True}


@pytest.mark.parametrize("name", ["docker20.10-nft-full", "docker28.5-nft-full", "docker29.7-nftables-full"])
def test_this_hosts_packets_to_loopback_pass_by_the_rule_where_a_proxy_runs(host, name):
    ports = {
        str(one.host_ip) + f":{one.host_port}": one for one in host(name).ports if one.dnat and one.scope.value != "all"
    }
    assert ports["127.0.0.1:8082"].dnat_from_here is False
    assert ports["203.0.113.2:8083"].dnat_from_here is True


def test_without_proxies_the_rule_is_this_hosts_way_too(host):
    way = first_way(host("v29-loopback-publish-from-lan"))
    assert (way.port.dnat_from_here, way.port.proxy, way.proxy_when) == (True, None, "")


def test_a_rootless_engine_takes_ports_on_loopback_in_its_own_namespace(host):
    """RootlessKit forwards 0.0.0.0:8080 outside to 127.0.0.1:8080 inside, where rule and proxy are."""
    joined = host("docker28.5-rootless-CHILDNS")
    ports = {str(one.host_ip): one for one in joined.ports if one.container_id == web(joined).id}
    assert {ip: port.proxy.pid for ip, port in ports.items()} == {"0.0.0.0": 5213, "::": 5220}
    assert ports["0.0.0.0"].dnat.place == "nat/DOCKER #2"
    assert [one for one in joined.ports if one.container_id is None and one.holder.kind == "docker-proxy"] == []
    assert "nothing forwards it" not in drawn(joined)


def test_a_listener_that_answers_both_families_is_called_so(host):
    (port,) = [one for one in host("docker28.5-nft-full").ports if one.host_port == 7777]
    assert port.dual is True


def test_links_without_a_state_are_no_trouble():
    link = Link(3, "tun0", None, True, "UNKNOWN", 1500, None, None, None, None, ())
    assert trouble(link) == ""
    assert trouble(None) == ""


@pytest.mark.parametrize("name", ["docker20.10-nft-full", "docker28.5-nft-full", "docker29.7-nftables-full"])
def test_a_macvlan_has_no_veth(host, name):
    (one,) = [each for each in host(name).containers if each.name == "c-mac"]
    assert [end.veth for end in one.endpoints] == [None]


def test_json_says_what_stands_against_a_path(host):
    answer = json_host.show(host("container-eth0-down"), web(host("container-eth0-down")))
    assert answer["inbound"][0]["broken"] == ["dropped: docker0: no carrier", "vethe9af5c8: no carrier", "eth0: down"]


def test_where_two_have_the_address_the_answer_is_not_known(host):
    answer = json_host.show(host("duplicate-ip"), web(host("duplicate-ip")))
    assert answer["inbound"][0]["broken"] is None
