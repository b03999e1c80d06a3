"""The words of what plans and running changes have to say: one sentence a kind. Foreign text in them is still to be
cleaned."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netdash.publish.journal import Outage
from netdash.publish.statement import Kind, Statement

_FORCE = " (--force does it all the same)"
_OWN_FORWARDER = "netdash's own forwarder (no docker-proxy is installed)"
_PROCESSES = 3  # that are named; the rest is a number


def text(statement: Statement) -> str:
    words = WORDS[statement.kind]
    values = dict(statement.values)
    if callable(words):
        return words(**values)
    return words.format_map({name: _value(value) for name, value in values.items()})


def refusal(statement: Statement) -> str:
    return text(statement) + (_FORCE if statement.forceable else "")


def _value(value: object) -> str:
    """Statements in their words, host ports as a range, other lists with commas."""
    if isinstance(value, Statement):
        return text(value)
    if isinstance(value, tuple) and value and isinstance(value[0], Statement):
        return "; ".join(map(_value, value))
    if isinstance(value, tuple) and value and isinstance(value[0], int):
        return span(value)
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def span(numbers: tuple[int, ...]) -> str:
    if not numbers:
        return "?"
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def downtime(stop_seconds: int | None) -> str:
    """As it is planned. None: nothing is stopped."""
    if stop_seconds is None:
        return "none"
    return (
        f"from its stop (killed after {stop_seconds} s) until the new one has started: usually seconds; it is measured"
    )


def outage(measured: Outage) -> str:
    return f"{'' if measured.exact else 'at most '}{measured.seconds:.1f} s"


# --- sentences with parts that may be missing -------------------------------------------------------------------------


def _arrow(bind: str, host_ports: tuple[int, ...], container: str, ports: tuple[int, ...], proto: str) -> str:
    return f"{f'{bind} ' if bind else ''}{span(host_ports)} → {container} {span(ports)}/{proto}"


def _forward(**values: str) -> str:
    return f"forward {_arrow(**values)}"  # type: ignore[arg-type]


def _recreate(container: str, **values: str) -> str:
    return f"make {container} anew with {_arrow(container=container, **values)}"  # type: ignore[arg-type]


def _run(container: str, image: str, ports: tuple[str, ...]) -> str:
    return f"run {image} as {container}: {', '.join(ports) or 'no ports'}"


def _forward_port(program: str | None, at: str, proto: str, target: str) -> str:
    return f"{program or _OWN_FORWARDER} at {at}/{proto} → {target}"


def _unpublish(container: str, host_ports: tuple[int, ...], proto: str) -> str:
    return f"netdash unpublish {container} {span(host_ports)}{'' if proto == 'tcp' else f'/{proto}'}"


def _keep_forward(container: str, host_ports: tuple[int, ...], proto: str, seconds: float | None) -> str:
    until = f"for {duration(seconds)}" if seconds else f"until `{_unpublish(container, host_ports, proto)}`"
    return f"a process of netdash's keeps it {until}, and follows {container} when its address changes"


def _connect(ports: tuple[int, ...], answers: bool | None) -> str:
    expected = "it must answer, or all is taken back" if answers else "what comes back is told"
    return f"connect to port {span(ports)} from this host: {expected}"


def _create_equal(ports: tuple[int, ...], drops: bool) -> str:
    return f"create its equal {'without' if drops else 'with'} port {span(ports)}, and connect the same networks"


def _start_and_wait(container: str, health: bool) -> str:
    return f"start {container}; wait until it is {'healthy' if health else 'running steadily'}"


def _create_from_image(container: str, image: str, ports: int) -> str:
    return f"create {container} from {image} with {ports} published port{'s' * (ports != 1)}"


def _undo_in_time(container: str, grace: float) -> str:
    return (
        f"within {duration(grace)}: netdash undo (the old {container} comes back as it was; "
        "what the new one wrote outside its volumes is lost)"
    )


def _engine_error(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message


def _not_running(container: str, state: str) -> str:
    command = "docker unpause" if state == "paused" else "docker start"
    return f"{container} is {state}, not running: {command} {container}"


def _port_held(
    proto: str, at: str, container: str | None, rule: str | None, holder: tuple[str, str, int | None] | None
) -> str:
    parts = [f"container {container}"] if container else []
    if rule:
        parts.append(f"rule {rule}")
    if holder:
        kind, command, pid = holder
        name = command or ("a process that only root sees" if kind == "process" else kind)
        parts.append(f"{name} pid {pid}" if pid else name)
    return f"{proto} {at} is held by {', '.join(parts) or 'a process'}"


def _port_reserved(proto: str, at: str, container: str | None) -> str:
    return f"{proto} {at} is wanted by container {container or '?'}, which is not running"


def _nobody_listens(container: str, proto: str, port: int, others: tuple[str, ...]) -> str:
    have = ", ".join(others) or "nothing"
    return f"nothing listens on {proto} port {port} of {container} now; what listens: {have}"


def _sharers(container: str, processes: tuple[tuple[int, str], ...]) -> str:
    named = ", ".join(f"{name} (pid {pid})" for pid, name in processes[:_PROCESSES])
    more = len(processes) - _PROCESSES
    who = f"{named} and {more} more" if more > 0 else named
    return f"{who} in the network of {container}, but of no container in it: left with nothing but lo"


def _was_down(container: str, measured: Outage | None) -> str:
    if measured is None:
        return f"how long {container} was down is not known: the clock was set back meanwhile"
    return f"{container} was down for {outage(measured)}"


WORDS: Mapping[Kind, str | Callable[..., str]] = {
    Kind.PUBLISH: "publish {container} {ports}/{proto}",
    Kind.FORWARD: _forward,
    Kind.RECREATE: _recreate,
    Kind.RECREATE_WITHOUT: lambda container, host_ports, proto: (
        f"make {container} anew without {span(host_ports)}/{proto}"
    ),
    Kind.RUN: _run,
    # steps of plans
    Kind.FORWARD_PORT: _forward_port,
    Kind.KEEP_FORWARD: _keep_forward,
    Kind.CONNECT: _connect,
    Kind.HOLD_RESTART: "hold the restart policy of {container} ({policy}) meanwhile",
    Kind.STOP_FOLLOWERS: "stop {followers}: what uses the network namespace of {container} loses it",
    Kind.STOP: "stop {container}",
    Kind.COMMIT: "keep what it wrote outside its volumes: commit it to an image (skipped where it wrote nothing)",
    Kind.CREATE_EQUAL: _create_equal,
    Kind.RENAME_BOTH: "rename the old one to {container}.netdash-TIME, and the new one to {container}",
    Kind.START_AND_WAIT: _start_and_wait,
    Kind.RECREATE_FOLLOWERS: (
        "make {followers} anew in the network namespace of the new {container}, and start what ran"
    ),
    Kind.REMOVE_OLD: lambda grace: f"remove the old one after {duration(grace)}" if grace else "remove the old one",
    Kind.PULL: "pull {image}",
    Kind.CREATE_FROM_IMAGE: _create_from_image,
    Kind.START_WELL: "start {container}; wait until it is well",
    # steps of running changes
    Kind.STOP_FOLLOWER: "stop {follower}, which uses the network of {container}",
    Kind.RECREATE_FOLLOWER: "make {follower} anew in the network of the new {container}",
    Kind.HOLD: "hold the restart policy of {container}",
    Kind.KEEP_CHANGES: "keep what {container} wrote outside its volumes",
    Kind.CREATE: "create {container}",
    Kind.CONNECT_NETWORK: "connect network {network}",
    Kind.RENAME: "rename {container} to {name}",
    Kind.START: "start {container}",
    Kind.WAIT: "wait until {container} is well",
    Kind.RELEASE: "give {container} its restart policy",
    Kind.TAKE_BACK: "take back: {step}",
    Kind.STEPS: "{steps}",
    Kind.COURSE_STEP: "{text}",
    # beside the steps
    Kind.INTERRUPTED: "interrupted: netdash recover --finish, or --rollback",
    Kind.FAILED_TAKES_BACK: "it failed: everything is taken back",
    Kind.FAILED_PUTS_NEW_BACK: "it failed: the new one is put back",
    Kind.TAKEN_BACK: "it is taken back",
    Kind.NEW_RUNS_AGAIN: "the new one runs again",
    Kind.WAS_DOWN: _was_down,
    Kind.OLD_REMOVED: "{container} is removed: its time is over",
    Kind.OLD_KEPT: "{container} is kept: {reason}",
    Kind.CHANGE_INTERRUPTED: "a change of {container} was interrupted: netdash recover --finish, or --rollback",
    Kind.FORWARD_OVER: "the forward of {container} port {ports} is over: its time has ended",
    Kind.FORWARD_REOPENED: "the forward of {container} port {ports} was lost, and is open again",
    Kind.FORWARD_DROPPED: "the forward of {container} port {ports} was lost, and is dropped: {reason}",
    # undo
    Kind.UNPUBLISH: lambda **values: f"{_unpublish(**values)}: the process ends, nothing else was changed",
    Kind.UNPUBLISH_RECREATE: lambda container, **_: (
        f"netdash unpublish --mode recreate {container} PORT makes {container} anew without the port"
    ),
    Kind.UNDO_IN_TIME: _undo_in_time,
    Kind.UNDO: "netdash undo",
    Kind.UNDO_RUN: "netdash undo, for ten minutes: the container goes, with its volumes; the image stays",
    Kind.PUBLISH_AGAIN: "netdash publish --mode recreate {container} HOST:PORT",
    # lost
    Kind.LOST_FILES: "{files} files and folders that it wrote outside its volumes",
    Kind.LOST_MEMORY: "what its processes hold in memory",
    Kind.LOST_TMPFS: "what is in its tmpfs {paths}",
    Kind.LOST_LOG: "its log, with the old container",
    Kind.LOST_ID: "its id {id}, where others hold it",
    # clients
    Kind.CLIENT_GATEWAY: lambda container, gateway: f"{container} sees every client as {gateway or 'this host'}",
    Kind.CLIENT_OWN: "{container} sees the address of each client; those on this host as the bridge's gateway",
    Kind.REACHED_AT: "at {address}",
    Kind.REACHED_FROM_OUTSIDE_AT: "at {address}, as far as this host decides",
    Kind.REACHED_IF_LISTENS: "at {address}, if the image listens on {port}",
    Kind.LOOPBACK_ONLY: "bound to loopback",
    Kind.NOT_MODELLED: "{why}",
    Kind.OWN_ADDRESS_UNKNOWN: "this host's address towards its network is not known",
    Kind.DEPENDS_ON_RULES: "hangs on {rules}",
    Kind.NOT_REACHED: "{verdict}: {why}",
    Kind.ROUTED_AWAY: "the routes lead elsewhere",
    Kind.NOT_READ: "it cannot be told from what was read",
    Kind.DECIDED_BY_RULE: "{rule}: {text}",
    Kind.DECIDED: "{text}",
    # refusals
    Kind.CONTAINER_GONE: "the container is gone",
    Kind.ENGINE_ERROR: _engine_error,
    Kind.ENGINE_ON_ANOTHER_MACHINE: "the engine is not on this machine: {reason} (change it where it runs)",
    Kind.HOST_NETWORK: "{container} uses the host's network: what it listens on is the host's already",
    Kind.NO_NETWORK_MODE: "{container} has no network (network mode none)",
    Kind.SHARES_NETWORK: "{container} uses the network of {other}: publish on that one",
    Kind.LEFT_BEHIND: "{text}",
    Kind.NOT_RUNNING: _not_running,
    Kind.NETWORKS_UNREAD: "the engine's networks could not be read",
    Kind.NETWORK_UNKNOWN: "network {network} is not known",
    Kind.NETWORK_INTERNAL: "network {network} is internal: nothing is published from it",
    Kind.NETWORK_WITHOUT_BRIDGE: "network {network} is {driver}: this host has no bridge to it",
    Kind.NO_ADDRESS: "the container has no address on network {network}",
    Kind.BRIDGE_NOT_HERE: "the bridge {bridge} is not here: the engine is in another network namespace",
    Kind.NO_NETWORK: "{container} is on no network",
    Kind.NO_ENDPOINT: "{reasons}",
    Kind.NO_PORT_TO_CHOOSE: "no host port can be chosen: the host's sockets are not known; name it",
    Kind.PRIVILEGED_PORT: (
        "{proto} port {port} needs root, or CAP_NET_BIND_SERVICE: ports below {lowest} are privileged"
    ),
    Kind.PORT_HELD: _port_held,
    Kind.PORT_RESERVED: _port_reserved,
    Kind.PORT_OF_FORWARD: lambda proto, at, container: (
        f"{proto} {at} is wanted by netdash's forward to {container or '?'}, which waits"
    ),
    Kind.PORT_TRANSLATED: "what comes in for {proto} port {port} is taken by rule {rule}: {text}",
    Kind.NOT_OWN_ADDRESS: "{address} is not an address of this host",
    Kind.ENGINE_NAMESPACE: (
        "the engine is in another network namespace: a forward from here does not reach its containers"
    ),
    Kind.NOT_PUBLISHED: "{container} does not publish port {ports}/{proto}",
    Kind.PORT_TWICE: "{proto} port {port} is asked for twice",
    Kind.BAD_NAME: lambda name: f"{name!r} is not a name that Docker takes",
    Kind.NAME_EXISTS: "there is a container {name} already",
    Kind.SETTINGS_UNREAD: "the container's settings could not be read",
    Kind.SWARM_TASK: (
        "{container} is a task of the swarm service {service}, which would replace it: "
        "docker service update --publish-add … {service}"
    ),
    Kind.AUTO_REMOVE: "{container} was started with --rm: to stop it is to lose it; forward mode does not touch it",
    Kind.CHANGES_UNREAD: "what the container wrote outside its volumes could not be counted",
    Kind.VOLUMES_GONE: (
        "it takes volumes from {container}, which does not exist any more: nothing like it can be created"
    ),
    Kind.USES_NAMESPACE: "{user} uses the {namespace} of {container}, and would have to be made anew too",
    Kind.LINKED: "{user} is linked to {container} (--link): its link would lead to the old one",
    Kind.USES_VOLUMES: "{user} takes its volumes from {container}: it keeps them, but names a container that goes",
    # warnings
    Kind.LISTENERS_UNREAD: "whether anything listens on {proto} port {port} of {container} could not be read",
    Kind.LISTENS_AT_DEVICE: (
        "{container} listens on {proto} port {port} only at device {device}: whether packets come in there is not known"
    ),
    Kind.LISTENS_ELSEWHERE: "{container} listens on {proto} port {port} only at {addresses}: not reached",
    Kind.NOBODY_LISTENS: _nobody_listens,
    Kind.PORT_FORCED: "{port}: it cannot start again",
    Kind.FORWARD_FORCED: "{port}: it cannot open again",
    Kind.BEFORE_FIREWALL: (
        "bound to every address: Docker's rules come before ufw and firewalld zones, which do not filter it"
    ),
    Kind.HOST_SOCKETS_UNREAD: "whether the host's port is free could not be read: the attempt will tell",
    Kind.HOST_RULES_UNREAD: "whether a rule takes the host's port is not known: the rules could not be read",
    Kind.HOST_RULES_UNSURE: "whether a rule takes the host's port is not known: {rules} may take it",
    Kind.CHANGES_LOST: (
        "{files} files and folders changed outside its volumes are lost when the old container is removed"
    ),
    Kind.CHANGES_KEPT: (
        "{files} files and folders changed outside its volumes are kept: "
        "they become an image, which the new container starts from"
    ),
    Kind.SHARERS_UNREAD: "which other processes use the network namespace of {container} could not be read",
    Kind.SHARERS: _sharers,
    Kind.ANONYMOUS_VOLUME: "anonymous volume {volume} stays at {path}, from now on by its name",
    Kind.FORWARDS_STAY: (
        "netdash's forward of port {ports} stays with the old container: it waits, and ends when that is removed"
    ),
    Kind.IMAGE_MOVED: "its image's name means another image by now: it is made from the old one, by id",
    Kind.RANDOM_PORTS: "host ports that the engine chose at random are chosen anew",
    Kind.ADDRESSES_CHANGE: "addresses that the engine chose may change",
    Kind.COMPOSE_PROJECT: (
        "compose project {project} does not know of it: the next `docker compose up` that makes {service} anew "
        "undoes it; write the port into the compose file"
    ),
}
