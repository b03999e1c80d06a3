"""A container made anew is its equal: inspect before and after, field by field, over every option of docker run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import IMAGE, Lab
from test_live_publish_killed import run

GROUPS: dict[str, list[str]] = {
    "plain": [],
    "names": [
        *("--hostname", "box", "--domainname", "example.test", "--add-host", "db:10.1.2.3", "--dns", "192.0.2.53"),
        *("--dns-option", "ndots:2", "--dns-search", "example.test", "--label", "a=b", "--label", "empty="),
        *("--env", "A=1", "--env", "B=x y", "--user", "1:2", "--group-add", "3", "--workdir", "/tmp"),
        *("--expose", "99", "--expose", "98/udp", "--cidfile", "{folder}/cid"),
    ],
    "process": [
        *("--entrypoint", "/bin/sleep", "--init", "-i", "-t", "--stop-signal", "KILL", "--stop-timeout", "3"),
        *("--restart", "on-failure:4", "--pid", "host", "--uts", "host", "--ipc", "host", "--oom-score-adj", "100"),
        *("--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"),
    ],
    "limits": [
        *("--memory", "64m", "--memory-reservation", "32m", "--memory-swap", "128m", "--cpu-shares", "512"),
        *("--cpu-period", "50000", "--cpu-quota", "25000", "--cpuset-cpus", "0", "--cpuset-mems", "0"),
        *("--pids-limit", "50", "--ulimit", "nofile=100:200", "--shm-size", "32m", "--blkio-weight", "300"),
    ],
    "rights": [
        *("--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--security-opt", "no-new-privileges"),
        *("--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined", "--read-only"),
        *(
            "--device",
            "/dev/null:/dev/xnull:rwm",
            "--device-cgroup-rule",
            "c 1:3 mr",
            "--sysctl",
            "net.core.somaxconn=99",
        ),
        *(
            "--tmpfs",
            "/scratch:size=1m",
            "--ipc",
            "shareable",
            "--cgroupns",
            "host",
            "--runtime",
            "runc",
            "--userns",
            "host",
        ),
    ],
    "volumes": [
        *("-v", "/anonymous", "-v", "whole-named:/named:ro", "-v", "{folder}:/bound:ro,rprivate"),
        *("--mount", "type=volume,destination=/mounted", "--mount", "type=volume,source=whole-two,destination=/two"),
        *("--mount", "type=tmpfs,destination=/fast,tmpfs-size=1048576"),
        *("--mount", "type=bind,source={folder},destination=/bound2,readonly", "--volumes-from", "whole-donor:ro"),
    ],
    "health": [
        *("--health-cmd", "true", "--health-interval", "1s", "--health-retries", "2", "--health-timeout", "3s"),
        *("--health-start-period", "1s", "--restart", "unless-stopped"),
    ],
    "no-health": ["--no-healthcheck"],
    "ports": ["-p", "127.0.0.1:18080:80", "-p", "18081:81/udp", "-p", "18082-18083:82-83"],
    "links": ["--link", "whole-donor:alias", "--mac-address", "02:42:de:ad:be:ef"],
    "network": [
        *("--network", "whole-net", "--ip", "10.77.0.9", "--ip6", "fd77::9", "--network-alias", "one"),
        *("--network-alias", "two", "--link", "whole-peer:peer", "--mac-address", "02:42:de:ad:be:e0"),
    ],
}
SECOND = ("network", "names")  # groups that are connected to a second network too


@pytest.fixture(scope="module")
def house(lab: Lab) -> Iterator[Lab]:
    lab.docker("network", "create", "--ipv6", "--subnet", "10.77.0.0/24", "--subnet", "fd77::/64", "whole-net")
    lab.docker("network", "create", "--subnet", "10.78.0.0/24", "whole-two")
    lab.docker("run", "-d", "--name", "whole-donor", "-v", "/donated", IMAGE, "sleep", "10000")
    lab.docker("run", "-d", "--name", "whole-peer", "--network", "whole-net", IMAGE, "sleep", "10000")
    yield lab
    lab.remove_containers()
    lab.docker("network", "rm", "whole-net", "whole-two")


def start(lab: Lab, *words: str) -> None:
    """By the docker of the engine's own package where there is one: newer ones refuse options to old engines."""
    own = Path("/usr/bin/docker")
    docker = str(own) if own.exists() else "docker"
    done = subprocess.run([docker, "--host", f"unix://{lab.socket}", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def inspect(lab: Lab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lab.docker("inspect", name))[0]
    return found


@pytest.mark.parametrize("group", GROUPS)
def test_before_and_after_are_equal(house: Lab, group: str) -> None:
    name = f"whole-{group}-it"
    folder = house.folder / name  # an engine with a root of its own sees it too
    folder.mkdir()
    options = [option.replace("{folder}", str(folder)) for option in GROUPS[group]]
    words = ["10000"] if "--entrypoint" in options else ["sleep", "10000"]
    start(house, "run", "-d", "--name", name, "--stop-timeout", "1", *options, IMAGE, *words)
    if group in SECOND:
        house.docker("network", "connect", "--alias", "second", "--ip", "10.78.0.9", "whole-two", name)
    before = inspect(house, name)
    done = run(house, 0, "netdash", "publish", name, "127.0.0.1:19999:7", "--mode", "recreate", "--grace", "0", "--yes")
    assert done.returncode == 0, done.stderr
    after = inspect(house, name)
    house.docker("rm", "-f", name)
    assert after["Id"] != before["Id"]
    assert after["HostConfig"]["PortBindings"].pop("7/tcp") == [{"HostIp": "127.0.0.1", "HostPort": "19999"}]
    assert after["NetworkSettings"]["Ports"].pop("7/tcp") == [{"HostIp": "127.0.0.1", "HostPort": "19999"}]
    assert after["Config"]["ExposedPorts"].pop("7/tcp") == {}
    named = anonymous_by_name(before, after)
    assert named == (2 if group == "volumes" else 0)
    assert list(differences(bare(before), bare(after), "")) == []


def differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{path}/{key}")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def anonymous_by_name(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Anonymous volumes are the same ones, by their name from now on: how many. That much is taken out of `after`."""
    volumes = {one["Destination"]: one["Name"] for one in before["Mounts"] if one["Type"] == "volume"}
    binds = after["HostConfig"]["Binds"] or []
    added = [one for one in binds if one not in (before["HostConfig"]["Binds"] or [])]
    for bind in added:
        volume, place = bind.split(":")[:2]
        assert volumes[place] == volume
    kept = [one for one in binds if one not in added]
    after["HostConfig"]["Binds"] = kept or before["HostConfig"]["Binds"]
    filled = 0
    for one, was in zip(after["HostConfig"].get("Mounts") or [], before["HostConfig"].get("Mounts") or [], strict=True):
        if one.get("Source") and not was.get("Source"):
            assert one.pop("Source") == volumes[one["Target"]]
            filled += 1
    return len(added) + filled


def engine_made(mac: str | None) -> str:
    """A MAC address that nobody chose: from the IPv4 address before Docker 28, and comparable; random after."""
    return mac if mac and mac.startswith("02:42:") else "(the engine's choice)"


def bare(one: dict[str, Any]) -> dict[str, Any]:
    """Without ids and times, and what is made of them."""
    short = one["Id"][:12]
    for key in ("Id", "Created", "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "GraphDriver"):
        one.pop(key, None)
    for key in ("Pid", "StartedAt", "FinishedAt"):
        one["State"].pop(key)
    one["State"].get("Health", {}).pop("Log", None)
    one["State"].get("Health", {}).pop("Status", None)
    if one["Config"]["Hostname"] == short:
        one["Config"]["Hostname"] = "(short id)"
    one["Config"]["ExposedPorts"] = one["Config"].get("ExposedPorts") or {}
    settings = one["NetworkSettings"]
    for key in ("SandboxID", "SandboxKey", "EndpointID"):
        settings.pop(key, None)
    if not one["Config"].get("MacAddress"):
        settings["MacAddress"] = engine_made(settings.get("MacAddress"))
    for end in settings["Networks"].values():
        if not one["Config"].get("MacAddress"):
            end["MacAddress"] = engine_made(end["MacAddress"])
        end.pop("EndpointID")
        end["Aliases"] = [alias for alias in end["Aliases"] or [] if alias != short]
        end["DNSNames"] = [alias for alias in end.get("DNSNames") or [] if alias != short]
    for mount in one["Mounts"]:
        if mount["Type"] == "volume" and len(mount["Name"]) == 64:
            mount["Mode"] = mount["Mode"].replace("z", "")
    one["Mounts"].sort(key=lambda mount: mount["Destination"])
    return one
