"""netdash in a container of the host that it looks at, from the image of `make image`, tells what netdash on the host
tells. NETDASH_IMAGE_ROOT is the Debian root that the image is made of. It takes two minutes: .ci/run sets it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Lab, run

DEBIAN = os.environ.get("NETDASH_IMAGE_ROOT", "")
RIGHTS = ("NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH")
"""Of those that --privileged gives, which are more than tests that are in a container themselves can give."""
WITH_HOST = (*(f"--cap-add={right}" for right in RIGHTS), "--net=host", "--pid=host")


pytestmark = pytest.mark.skipif(
    not DEBIAN or not Path(DEBIAN, "usr/sbin/nft").exists(), reason="no Debian root for the image (NETDASH_IMAGE_ROOT)"
)


@pytest.fixture(scope="module", autouse=True)
def image(lab: Lab) -> None:
    subprocess.run([ROOT / ".ci/packages/image", DEBIAN], env=lab.environment, cwd=ROOT, check=True, timeout=600)


@pytest.fixture(scope="module", params=["lab", "lab_with_legacy"])
def host(request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    found: Lab = request.getfixturevalue(request.param)
    if found is not lab:
        file = str(tmp_path_factory.mktemp("image") / "netdash.tar")
        for engine, words in ((lab, ("save", "--output", file, "netdash")), (found, ("load", "--input", file))):
            run("docker", *words, env=engine.environment, timeout=300)
    found.httpd("image-web", "-p", "8095:80", "-p", "127.0.0.1:8096:80")
    yield found
    found.docker("rm", "--force", "image-web")


def in_container(host: Lab, options: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    argv = ["docker", "run", "--rm", *options, "--volume", f"{host.socket}:/var/run/docker.sock", "netdash", *words]
    return subprocess.run(argv, env=host.environment, capture_output=True, text=True, timeout=120)


def told(host: Lab, *words: str) -> tuple[Any, Any]:
    """The same question, asked in the container and on the host; without what changes by itself meanwhile."""
    done = in_container(host, WITH_HOST, *words, "--json")
    assert done.returncode == 0, done.stderr
    assert "not read" not in done.stderr
    return tuple(_uncounted(answer) for answer in (json.loads(done.stdout), host.json(*words)))


def _uncounted(answer: Any) -> Any:
    if isinstance(answer, dict):
        moving = {
            "packets",
            "bytes",
            "memory",
            *(("state",) if {"ip", "mac"} <= answer.keys() else ()),
        }  # a neighbour turns STALE
        return {key: _uncounted(value) for key, value in answer.items() if key not in moving}
    return [_uncounted(value) for value in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("command", ["rules", "ports", "proxies", "links", "routes"])
def test_what_is_told_in_the_container_is_what_is_told_on_the_host(host: Lab, command: str) -> None:
    inside, here = told(host, command)
    assert inside == here
    if command == "rules":
        backends = {rule["backend"] for rule in inside["rules"] if rule["chain"] == "DOCKER"}
        assert backends == {"iptables-legacy" if host.legacy else "iptables-nft"}


def test_a_packet_is_traced_in_the_container_as_on_the_host(host: Lab) -> None:
    inside, here = told(host, "trace", "outside", ":8095")
    assert inside == here
    assert (inside["verdict"], inside["answered"]) == ("delivered", True)


@pytest.mark.parametrize(
    ("options", "unread"),
    [
        (("--net=host", "--pid=host"), "rules need CAP_NET_ADMIN · in a container: docker run --privileged"),
        (WITH_HOST[:-2], "run netdash where the engine runs; in a container with --net host"),
    ],
    ids=["no rights", "a network of its own"],
)
def test_what_the_container_may_not_see_is_unknown_and_what_it_needs_is_said(
    host: Lab, options: tuple[str, ...], unread: str
) -> None:
    done = in_container(host, options, "rules")
    assert done.returncode == 3
    assert unread in done.stderr
    table = in_container(host, options, "ports").stdout
    assert all(line.split()[-3] == "?" for line in table.splitlines()[1:]), table
