"""What a container was created with, read back from its inspect: the body that creates its equal. Pure: JSON -> JSON.

Docker adds to what it was given (ids, gateways, addresses of the moment); that part is left out here, and Docker adds
it anew. The engine takes the container's name from the query, not from this body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address
from typing import Any

from netdash.model.addresses import address
from netdash.model.records import dataclass
from netdash.parse.json_values import integer, items, mapping, text
from netdash.publish.journal import Opened

Json = Mapping[str, Any]
BY_ENDPOINT = (1, 44)
"""The API that takes several networks at creation, and a MAC address for each; before it is the container's own."""
_NO_CONFIG_MAC = (1, 52)  # from here on Config does not tell any more whether somebody chose the first network's


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume that the container has without having named it."""

    name: str
    at: str
    mode: str

    @property
    def bind(self) -> str:
        return f"{self.name}:{self.at}" + (f":{self.mode}" if self.mode else "")


def endpoints(inspect: Json, api: tuple[int, ...]) -> dict[str, Json]:
    """By network: what is asked for there. The engine's own additions stay out: the short id as an alias, and a MAC
    address that nobody chose (before 28 it follows from the IPv4 address, later it is random)."""
    chosen = text(mapping(inspect.get("Config")).get("MacAddress"))
    first = first_network(inspect)
    short = str(inspect.get("Id", ""))[:12]
    found: dict[str, Json] = {}
    for network, raw in mapping(mapping(inspect.get("NetworkSettings")).get("Networks")).items():
        endpoint = mapping(raw)
        wanted: dict[str, Any] = {
            "IPAMConfig": endpoint.get("IPAMConfig"),
            "Links": endpoint.get("Links"),
            "DriverOpts": endpoint.get("DriverOpts"),
            "Aliases": None
            if endpoint.get("Aliases") is None
            else [item for item in items(endpoint["Aliases"]) if item != short],
        }
        if endpoint.get("GwPriority"):
            wanted["GwPriority"] = endpoint["GwPriority"]
        mac = text(endpoint.get("MacAddress"))
        told_apart = network == first and api < _NO_CONFIG_MAC
        asked = mac == chosen if told_apart else mac != _derived(text(endpoint.get("IPAddress")))
        if api >= BY_ENDPOINT and mac and asked:
            wanted["MacAddress"] = mac
        found[network] = {key: value for key, value in wanted.items() if value is not None}
    return found


def _derived(ip: str | None) -> str | None:
    """The MAC address that Docker before 28 makes of an IPv4 address."""
    value = address(ip)
    if not isinstance(value, IPv4Address):
        return None
    return "02:42:" + ":".join(f"{byte:02x}" for byte in value.packed)


def first_network(inspect: Json) -> str:
    """Name of the network that HostConfig.NetworkMode means."""
    mode = text(mapping(inspect.get("HostConfig")).get("NetworkMode")) or "default"
    networks = mapping(mapping(inspect.get("NetworkSettings")).get("Networks"))
    mode = "bridge" if mode == "default" else mode
    if mode in networks:
        return mode
    by_id = (name for name, raw in networks.items() if str(mapping(raw).get("NetworkID", "")).startswith(mode))
    return next(by_id, next(iter(networks), mode))


def anonymous(inspect: Json, borrowed: Iterable[str] = ()) -> tuple[Volume, ...]:
    """Volumes that no bind and no mount names; `borrowed`: destinations that come by --volumes-from."""
    config = mapping(inspect.get("HostConfig"))
    named = {_destination(bind) for bind in items(config.get("Binds")) if isinstance(bind, str)}
    named |= {str(mapping(item).get("Target")) for item in items(config.get("Mounts"))}
    named |= set(borrowed)
    return tuple(volume for volume in _volumes(inspect) if volume.at not in named)


def _volumes(inspect: Json) -> Iterable[Volume]:
    for raw in items(inspect.get("Mounts")):
        mount = mapping(raw)
        name, at = text(mount.get("Name")), text(mount.get("Destination"))
        if mount.get("Type") == "volume" and name and at:
            yield Volume(name, at, text(mount.get("Mode")) or ("" if mount.get("RW") is not False else "ro"))


def _destination(bind: str) -> str:
    words = bind.split(":")
    return words[1] if len(words) > 1 else words[0]


def _mounts(inspect: Json) -> list[Any] | None:
    """HostConfig.Mounts, where a volume without a name gets the one that it was given."""
    raw = mapping(inspect.get("HostConfig")).get("Mounts")
    if not isinstance(raw, list):
        return None
    names = {volume.at: volume.name for volume in _volumes(inspect)}
    return [
        {**value, "Source": names[str(value.get("Target"))]}
        if value.get("Type") == "volume" and not value.get("Source") and str(value.get("Target")) in names
        else value
        for value in map(dict, map(mapping, raw))
    ]


@dataclass(frozen=True, slots=True)
class Differences:
    """What shall differ. `image`: the reference to create it from. `image_config`: that image's Config."""

    image: str
    image_config: Json
    add: tuple[Opened, ...] = ()
    drop: tuple[Opened, ...] = ()
    restart: tuple[str, int] = ("", 0)
    borrowed: tuple[str, ...] = ()


def body(inspect: Json, ends: Mapping[str, Json], wanted: Differences) -> dict[str, Any]:
    """The body of POST /containers/create for a container like this one, on these networks."""
    config = dict(mapping(inspect.get("Config")))
    host = dict(mapping(inspect.get("HostConfig")))
    if config.get("Hostname") == str(inspect.get("Id", ""))[:12]:
        del config["Hostname"]  # nobody chose it: it is the short id
    if not items(config.get("Entrypoint")) and items(wanted.image_config.get("Entrypoint")):
        config["Entrypoint"] = [""]  # how the API says: not the image's
    config["Image"] = wanted.image
    exposed = dict(mapping(config.get("ExposedPorts")))
    exposed.update({f"{opened.container_port}/{opened.proto}": {} for opened in wanted.add})
    if exposed:
        config["ExposedPorts"] = exposed
    host["PortBindings"] = bindings(mapping(host.get("PortBindings")), wanted.add, wanted.drop)
    host["RestartPolicy"] = {"Name": wanted.restart[0], "MaximumRetryCount": wanted.restart[1]}
    host["Links"] = _links(host.get("Links"))
    kept = [volume.bind for volume in anonymous(inspect, wanted.borrowed)]
    if kept:
        host["Binds"] = [*items(host.get("Binds")), *kept]
    mounts = _mounts(inspect)
    if mounts is not None:
        host["Mounts"] = mounts
    return {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": dict(ends)}}


def _links(raw: object) -> list[str] | None:
    """`/db:/web/alias`, as inspect prints a --link, as it is asked for: `db:alias`."""
    if not isinstance(raw, list):
        return None
    pairs = (str(value).partition(":") for value in raw)
    return [f"{target.lstrip('/')}:{alias.rsplit('/', 1)[-1]}" for target, _, alias in pairs]


def bindings(old: Json, add: tuple[Opened, ...], drop: tuple[Opened, ...]) -> dict[str, Any]:
    """HostConfig.PortBindings with some more and some less. A port whose last binding goes is left out."""
    made = {key: list(items(value)) for key, value in old.items()}
    for opened in drop:
        key = f"{opened.container_port}/{opened.proto}"
        made[key] = [binding for binding in made.get(key, []) if not _is(mapping(binding), opened)]
        if not made[key]:
            del made[key]
    for other in add:
        entry = {"HostIp": other.host_ip, "HostPort": str(other.host_port)}
        made.setdefault(f"{other.container_port}/{other.proto}", []).append(entry)
    return made


def _is(binding: Json, port: Opened) -> bool:
    ip = text(binding.get("HostIp")) or ""
    same = ip == port.host_ip or (_every(ip) and _every(port.host_ip))
    return same and binding.get("HostPort") == str(port.host_port)


def _every(host_ip: str) -> bool:
    ip = address(host_ip)
    return not host_ip or (ip is not None and ip.is_unspecified)


def settings(inspect: Json) -> dict[str, Any]:
    """What `body` needs of an inspect, without the environment's values."""
    config = {key: value for key, value in mapping(inspect.get("Config")).items() if key != "Env"}
    found = {key: inspect[key] for key in ("Id", "Name", "Image", "HostConfig", "Mounts") if key in inspect}
    return {**found, "Config": config}


def restart_policy(inspect: Json) -> tuple[str, int]:
    raw = mapping(mapping(inspect.get("HostConfig")).get("RestartPolicy"))
    return text(raw.get("Name")) or "", integer(raw.get("MaximumRetryCount")) or 0
