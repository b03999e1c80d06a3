"""The API's shapes, of several engines and of none."""

from ipaddress import ip_address, ip_interface

import pytest

from netdash.model.host import Binding
from netdash.parse.docker import moment, parse_engine, parse_inspected, parse_listed, parse_network, resolve_shared
from netdash.parse.json_values import decoded

ID = "f3f0d046efbf" + "0" * 52


def inspected(**parts: object) -> dict[str, object]:
    return {"Id": ID, "Name": "/web", "State": {"Status": "running", "Pid": 7}, **parts}


def test_the_list_and_the_inspection_say_the_same(recording):
    answers = recording("docker29.7-nftables-full")
    listed = {one.id: one for raw in answers.json("docker/containers.json") if (one := parse_listed(raw))}
    for raw in answers.json("docker/inspect.json"):
        full = parse_inspected(raw)
        short = listed[full.id]
        assert (short.name, short.image) == (full.name, full.image)
        if full.state == short.state == "running":
            assert [(end.network, end.addresses) for end in short.endpoints] == [
                (end.network, end.addresses) for end in full.endpoints
            ]
            assert set(short.bindings) == {binding for binding in full.bindings if binding.host_port}


def test_a_port_that_is_routed_has_no_host_port(recording):
    raws = recording("docker28.5-nft-full").json("docker/inspect.json")
    routed = next(one for raw in raws if (one := parse_inspected(raw)) and one.name == "c-routed")
    assert Binding("tcp", 80, ip_address("0.0.0.0"), None) in routed.bindings


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ({"Status": "paused"}, "paused"),
        ({"Running": True}, "running"),
        ({"Running": True, "Paused": True}, "paused"),
        ({"Running": True, "Restarting": True}, "restarting"),
        ({"FinishedAt": "2017-02-13T08:00:00Z"}, "exited"),
        ({"FinishedAt": "0001-01-01T00:00:00Z"}, "created"),
    ],
)
def test_old_engines_say_the_state_in_flags(state, word):
    assert parse_inspected(inspected(State=state)).state == word


def test_exit_code_is_only_that_of_a_container_that_ended():
    assert parse_inspected(inspected(State={"Status": "running", "ExitCode": 0})).exit_code is None
    assert parse_inspected(inspected(State={"Status": "exited", "ExitCode": 0})).exit_code == 0


def test_links_on_the_default_bridge_come_from_the_host_config():
    raw = inspected(
        HostConfig={"Links": ["/db:/web/database"]},
        NetworkSettings={"Networks": {"bridge": {"NetworkID": "n", "Links": None}}},
    )
    assert parse_inspected(raw).endpoints[0].links == (("db", "database"),)


def test_names_end_with_the_short_id():
    raw = inspected(
        NetworkSettings={"Networks": {"back": {"NetworkID": "n", "Aliases": [ID[:12], "database"], "DNSNames": None}}}
    )
    assert parse_inspected(raw).endpoints[0].names == ("web", "database", ID[:12])


def test_a_shared_namespace_is_named_by_its_owner():
    owner = parse_inspected(inspected())
    other = parse_inspected({"Id": "b" * 64, "Name": "/side", "HostConfig": {"NetworkMode": f"container:{ID}"}})
    gone = parse_inspected({"Id": "c" * 64, "Name": "/lost", "HostConfig": {"NetworkMode": "container:deadbeef"}})
    assert [one.shares_with for one in resolve_shared([owner, other, gone])] == [None, "web", "deadbeef"]


def test_a_linked_container_is_listed_under_its_own_name():
    assert parse_listed({"Id": ID, "Names": ["/web/database", "/db"]}).name == "db"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01.500000000Z", 1.5),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        (17, None),
    ],
)
def test_moments(text, seconds):
    assert moment(text) == seconds


def test_networks_of_docker_and_of_podman(recording):
    docker = {one.name: one for raw in recording("docker28.5-nft-full").json("docker/networks.json")
              if (one := parse_network(raw))}  # fmt: skip
    assert docker["bridge"].bridge == "docker0"
    assert docker["intern"].bridge == "br-" + docker["intern"].id[:12]
    assert (docker["intern"].internal, docker["noicc"].icc, docker["nomasq"].masquerade) == (True, False, False)
    assert docker["mac"].parent == "eth0"
    assert docker["mac"].bridge is None
    assert docker["routed"].gateway_modes == ("routed", "routed")
    assert docker["hostsnat"].snat_to == ip_address("203.0.113.2")
    assert str(docker["six"].subnets[1]) == "fd00:66::/64"


def test_engines(recording):
    for name, expected in {
        "docker20.10-legacy": ("docker", "20.10.24+dfsg1", False, None),
        "docker28.5-rootless-HOSTNS": ("docker", "28.5.2+dfsg4", True, "iptables"),
        "docker29.7-nftables-full": ("docker", "29.7.2", False, "nftables"),
        "podman5.8-nftables": ("podman", "5.8.6", False, None),
    }.items():
        answers = recording(name)
        engine = parse_engine(answers.json("docker/version.json"), answers.json("docker/info.json"))
        assert (engine.name, engine.version, engine.rootless, engine.firewall) == expected
    assert parse_engine(None, {"Name": "host"}) is None


@pytest.mark.parametrize("nonsense", [None, [], "x", 3, {}, {"Id": 5}, {"Id": ""}])
def test_what_has_no_identity_is_no_container(nonsense):
    raw = nonsense if isinstance(nonsense, dict) else {}
    assert parse_inspected(raw) is None
    assert parse_listed(raw) is None
    assert parse_network(raw) is None


def test_wrong_types_are_none_and_never_raise():
    broken = inspected(
        State={"Status": ["running"], "Pid": "seven", "Health": 3},
        Config=[],
        HostConfig={"PortBindings": {"80/tcp": [{"HostPort": "eighty", "HostIp": 12}], "x": None, "99999999/tcp": []}},
        NetworkSettings={"Networks": {"a": None, "b": {"IPAddress": "300.1.1.1", "IPPrefixLen": "x", "Links": "no"}}},
    )
    one = parse_inspected(broken)
    assert one.pid is None
    assert [end.addresses for end in one.endpoints] == [(), ()]
    assert one.configured == (Binding("tcp", 80, None, None),)


def test_dual_stack_addresses_keep_their_prefix():
    six = {"IPAddress": "10.66.0.3", "IPPrefixLen": 24, "GlobalIPv6Address": "fd00::3", "GlobalIPv6PrefixLen": 64}
    raw = inspected(NetworkSettings={"Networks": {"six": six}})
    assert parse_inspected(raw).endpoints[0].addresses == (ip_interface("10.66.0.3/24"), ip_interface("fd00::3/64"))


def test_decoded_refuses_what_is_not_json():
    assert decoded("") is None
    with pytest.raises(ValueError, match="deeply"):
        decoded("[" * 100_000)
