"""Single changes of containers. Each may be done again: it looks at what the engine has, and does what is missing."""

from __future__ import annotations

import re
from typing import Any

from netdash.apply import preflight
from netdash.apply.undo_check import inspect as look
from netdash.engine.client import EngineClient
from netdash.engine.errors import Refused
from netdash.parse.json_values import integer, mapping

Json = dict[str, Any]


def name_of(inspect: Json | None) -> str:
    return str(inspect.get("Name", "")).lstrip("/") if inspect else ""


def set_restart(engine: EngineClient, identity: str, policy: tuple[str, int]) -> str:
    wanted = {"Name": policy[0], "MaximumRetryCount": policy[1]}
    engine.post(f"/containers/{identity}/update", {"RestartPolicy": wanted})
    return ""


def stop(engine: EngineClient, identity: str) -> None:
    inspect = look(engine, identity)
    if inspect is not None:
        patience = integer(mapping(inspect.get("Config")).get("StopTimeout"))
        engine.call("POST", f"/containers/{identity}/stop", limit=60.0 + (10 if patience is None else patience))


def rename(engine: EngineClient, identity: str, name: str) -> str:
    if name_of(look(engine, identity)) != name:
        engine.post(f"/containers/{identity}/rename", name=name)
    return ""


def remove(engine: EngineClient, path: str, **params: str) -> str:
    try:
        engine.delete(path, **params)
    except Refused as error:
        if error.status != 404:
            raise
    return ""


def kept_image(name: str, when: str) -> str:
    """The reference of an image that keeps a container's changes: a repository is lower case."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "container"
    return f"netdash-cli/kept/{word}:{when}"


def commit(engine: EngineClient, inspect: Json, image: str) -> str:
    """The image with what the stopped container wrote; "" where it wrote nothing, and its own image is here."""
    if preflight.changes(engine, inspect) == 0 and preflight.has_image(engine, str(inspect.get("Image", ""))):
        return ""
    repository, _, tag = image.rpartition(":")
    params = {"container": str(inspect["Id"]), "repo": repository, "tag": tag, "pause": "0"}
    engine.call("POST", "/commit", params=params, limit=3600.0)
    return image
