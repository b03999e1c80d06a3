"""`docker netdash …`: netdash as a plugin of the docker command, which finds it as cli-plugins/docker-netdash
(docker/cli, cli-plugins/manager)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from netdash import __version__
from netdash.model.errors import Exit, NetdashError

NAME = "docker-netdash"
_WITH_VALUE = {"-H": "--docker-host", "--host": "--docker-host", "-c": "DOCKER_CONTEXT", "--context": "DOCKER_CONTEXT"}


def metadata() -> str:
    about = {
        "SchemaVersion": "0.1.0",
        "Vendor": "netdash",
        "Version": __version__,
        "ShortDescription": "How containers talk to the network, and what is broken",
    }
    return json.dumps(about)


def arguments(argv: Sequence[str]) -> list[str]:
    """What netdash is asked: docker's own options, which stand before `netdash`, become netdash's, a context the
    variable that stands for it. Raises NetdashError(USAGE)."""
    if list(argv[:1]) == ["docker-cli-plugin-metadata"]:
        return [*argv]
    given = list(argv)
    asked: list[str] = []
    while given and given[0] != "netdash":
        option, equal, value = given.pop(0).partition("=")
        meant = _WITH_VALUE.get(option)
        if meant is None:
            raise NetdashError(
                f"docker's option {option!r} is not for netdash", "see: docker netdash --help", Exit.USAGE
            )
        value = value if equal else given.pop(0) if given else ""
        if meant == "DOCKER_CONTEXT":
            os.environ[meant] = value
            if value != "default":  # docker asks a context that is named so, and not DOCKER_HOST
                os.environ.pop("DOCKER_HOST", None)
        else:
            asked += [meant, value]
    return [*asked, *given[1:]]


def install() -> str:
    """Links this program as the user's plugin; returns a line about it. Raises NetdashError."""
    place = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins" / NAME
    program = Path(sys.argv[0]).absolute()
    if not os.access(program, os.X_OK) or program.suffix == ".py":
        raise NetdashError(f"{program} is no program that docker could run", "install netdash first", Exit.USAGE)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            place.unlink()
        place.symlink_to(program)
    except OSError as error:
        raise NetdashError(f"cannot write {place}: {error.strerror}") from error
    return f"{place} leads to {program}: docker netdash"
