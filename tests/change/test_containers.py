"""Containers that are put on networks, and taken off, on a recorded host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netdash.bundle.storage import load
from netdash.change.apply import CannotModel, apply
from netdash.change.difference import read_command
from netdash.change.model import AttachmentChange, ContainerChange, ContainerEdit, NetworkRemoval
from netdash.join.host import Builder
from netdash.model.addresses import interface
from netdash.model.host import Host, Verb
from tests.conftest import bundle


def _with_link_local(host: Host) -> Host:
    """As the kernel gives every device of IPv6 an address of its link."""
    own = interface("fe80::1", 64)
    assert own is not None
    made = []
    for one in host.containers or ():
        inside = one.inside
        if inside is not None and inside.links is not None:
            links = (replace(link, addresses=(*link.addresses, own)) for link in inside.links if link.name != "lo")
            lo = (replace(link, addresses=link.addresses[:1]) for link in inside.links if link.name == "lo")
            inside = replace(inside, links=(*lo, *links))
        made.append(replace(one, inside=inside))
    return replace(host, containers=tuple(made))


def test_one_network_less_and_more_keeps_the_other_devices() -> None:
    host = _with_link_local(Builder(compare=False).build(load(bundle("docker28.5-nft-full"))))
    before = next(one for one in host.containers or () if one.name == "c-hostip")
    assert before.inside is not None
    (name,) = (end.network for end in before.endpoints)
    other = next(one.name for one in host.networks or () if one.driver == "bridge" and one.name != name)
    joined = apply(host, read_command(host, f"docker network connect {other} c-hostip"), compare=False)
    after = next(one for one in joined.containers or () if one.name == "c-hostip")
    assert after.inside is not None
    ours = {link.name: link.addresses for link in before.inside.links or ()}
    theirs = {link.name: link.addresses for link in after.inside.links or ()}
    assert ours.items() <= theirs.items()
    assert theirs.keys() - ours.keys() == {"eth1"}
    left = apply(joined, read_command(joined, f"docker network disconnect {other} c-hostip"), compare=False)
    again = next(one for one in left.containers or () if one.name == "c-hostip")
    assert again.inside is not None
    assert again.inside.links == before.inside.links


def test_a_network_is_removed_with_its_bridge_and_rules_once_nobody_is_on_it() -> None:
    host = Builder(compare=False).build(load(bundle("docker28.5-nft-full")))
    end = next(end for one in host.containers or () if one.name == "c-unprot" for end in one.endpoints)
    network = next(one for one in host.networks or () if one.id == end.network_id)
    removal = NetworkRemoval(network.id)
    with pytest.raises(CannotModel):
        apply(host, [removal], compare=False)
    members = [
        one for one in host.containers or () if one.running and end.network in {e.network for e in one.endpoints}
    ]
    left = apply(host, [AttachmentChange(network.id, one.id, False) for one in members], compare=False)
    after = apply(left, [removal], compare=False)
    assert network.bridge is not None
    assert _mentions(left, network.bridge)
    assert not _mentions(after, network.bridge)
    assert network.id not in {one.id for one in after.networks or ()}


def _mentions(host: Host, bridge: str) -> list[str]:
    """What the engine made for a bridge."""
    rules = host.ruleset.rules if host.ruleset else ()
    links = [link.name for link in host.links or () if link.name == bridge]
    return [
        *links,
        *(route.dev for route in host.routes or () if route.dev == bridge),
        *(r.text for r in rules if bridge in r.text),
    ]


@pytest.mark.parametrize("flushed", [True, False])
def test_a_restart_writes_the_rules_of_the_resolver_again(flushed: bool) -> None:
    nat = "-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n" + ("-N DOCKER_OUTPUT\n-N DOCKER_POSTROUTING\n" if flushed else "")
    sockets = "udp UNCONN 0 0 127.0.0.11:40084 0.0.0.0:*\ntcp LISTEN 0 9 127.0.0.11:44777 0.0.0.0:*\n"
    recording = load(bundle("docker-user-host-port"))
    inner = {"containers/web/nat.txt": nat, "containers/web/listeners.txt": sockets}
    host = Builder(compare=False).build(replace(recording, answers={**recording.answers, **inner}))
    web = next(one for one in host.containers or () if one.name == "web")
    after = apply(host, [ContainerChange(web.id, ContainerEdit.RESTART)], compare=False)
    inside = next(one.inside for one in after.containers or () if one.id == web.id)
    assert inside is not None
    assert inside.ruleset is not None
    led = [one.text.rpartition(" ")[2] for one in inside.ruleset.rules if one.target.verb is Verb.DNAT]
    assert led == ["127.0.0.11:40084", "127.0.0.11:44777"]
