"""The ways in and out of a container, judged by what the kernel did with real packets on the same hosts."""

import json
from ipaddress import ip_address

import pytest

from netdash.join.networks import peers
from netdash.model.host import Scope
from netdash.trace.summary import Leaves, inbound, obstacle, outbound
from netdash.view.answer import sentence
from tests.conftest import bundle

TRACED = ("docker20.10-nft-full", "docker29.7-nftables-full")


def cases(kind):
    """(recording, case) of every traced packet from a container outwards, or from outside to a published port."""
    for name in TRACED:
        for case in json.loads((bundle(name) / "trace-cases.json").read_text()):
            if case["case"].startswith(kind):
                yield pytest.param(name, case, id=f"{name}-{case['case']}")


def container(host, name):
    return next(one for one in host.containers if one.name == name)


def matched(case, verdicts=("accept",)):
    """The rules of the nat hooks that decided: (table, chain, position)."""
    return [
        (step["table"], step["chain"], step["rule"])
        for step in case["kernel"]["steps"]
        if step["rule"] != "policy" and step["verdict"] in verdicts
    ]


@pytest.mark.parametrize(("name", "case"), list(cases("out-")))
def test_the_way_out_is_the_kernels(host, name, case):
    joined = host(name)
    ways = outbound(joined, container(joined, case["origin"]["container"]))
    kernel = case["kernel"]["conntrack"]
    if kernel is None:
        assert {way.leaves for way in ways} == {Leaves.INTERNAL}
        return
    way = next(way for way in ways if str(way.source) == case["src"])
    assert way.default is True
    assert str(way.leaves_as) == kernel["reply"]["dst"]
    if way.nat is None:
        assert way.leaves is Leaves.UNTRANSLATED
    else:
        assert (way.nat.table, way.nat.chain, way.nat.position) in matched(case)


@pytest.mark.parametrize(("name", "case"), list(cases("ext-")))
def test_the_way_in_is_the_kernels(host, name, case):
    """A DNAT that the kernel applied is the one on the port; a packet it did not translate met none."""
    joined = host(name)
    kernel, dst = case["kernel"]["conntrack"], ip_address(case["dst"])
    here = [
        port
        for port in joined.ports
        if port.proto == case["proto"]
        and port.host_port == case["dport"]
        and (port.host_ip == dst or (port.host_ip.is_unspecified and port.host_ip.version == dst.version))
    ]
    if kernel is None or kernel["reply"]["src"] == case["dst"]:
        assert [port for port in here if port.dnat] == []
        return
    (port,) = here
    assert (port.dnat.table, port.dnat.chain, port.dnat.position) in matched(case)
    assert (str(port.target_ip), port.container_port) == (kernel["reply"]["src"], kernel["reply"]["sport"])
    if case["http_status"] == 200:
        assert port.listening is True


@pytest.mark.parametrize("name", [*TRACED, "docker28.5-nft-full"])
def test_a_port_on_loopback_is_only_the_proxys(host, name):
    joined = host(name)
    (way,) = inbound(joined, container(joined, "c-lo"))
    assert (way.port.scope, way.proxy_when) == (Scope.LOOPBACK, "from this host only")
    assert way.port.proxy.pid == way.port.holder.pid


@pytest.mark.parametrize("name", [*TRACED, "docker28.5-nft-full"])
def test_every_veth_is_the_kernels_pair(host, recording, name):
    """Inside each container its interface names the index of the host's end."""
    joined, answers = host(name), recording(name)
    index = {link.name: link.index for link in joined.links}
    checked = 0
    for one in joined.containers:
        inner = answers.json(f"containers/{one.name}/addr.json") if one.running and not one.shares_with else None
        peers = {
            address["local"]: link.get("link_index") for link in inner or () for address in link.get("addr_info", ())
        }
        for endpoint in one.endpoints:
            for address in endpoint.addresses:
                if endpoint.veth:
                    assert index[endpoint.veth] == peers[str(address.ip)]
                    checked += 1
                else:
                    assert one.name in ("c-mac", "c-created")  # macvlan; restarting, with no answer from inside
    assert checked > 10


def test_each_kind_of_network_leaves_in_its_own_way(host):
    joined = host("docker28.5-nft-full")
    expected = {
        "plain": Leaves.MASQUERADE,
        "c-snat": Leaves.SNAT,
        "c-nomasq": Leaves.UNTRANSLATED,
        "c-routed": Leaves.UNTRANSLATED,
        "c-int": Leaves.INTERNAL,
        "c-mac": Leaves.DIRECT,
        "c-host": Leaves.HOST,
        "c-none": Leaves.NOWHERE,
    }
    found = {name: {way.leaves for way in outbound(joined, container(joined, name))} for name in expected}
    assert found == {name: {leaves} for name, leaves in expected.items()}


def test_a_shared_namespace_has_its_owners_ways(host):
    joined = host("docker28.5-nft-full")
    assert outbound(joined, container(joined, "c-share")) == outbound(joined, container(joined, "c1"))
    assert inbound(joined, container(joined, "c-share")) == inbound(joined, container(joined, "c1"))


def test_ipv6_clients_of_an_ipv4_container_come_by_the_proxy(host):
    joined = host("docker28.5-nft-full")
    six = next(way for way in inbound(joined, container(joined, "c-nomasq")) if way.port.host_ip.version == 6)
    assert six.port.dnat is None
    assert str(six.port.target_ip) == "10.68.0.2"
    assert "no DNAT rule" in six.proxy_when


def test_a_container_that_does_not_run_has_no_ways(host):
    joined = host("docker28.5-nft-full")
    ended = container(joined, "c-exited")
    assert (inbound(joined, ended), outbound(joined, ended), peers(joined, ended)) == ((), (), ())
    (port,) = [port for port in joined.ports if port.container_id == ended.id]
    assert (port.live, port.host_port, port.holder.kind, port.listening) == (False, 8099, "nobody", False)


def test_names_resolve_on_user_networks_only(host):
    joined = host("docker28.5-nft-full")
    on_user = {one.container: one.names for one in peers(joined, container(joined, "c-six"))}
    assert on_user["c1"][0] == "c1"
    on_default = peers(joined, container(joined, "web"))
    assert {one.container for one in on_default} == {"plain", "rnd"}
    assert all(one.names == () and one.ip for one in on_default)


def test_without_rules_nothing_is_claimed(host, recording):
    from dataclasses import replace

    from netdash.join.host import Builder

    whole = recording("docker28.5-nft-full")
    bare = {path: answer for path, answer in whole.answers.items() if not path.startswith("rules/")}
    joined = Builder().build(replace(whole, answers=bare))
    web = container(joined, "web")
    (way, *_) = outbound(joined, web)
    assert (way.leaves, way.nat, way.leaves_as, way.uplink.name) == (Leaves.UNKNOWN, None, None, "eth0")
    assert "rules could not be read" in sentence(way.trace, obstacle(way.trace))
    port = next(port for port in joined.ports if port.container_id == web.id)
    assert (port.dnat, str(port.target_ip)) == (None, "172.17.0.2")  # the proxy says so
    assert "rules" in joined.failures


@pytest.mark.parametrize(("name", "reason"), [("masq-missing", "masquerading is switched off")])
def test_why_nothing_masquerades_is_told(host, name, reason):
    joined = host(name)
    way = outbound(joined, container(joined, "web"))[0]
    assert (way.leaves, way.leaves_as) == (Leaves.UNTRANSLATED, way.source)
    assert reason in way.why


def test_rootless_rules_are_elsewhere(host):
    joined = host("docker28.5-rootless-HOSTNS")
    assert joined.ruleset is None
    assert "rootless" in joined.failures["rules"].reason
    (way,) = outbound(joined, container(joined, "web"))
    assert (way.leaves, way.leaves_as) == (Leaves.UNKNOWN, None)


def test_a_dead_proxy_leaves_the_port_to_the_rule(host):
    joined = host("proxy-dead")
    ways = inbound(joined, container(joined, "web"))
    four = next(way for way in ways if way.port.host_ip.version == 4)
    assert (four.port.proxy, four.port.holder.kind) == (None, "rule")
    assert four.port.dnat is not None


def test_an_application_on_loopback_does_not_listen(host):
    joined = host("app-on-loopback")
    assert {way.port.listening for way in inbound(joined, container(joined, "web"))} == {False}


def test_rules_that_were_flushed_are_missing_not_unknown(host):
    joined = host("iptables-flush")
    four = next(way for way in inbound(joined, container(joined, "web")) if way.port.host_ip.version == 4)
    assert four.port.dnat is None
    assert "no DNAT rule" in four.proxy_when
    assert "rules" not in joined.failures
