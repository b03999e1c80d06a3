"""Containers that are put on networks, and taken off, on a recorded host."""

from __future__ import annotations

from dataclasses import replace

from netdash.bundle.storage import load
from netdash.change.apply import apply
from netdash.change.commands import read_command
from netdash.join.host import Builder
from netdash.model.addresses import interface
from netdash.model.host import Host
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
