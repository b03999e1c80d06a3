"""An engine in memory, as far as a change asks one: containers, names, ports, restart policies; and its death."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from netdash.engine.errors import EngineGone, Refused
from netdash.model.errors import Exit

Json = dict[str, Any]
IMAGE = "sha256:" + "1" * 64


class FakeEngine:
    """Stands for an EngineClient. `changed`: what each container wrote outside its volumes."""

    api = (1, 41)
    address = "unix:///fake"

    def __init__(self) -> None:
        self.containers: dict[str, Json] = {}
        self.images: dict[str, Json] = {"busybox": {"Id": IMAGE, "Config": {}}, IMAGE: {"Id": IMAGE, "Config": {}}}
        self.networks = {"bridge", "net"}
        self.volumes = {"data"}
        self.alive = True
        self._numbers = itertools.count(1)

    # --- as the client is asked ---------------------------------------------------------------------------------------

    def get(self, path: str, **_: str | int) -> Any:
        self._alive()
        match path.strip("/").split("/"):
            case ["containers", "json"]:
                return [self._listed(one) for one in self.containers.values()]
            case ["containers", name, "json"]:
                return self.inspect(name)
            case ["containers", name, "changes"]:
                self.inspect(name)
                return [{"Path": "/etc/f", "Kind": 1}]
            case ["images", *name, "json"] if "/".join(name) in self.images:
                return self.images["/".join(name)]
            case ["networks"]:
                return [{"Name": name} for name in self.networks]
            case ["volumes", name] if name in self.volumes:
                return {"Name": name}
        raise self.refused(404, path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: str) -> Any:
        return self.call("POST", path, body, params)

    def delete(self, path: str, **params: str) -> Any:
        self._alive()
        kind, _, name = path.strip("/").partition("/")
        if kind == "images":
            if self.images.pop(name, None) is None:
                raise self.refused(404, path)
            return None
        found = self.inspect(name)
        if found["State"]["Running"] and params.get("force") != "1":
            raise self.refused(409, "it runs")
        del self.containers[found["Id"]]
        return None

    def call(
        self,
        _: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        limit: float | None = None,
    ) -> Any:
        self._alive()
        told, given = dict(body or {}), dict(params or {})
        match path.strip("/").split("/"):
            case ["containers", "create"]:
                return self.create(given["name"], told)
            case ["commit"]:
                self.images[f"{given['repo']}:{given['tag']}"] = {
                    "Id": f"sha256:{next(self._numbers):064}",
                    "Config": {},
                }
            case ["networks", network, "connect"]:
                ends = self.inspect(told["Container"])["NetworkSettings"]["Networks"]
                ends[network] = self._end()
            case ["containers", name, action]:
                self._act(self.inspect(name), action, told, given)
            case _:
                raise AssertionError(path)
        return None

    def _act(self, one: Json, action: str, body: Json, params: Json) -> None:
        match action:
            case "start":
                self._start(one)
            case "stop":
                one["State"].update(Running=False, Status="exited", ExitCode=137)
            case "rename":
                self._free(params["name"])
                one["Name"] = f"/{params['name']}"
            case "update":
                one["HostConfig"]["RestartPolicy"] = body["RestartPolicy"]
            case _:
                raise AssertionError(action)

    # --- what it is ---------------------------------------------------------------------------------------------------

    def create(self, name: str, body: Json) -> Json:
        self._free(name)
        image = body["Image"]
        if image not in self.images:
            raise self.refused(404, f"no such image: {image}")
        identity = f"{next(self._numbers):064x}"
        host = {"NetworkMode": "bridge", **body.get("HostConfig", {})}
        mounts = [{"Type": "volume", "Name": "data", "Destination": "/data", "Mode": "", "RW": True}]
        self.containers[identity] = {
            "Id": identity,
            "Name": f"/{name}",
            "Image": self.images[image]["Id"],
            "Config": {key: value for key, value in body.items() if key not in ("HostConfig", "NetworkingConfig")},
            "HostConfig": host,
            "Mounts": mounts,
            "State": {"Status": "created", "Running": False, "ExitCode": 0, "Pid": 0},
            "NetworkSettings": {"Networks": {host["NetworkMode"]: self._end()}},
        }
        return {"Id": identity}

    def inspect(self, name: str) -> Json:
        for one in self.containers.values():
            if one["Id"].startswith(name) or one["Name"] == f"/{name}":
                return one
        raise self.refused(404, f"no such container: {name}")

    def die(self) -> None:
        """Its containers die with it."""
        self.alive = False
        for one in self.containers.values():
            if one["State"]["Running"]:
                one["State"].update(Running=False, Status="exited", ExitCode=255, again=True)

    def start_again(self) -> None:
        self.alive = True
        for one in self.containers.values():
            if one["State"].pop("again", False) and one["HostConfig"]["RestartPolicy"]["Name"] == "always":
                self._start(one)

    def _start(self, one: Json) -> None:
        wanted = bound(one)
        for other in self.containers.values():
            if other is not one and other["State"]["Running"] and bound(other) & wanted:
                raise self.refused(500, "port is already allocated")
        one["State"].update(Running=True, Status="running", ExitCode=0)

    def _end(self) -> Json:
        return {"IPAddress": f"172.17.0.{next(self._numbers) % 250 + 2}", "IPAMConfig": None, "Aliases": None}

    def _free(self, name: str) -> None:
        if any(one["Name"] == f"/{name}" for one in self.containers.values()):
            raise self.refused(409, f"the name {name} is in use")

    def _listed(self, one: Json) -> Json:
        ports = [{"Type": "tcp", "PublicPort": port} for port in bound(one)] if one["State"]["Running"] else []
        return {"Id": one["Id"], "Names": [one["Name"]], "State": one["State"]["Status"], "Ports": ports}

    def _alive(self) -> None:
        if not self.alive:
            raise EngineGone("the engine is gone")

    def refused(self, status: int, words: str) -> Refused:
        return Refused(self.address, "/", status, words, False, Exit.REFUSED)


def bound(one: Json) -> set[int]:
    """Host ports of its settings."""
    bindings = (one["HostConfig"].get("PortBindings") or {}).values()
    return {int(binding["HostPort"]) for several in bindings for binding in several}
