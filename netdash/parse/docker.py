"""The engine's API answers -> engine, containers, networks: the shapes of Docker 1.12 to 29 and of Podman."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from netdash.model.addresses import address, interface, subnet
from netdash.model.host import IP, Binding, Container, Endpoint, Engine, Net, Network
from netdash.model.numbers import decimal, port_and_protocol
from netdash.model.records import replace
from netdash.parse.json_values import Json, integer, items, mapping, text


def parse_engine(version: object, info: object) -> Engine | None:
    """From /version and /info; None when neither was read."""
    about, facts = mapping(version), mapping(info)
    number = text(about.get("Version")) or text(facts.get("ServerVersion"))
    if number is None:
        return None
    components = (mapping(part).get("Name") for part in items(about.get("Components")))
    podman = any("podman" in name.lower() for name in components if isinstance(name, str))
    security = [option for option in items(facts.get("SecurityOptions")) if isinstance(option, str)]
    firewall = mapping(facts.get("FirewallBackend"))
    return Engine(
        name="podman" if podman else "docker",
        version=number,
        rootless=any("rootless" in option for option in security),
        userland_proxy=_info_option(firewall.get("Info"), "EnableUserlandProxy"),
        firewall=text(firewall.get("Driver")),
        live_restore=_switch(facts, "LiveRestoreEnabled"),
        pools=_address_pools(facts),
    )


def _switch(facts: Json, name: str) -> bool | None:
    value = facts.get(name)
    return value if isinstance(value, bool) else None


def _address_pools(facts: Json) -> tuple[tuple[Net, int], ...] | None:
    if not facts.get("ServerVersion"):
        return None
    pools = (mapping(pool) for pool in items(facts.get("DefaultAddressPools")))
    pairs = ((subnet(text(pool.get("Base")) or ""), integer(pool.get("Size"))) for pool in pools)
    found = tuple((base, size) for base, size in pairs if base and size is not None)
    return found if len(found) == len(items(facts.get("DefaultAddressPools"))) else None


def _info_option(pairs: object, name: str) -> bool | None:
    """One switch among [["EnableUserlandProxy", "true"], …]; None where it is not told."""
    found = [pair[1] for pair in items(pairs) if isinstance(pair, list) and len(pair) == 2 and pair[0] == name]
    return {"true": True, "false": False}.get(found[0]) if found and isinstance(found[0], str) else None


# --- containers -------------------------------------------------------------------------------------------------------


def parse_inspected(raw: Json) -> Container | None:
    """One /containers/ID/json; None when it has no identity."""
    identity = text(raw.get("Id"))
    if identity is None:
        return None
    state, config, host = mapping(raw.get("State")), mapping(raw.get("Config")), mapping(raw.get("HostConfig"))
    settings = mapping(raw.get("NetworkSettings"))
    name = (text(raw.get("Name")) or identity[:12]).removeprefix("/")
    labels = mapping(config.get("Labels"))
    exit_code = integer(state.get("ExitCode"))
    word = _state(state)
    container_links = _links(host.get("Links"))
    endpoints = _endpoints(mapping(settings.get("Networks")), name, identity, container_links)
    return Container(
        id=identity,
        name=name,
        image=text(config.get("Image")) or text(raw.get("Image")) or "",
        state=word,
        health=text(mapping(state.get("Health")).get("Status")),
        exit_code=exit_code if word in ("exited", "dead", "restarting") else None,
        started_at=moment(state.get("StartedAt")),
        finished_at=moment(state.get("FinishedAt")),
        pid=integer(state.get("Pid")) or None,
        network_mode=text(host.get("NetworkMode")) or "default",
        shares_with=None,
        endpoints=endpoints,
        bindings=_port_map(settings.get("Ports")),
        configured=_port_map(host.get("PortBindings"), chosen_later=True),
        exposed=_exposed(config.get("ExposedPorts"), settings.get("Ports")),
        compose=_project(labels),
        service=text(labels.get("com.docker.compose.service")),
        listeners=None,
        error=text(state.get("Error")) or "",
        restarts=integer(raw.get("RestartCount")),
        extra_hosts=_extra_hosts(host.get("ExtraHosts")),
        proxy_variables=_proxy_variables(config.get("Env")),
    )


def _extra_hosts(value: object) -> tuple[tuple[str, str], ...]:
    """NAME:ADDRESS, of newer engines also NAME=ADDRESS."""
    pairs = (re.split("[:=]", item, maxsplit=1) for item in items(value) if isinstance(item, str))
    return tuple((pair[0], pair[1].strip("[]")) for pair in pairs if len(pair) == 2)


def _proxy_variables(value: object) -> tuple[str, ...] | None:
    """The names only: a value may hold a password."""
    if not isinstance(value, list):
        return None
    return tuple(proxy_variables(value))


_END_OF_TIME = 1 << 63  # seconds: more than Docker can write


def created(raw: Json) -> float | None:
    """When a container of a list or of an inspect was made, in seconds since the epoch."""
    value = raw.get("Created")
    return float(value) if isinstance(value, int) and abs(value) < _END_OF_TIME else moment(value)


def parse_listed(raw: Json) -> Container | None:
    """One entry of /containers/json: everything but pid, times, configured ports and names on the network."""
    identity = text(raw.get("Id"))
    if identity is None:
        return None
    names = [name for name in items(raw.get("Names")) if isinstance(name, str)]
    # A linked container is listed as "/web/alias" too: its own name is the one with a single slash.
    name = next((name for name in names if name.count("/") == 1), names[0] if names else identity[:12]).lstrip("/")
    labels = mapping(raw.get("Labels"))
    bindings = [_listed_binding(mapping(port)) for port in items(raw.get("Ports"))]
    return Container(
        id=identity,
        name=name,
        image=text(raw.get("Image")) or "",
        state=text(raw.get("State")) or "unknown",
        health=None,
        exit_code=None,
        started_at=None,
        finished_at=None,
        pid=None,
        network_mode=text(mapping(raw.get("HostConfig")).get("NetworkMode")) or "default",
        shares_with=None,
        endpoints=_endpoints(mapping(mapping(raw.get("NetworkSettings")).get("Networks")), name, identity, ()),
        bindings=tuple(sorted((binding for binding in bindings if binding), key=_binding_order)),
        configured=(),
        exposed=(),
        compose=_project(labels),
        service=text(labels.get("com.docker.compose.service")),
        listeners=None,
    )


def resolve_shared(containers: Iterable[Container]) -> tuple[Container, ...]:
    """Name the container behind each `container:ID` network mode. Podman repeats the addresses and ports of that one in
    each that uses its namespace, a pod's members too; as with Docker they stand with their owner alone."""
    known = tuple(containers)
    modes = {container.network_mode for container in known}
    if not any(mode.startswith("container:") for mode in modes):
        return known
    names = {container.id: container.name for container in known}
    return tuple(
        _shared(container, names) if container.network_mode.startswith("container:") else container
        for container in known
    )


def _shared(container: Container, names: Mapping[str, str]) -> Container:
    owner = _owner(container.network_mode.removeprefix("container:"), names)
    if owner not in names.values():
        return replace(container, shares_with=owner)
    return replace(container, shares_with=owner, endpoints=(), bindings=(), configured=())


def _owner(reference: str, names: Mapping[str, str]) -> str:
    """Podman and old engines write a name or a short id where Docker writes the full id."""
    if reference in names:
        return names[reference]
    return next((name for identity, name in names.items() if reference and identity.startswith(reference)), reference)


def _state(state: Json) -> str:
    word = text(state.get("Status"))
    if word:
        return word
    for key, name in (("Paused", "paused"), ("Restarting", "restarting"), ("Running", "running"), ("Dead", "dead")):
        if state.get(key) is True:
            return name
    return "exited" if moment(state.get("FinishedAt")) else "created"


def _project(labels: Json) -> str | None:
    return text(labels.get("com.docker.compose.project")) or text(labels.get("io.podman.compose.project"))


def moment(value: object) -> float | None:
    """Seconds since the epoch of Docker's RFC 3339 time; None for its zero time, year 1."""
    if not isinstance(value, str) or value.startswith("0001-"):
        return None
    from datetime import UTC, datetime  # the list of containers has none

    head, _, tail = value.partition(".")
    digits = tail.rstrip("Z")[:6] if tail.endswith("Z") else ""
    try:
        stamp = datetime.fromisoformat(head.rstrip("Z") if digits or value.endswith("Z") else value)
    except ValueError:
        return None
    seconds = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()
    return seconds + (decimal(digits) or 0) / 10.0 ** len(digits)


# --- endpoints --------------------------------------------------------------------------------------------------------


def _endpoints(networks: Json, name: str, identity: str, links: tuple[tuple[str, str], ...]) -> tuple[Endpoint, ...]:
    return tuple(_endpoint(network, mapping(raw), name, identity, links) for network, raw in networks.items())


def _endpoint(network: str, raw: Json, name: str, identity: str, links: tuple[tuple[str, str], ...]) -> Endpoint:
    pairs = (
        (text(raw.get("IPAddress")), integer(raw.get("IPPrefixLen"))),
        (text(raw.get("GlobalIPv6Address")), integer(raw.get("GlobalIPv6PrefixLen"))),
    )
    found = (interface(ip, prefix) for ip, prefix in pairs if ip)
    gateways = (address(text(raw.get("Gateway"))), address(text(raw.get("IPv6Gateway"))))
    return Endpoint(
        network=network,
        network_id=text(raw.get("NetworkID")) or "",
        mac=text(raw.get("MacAddress")),
        addresses=tuple(other for other in found if other),
        gateways=tuple(gateway for gateway in gateways if gateway),
        names=_names(raw, name, identity),
        links=_links(raw.get("Links")) or links,
        gateway_priority=integer(raw.get("GwPriority")) or 0,
    )


def _names(raw: Json, name: str, identity: str) -> tuple[str, ...]:
    """DNSNames (engine 26 and later) or the name and the aliases, the id's short form last."""
    told = [alias for key in ("DNSNames", "Aliases") for alias in items(raw.get(key)) if isinstance(alias, str)]
    unique = dict.fromkeys([name, *told])
    return tuple(sorted(unique, key=lambda alias: alias == identity[:12]))


def _links(value: object) -> tuple[tuple[str, str], ...]:
    """--link as the API writes it: "db:alias" on an endpoint, "/db:/web/alias" on the default bridge."""
    pairs = (link.split(":", 1) for link in items(value) if isinstance(link, str) and ":" in link)
    return tuple((target.lstrip("/"), alias.rsplit("/", 1)[-1]) for target, alias in pairs)


# --- ports ------------------------------------------------------------------------------------------------------------


def _port_map(value: object, chosen_later: bool = False) -> tuple[Binding, ...]:
    """{"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}] | null}; with `chosen_later` a port may be a range, and
    none is any."""
    found = []
    for name, bindings in mapping(value).items():
        port = port_and_protocol(name)
        if port is None:
            continue
        for raw in items(bindings):
            binding = mapping(raw)
            number, choice = _host_port(text(binding.get("HostPort")) or "")
            found.append(
                Binding(
                    proto=port[1],
                    container_port=port[0],
                    host_ip=address(text(binding.get("HostIp"))),
                    host_port=number,
                    choice=choice if chosen_later else None,
                )
            )
    return tuple(sorted(found, key=_binding_order))


def _host_port(value: str) -> tuple[int | None, tuple[int, int] | None]:
    """HostPort as nat.ParsePortSpec takes it: "8080", "8000-8010" for one of these, "" or "0" for any free one."""
    low, dash, high = value.partition("-")
    if value in ("", "0"):
        return None, (0, 0)
    if not _is_port(low) or (dash and not _is_port(high)):
        return None, None
    first, last = int(low), int(high or low)
    return (None, (first, last)) if first < last else (first or None, None)


def _listed_binding(raw: Json) -> Binding | None:
    public, private = integer(raw.get("PublicPort")), integer(raw.get("PrivatePort"))
    if not public or private is None:
        return None
    return Binding(text(raw.get("Type")) or "tcp", private, address(text(raw.get("IP"))), public)


def _binding_order(binding: Binding) -> tuple[object, ...]:
    host_ip = binding.host_ip
    return (
        binding.proto,
        binding.container_port,
        binding.host_port or 0,
        host_ip.version if host_ip else 0,
        str(host_ip),
    )


def _exposed(*values: object) -> tuple[tuple[int, str], ...]:
    ports = {port for value in values for name in mapping(value) if (port := port_and_protocol(name))}
    return tuple(sorted(ports))


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and int(value) < 65536 if len(value) < 6 else False


# --- networks ---------------------------------------------------------------------------------------------------------

_BRIDGE = "com.docker.network.bridge."


def parse_network(raw: Json) -> Network | None:
    """One /networks/ID. The bridge's name is Docker's option, else br- and the id's first 12 digits; Podman does not
    say it (the join finds the device that has the gateway's address)."""
    identity, name = text(raw.get("Id")), text(raw.get("Name"))
    if identity is None or name is None:
        return None
    driver, options = text(raw.get("Driver")) or "", mapping(raw.get("Options"))
    pools = [mapping(pool) for pool in items(mapping(raw.get("IPAM")).get("Config"))]
    subnets = (subnet(value) for pool in pools if (value := text(pool.get("Subnet"))))
    gateways = (address(value.split("/")[0]) for pool in pools if (value := text(pool.get("Gateway"))))
    bridge = text(options.get(_BRIDGE + "name"))
    return Network(
        id=identity,
        name=name,
        driver=driver,
        scope=text(raw.get("Scope")) or "local",
        bridge=bridge or (f"br-{identity[:12]}" if driver == "bridge" else None),
        subnets=tuple(sorted((net for net in subnets if net), key=lambda net: net.version)),
        gateways=tuple(sorted((gateway for gateway in gateways if gateway), key=lambda gateway: gateway.version)),
        internal=raw.get("Internal") is True,
        ipv6=raw.get("EnableIPv6") is True,
        icc=text(options.get(_BRIDGE + "enable_icc")) != "false",
        masquerade=text(options.get(_BRIDGE + "enable_ip_masquerade")) != "false",
        host_binding=address(text(options.get(_BRIDGE + "host_binding_ipv4"))),
        snat_to=address(text(options.get("com.docker.network.host_ipv4"))),
        gateway_modes=(
            text(options.get(_BRIDGE + "gateway_mode_ipv4")) or "nat",
            text(options.get(_BRIDGE + "gateway_mode_ipv6")) or "nat",
        ),
        parent=text(options.get("parent")),
        compose=text(mapping(raw.get("Labels")).get("com.docker.compose.project")),
        mode=_mode(options),
        ranges=tuple(one for pool in pools if (value := text(pool.get("IPRange"))) and (one := subnet(value))),
        reserved=tuple(ip for pool in pools for ip in _auxiliary(pool)),
        mtu=decimal(text(options.get("com.docker.network.driver.mtu")) or "", 6),
    )


def _auxiliary(pool: Json) -> Iterator[IP]:
    """The API's AuxiliaryAddresses: name -> address."""
    for value in mapping(pool.get("AuxiliaryAddresses")).values():
        if ip := address(text(value)):
            yield ip


def _mode(options: Mapping[str, object]) -> str:
    """Of macvlan and ipvlan; ipvlan's l2 has flags that part its containers as macvlan's modes do."""
    mode = text(options.get("macvlan_mode")) or text(options.get("ipvlan_mode")) or ""
    return (text(options.get("ipvlan_flag")) or mode) if mode in ("", "l2") else mode


_PROXIES = frozenset(("http_proxy", "https_proxy", "ftp_proxy", "all_proxy"))


def proxy_variables(environment: Iterable[object]) -> Iterator[str]:
    """The names of those that send a program's requests to a proxy; `NAME=VALUE` or `NAME` each."""
    for value in environment:
        name = value.partition("=")[0] if isinstance(value, str) else ""
        if name.lower() in _PROXIES:
            yield name
