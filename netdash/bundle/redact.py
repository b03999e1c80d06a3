"""What of the engine's answers may be kept: an allow-list, so that no environment, label or argument ever is."""

from __future__ import annotations

from collections.abc import Mapping

from netdash.model.environment import proxy_variables

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
    return {key: _inner(value[key], inner) for key, inner in shape.items() if key in value}


def _inner(value: object, shape: object) -> object:
    if callable(shape):
        return shape(value)
    return value if shape is _ALL or not isinstance(shape, Mapping) else _keep(value, shape)
