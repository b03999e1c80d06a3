"""What an engine answered, item by item: each has its answer, or its own failure. Decides nothing about when to ask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from netdash.bundle.recording import scrub
from netdash.engine.client import EngineClient
from netdash.engine.errors import EngineError, EngineLate, Refused, joint
from netdash.kernel.devices import GWBRIDGE
from netdash.model.host import Failure

Answers = Mapping[str, object]
_CONTAINERS = "docker/containers.json"
_INSPECT = "docker/inspect.json"
_PARTS = {"networks": "docker/networks.json", "version": "docker/version.json", "info": "docker/info.json"}
_NAMED = 3  # containers that a failure names
_HEALTH = re.compile(r"\([^()]*\)$|Paused")  # of a Status: the rest is an age, "Up 3 minutes"


class EngineAnswers:
    """The same answer stays the very same object: parsers go by identity. For one thread."""

    def __init__(self, known: Answers) -> None:
        self._answers: dict[str, object] = dict(known)
        self._inspected: dict[str, object] = {}
        self._failed: dict[str, EngineError] = {}  # by the name of a part
        self._unread: dict[str, EngineError] = {}  # by the id of a container

    def snapshot(self) -> Answers:
        """Every docker/*.json that is known."""
        inspected = list(self._inspected.values())
        if not _same(self._answers.get(_INSPECT), inspected):
            self._answers[_INSPECT] = inspected
        return dict(self._answers)

    def failures(self) -> Mapping[str, Failure]:
        """Why parts of it are missing, or are no longer current. What one proxy refuses is told as one."""
        found: dict[str, Failure] = {}
        source = {"networks": "networks"}
        for group in joint(self._failed):
            name = source.get(group.first, "engine")
            found[name] = Failure(name, group.reason, group.remedy)
        if self._unread:
            reason, remedy = next((error.message, error.hint) for error in self._unread.values())
            found["containers"] = Failure("containers", f"{self._named()} could not be inspected: {reason}", remedy)
        return found

    def ids(self) -> list[str]:
        """Of all listed containers."""
        return [identity for entry in self._listed() if (identity := _identity(entry))]

    @property
    def unread(self) -> list[str]:
        """Ids of the containers whose inspect failed."""
        return list(self._unread)

    # --- asking -------------------------------------------------------------------------------------------------------

    def list_containers(self, client: EngineClient) -> list[str]:
        """Asks for the one list of all containers; the ids of those that it tells something new of. Raises
        EngineError."""
        answer = scrub(_CONTAINERS, client.get("/containers/json", all=1))
        if not isinstance(answer, list):
            raise EngineError(f"what answers on {client.address} is not a container engine")
        before = {_identity(entry): entry for entry in self._listed()}
        merged = [old if _alike(old := before.get(_identity(entry)), entry) else entry for entry in answer]
        if not _same(self._answers.get(_CONTAINERS), merged):
            self._answers[_CONTAINERS] = merged
        known = set(self.ids())
        for book in (self._inspected, self._unread):
            for identity in book.keys() - known:
                del book[identity]
        old = {id(entry) for entry in before.values()}
        changed = (entry for entry in merged if id(entry) not in old)
        return [identity for entry in changed if (identity := _identity(entry))]

    def ask_parts(self, client: EngineClient, names: Iterable[str] = _PARTS) -> None:
        """Networks, version, info. One that is refused, or late, is missing alone. Raises EngineError for what concerns
        the whole engine."""
        for name in names:
            path = _PARTS[name]
            try:
                answer = _networks(client) if name == "networks" else scrub(path, client.get(f"/{name}"))
            except (Refused, EngineLate) as error:
                self._failed[name] = error
                self._answers.pop(path, None)
                if isinstance(error, EngineLate):
                    client.ping()
                continue
            if not isinstance(answer, list if name == "networks" else dict):
                self._failed[name] = EngineError(f"/{name}: the answer of {client.address} is not a container engine's")
                self._answers.pop(path, None)
                continue
            self._failed.pop(name, None)
            if path not in self._answers or self._answers[path] != answer:
                self._answers[path] = answer

    def inspect(self, client: EngineClient, identity: str) -> EngineError | None:
        """Asks for the details of one container; what went wrong with it alone. Raises EngineError for what concerns
        the whole engine."""
        try:
            answer = scrub(_INSPECT, client.get(f"/containers/{identity}/json"))
        except Refused as error:
            if error.status == 404:
                self.forget(identity)
                return None
            self._unread[identity] = error
            return error
        except EngineLate:
            late = EngineLate(f"no answer within {client.limit:g} s", "--timeout SECONDS waits longer")
            self._unread[identity] = late
            client.ping()
            return late
        if not isinstance(answer, dict) or answer.get("Id") != identity:
            other = EngineError(f"{client.address} answered with something else")
            self._inspected.pop(identity, None)
            self._unread[identity] = other
            return other
        self._unread.pop(identity, None)
        if answer != self._inspected.get(identity):
            self._inspected[identity] = answer
        return None

    def put_off(self, identities: Iterable[str], why: EngineError) -> None:
        """Containers that are not asked for now."""
        self._unread |= {identity: why for identity in identities if identity not in self._inspected}

    def forget(self, identity: str) -> None:
        """A container that is gone."""
        self._inspected.pop(identity, None)
        self._unread.pop(identity, None)
        rest = [entry for entry in self._listed() if _identity(entry) != identity]
        if len(rest) != len(self._listed()):
            self._answers[_CONTAINERS] = rest

    # --- what is known ------------------------------------------------------------------------------------------------

    def _listed(self) -> list[Any]:
        listed = self._answers.get(_CONTAINERS)
        return listed if isinstance(listed, list) else []

    def _named(self) -> str:
        names = {_identity(entry): _name(entry) for entry in self._listed()}
        shown = [names.get(identity, identity[:12]) for identity in list(self._unread)[:_NAMED]]
        more = len(self._unread) - len(shown)
        return f"{', '.join(shown)} and {more} more containers" if more else ", ".join(shown)


def _networks(client: EngineClient) -> object:
    """The list of networks. Only the detail of the bridge by which containers of overlay networks go out and publish
    their ports tells their addresses there."""
    found = scrub("docker/networks.json", client.get("/networks"))
    if not isinstance(found, list) or not any(_is_gateways(network) for network in found):
        return found
    try:
        detail = scrub("docker/networks.json", client.get(f"/networks/{GWBRIDGE}"))
    except Refused:
        return found
    return [detail if _is_gateways(network) and isinstance(detail, dict) else network for network in found]


def _is_gateways(network: object) -> bool:
    return isinstance(network, dict) and network.get("Name") == GWBRIDGE


def _identity(entry: object) -> str:
    identity = entry.get("Id") if isinstance(entry, dict) else None
    return identity if isinstance(identity, str) and identity.isalnum() else ""


def _name(entry: Mapping[str, object]) -> str:
    names = entry.get("Names")
    return str(names[0]).lstrip("/") if isinstance(names, list) and names else str(entry.get("Id"))[:12]


def _alike(old: object, new: object) -> bool:
    """Whether two entries of the list tell the same but for the age of the container."""
    if not isinstance(old, dict) or not isinstance(new, dict) or old.keys() != new.keys():
        return False
    same = all(old[key] == value for key, value in new.items() if key != "Status")
    return same and _health(old.get("Status")) == _health(new.get("Status"))


def _health(status: object) -> str:
    found = _HEALTH.search(status) if isinstance(status, str) else None
    return found[0] if found else ""


def _same(before: object, now: list[object]) -> bool:
    """Whether both hold the very same objects."""
    return isinstance(before, list) and [id(entry) for entry in before] == [id(entry) for entry in now]
