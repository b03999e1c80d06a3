"""A recording: the raw answers of every source, by their paths in a bundle, and why the others are missing. And what of
the engine's answers is kept in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from netdash.model.errors import NetdashError
from netdash.model.host import Failure
from netdash.model.records import dataclass, field
from netdash.model.source import CONTAINER_FILES
from netdash.parse.docker import proxy_variables
from netdash.parse.json_values import load_json

_CONTAINER_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"

Answer = object
"""Decoded JSON (of a .json file) or text."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`answers` by bundle path ("rules/nft.json"). A .json answer may be held as its text: `json()` decodes it."""

    answers: Mapping[str, Answer]
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by source
    pending: frozenset[str] = frozenset()  # those of AWAITED whose first answer has not come yet
    taken: float | None = None
    hostname: str | None = None
    live: bool = False
    privileged: bool | None = None
    heard: float | None = None  # when a live engine last answered, or sent an event

    def text(self, path: str) -> str | None:
        """The answer as text; None when it was not read."""
        answer = self.answers.get(path)
        return answer if isinstance(answer, str) else None

    def json(self, path: str) -> Answer | None:
        """The answer decoded; None when it was not read or is empty. Raises NetdashError when it is not JSON."""
        answer = self.answers.get(path)
        if not isinstance(answer, str):
            return answer
        if not answer.strip():
            return None
        try:
            return load_json(answer)
        except ValueError as error:
            raise NetdashError(f"{path} is not JSON: {error}", "the recording may be cut off") from error

    def container_answers(self, name: str) -> Mapping[str, Answer]:
        """The answers from inside one container's network namespace, by file name."""
        prefix = f"containers/{name}/"
        found = ((file, self.answers.get(prefix + file)) for file in CONTAINER_FILES)
        return {file: answer for file, answer in found if answer is not None}


def container_path(name: str, file: str) -> str | None:
    """Where a container's answer lies in a bundle; None for a name that Docker would not allow."""
    return f"containers/{name}/{file}" if re.fullmatch(_CONTAINER_NAME, name) and ".." not in name else None


# --- what of the engine's answers may be kept -------------------------------------------------------------------------
# An allow-list, so that no environment, label or argument ever is.

_ALL = None  # keep the value as it is

Shape = Mapping[str, object]
"""Key -> None (keep), a nested shape, or a function that gives what is kept. "*" stands for every key of a map."""


def _proxy_names(environment: object) -> object:
    return list(proxy_variables(environment)) if isinstance(environment, list) else None


_LABELS: Shape = {
    "com.docker.compose.project": _ALL,
    "com.docker.compose.service": _ALL,
    "com.docker.compose.network": _ALL,
    "com.docker.swarm.service.name": _ALL,
    "io.podman.compose.project": _ALL,
}
_ENDPOINT: Shape = {
    key: _ALL
    for key in (
        "NetworkID EndpointID Gateway IPAddress IPPrefixLen IPv6Gateway GlobalIPv6Address GlobalIPv6PrefixLen "
        "MacAddress Aliases DNSNames Links GwPriority IPAMConfig DriverOpts"
    ).split()
}
_NETWORK_SETTINGS: Shape = {
    "Networks": {"*": _ENDPOINT},
    "Ports": _ALL,
    "SandboxID": _ALL,
    "SandboxKey": _ALL,
}
_CONTAINER: Shape = {
    "Id": _ALL,
    "Name": _ALL,
    "Image": _ALL,
    "Created": _ALL,
    "RestartCount": _ALL,
    "State": {
        **dict.fromkeys("Status Running Paused Restarting Dead Pid ExitCode Error StartedAt FinishedAt".split()),
        "Health": {"Status": _ALL},
    },
    "Config": {"Image": _ALL, "Hostname": _ALL, "ExposedPorts": _ALL, "Labels": _LABELS, "Env": _proxy_names},
    "HostConfig": dict.fromkeys(
        "NetworkMode PortBindings PublishAllPorts AutoRemove RestartPolicy Links ExtraHosts Dns".split()
    ),
    "NetworkSettings": _NETWORK_SETTINGS,
}
_LISTED: Shape = {
    **dict.fromkeys("Id Names Image ImageID Created Ports State Status".split()),
    "Labels": _LABELS,
    "HostConfig": {"NetworkMode": _ALL},
    "NetworkSettings": {"Networks": {"*": _ENDPOINT}},
}
_NETWORK: Shape = {
    **dict.fromkeys(
        "Name Id Created Scope Driver EnableIPv4 EnableIPv6 IPAM Internal Attachable Ingress ConfigFrom ConfigOnly "
        "Options".split()
    ),
    "Containers": _ALL,
    "Labels": _LABELS,
}
_INFO: Shape = dict.fromkeys(
    "ID Name ServerVersion OperatingSystem OSType KernelVersion Architecture Driver SecurityOptions Containers "
    "ContainersRunning ContainersPaused ContainersStopped LiveRestoreEnabled BridgeNfIptables BridgeNfIp6tables "
    "IPv4Forwarding FirewallBackend EnableUserlandProxy UserlandProxyPath Swarm DefaultAddressPools".split()
)
_SHAPES: Mapping[str, Shape] = {
    "docker/inspect.json": _CONTAINER,
    "docker/containers.json": _LISTED,
    "docker/networks.json": _NETWORK,
    "docker/info.json": {**_INFO, "Swarm": {"NodeID": _ALL, "LocalNodeState": _ALL}},
}


def scrub(path: str, answer: object) -> object:
    """`answer` of the bundle file `path` with only the allowed keys; other files and other shapes pass unchanged."""
    shape = _SHAPES.get(path)
    if shape is None:
        return answer
    if isinstance(answer, list):
        return [_keep(item, shape) for item in answer]
    return _keep(answer, shape)


def _keep(value: object, shape: Shape) -> object:
    if not isinstance(value, dict):
        return value
    if "*" in shape:
        return {key: _inner(item, shape["*"]) for key, item in value.items()}
    return {
        key: value[key] if inner is _ALL else _inner(value[key], inner) for key, inner in shape.items() if key in value
    }


def _inner(value: object, shape: object) -> object:
    if callable(shape):
        return shape(value)
    return _keep(value, shape) if isinstance(shape, Mapping) else value
