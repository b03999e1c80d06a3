"""The engine's first answers, asked by a process of its own while this one imports the screen: importing the docker
package takes several times as long as asking, and one interpreter imports one thing at a time."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from netdash.core.recording import Recording


class First(NamedTuple):
    answers: Mapping[str, object]  # docker/version.json, containers.json, networks.json
    since: int | None  # the engine's clock when it was asked, in seconds: later events tell what changed

    def recording(self) -> Recording:
        """A host of which nothing else is known yet."""
        from netdash.core.recording import SOURCES, Recording  # the child is started before anything is loaded

        return Recording(
            answers=self.answers,
            pending=frozenset(SOURCES) - {"docker"},
            taken=time.time(),
            hostname=socket.gethostname(),
            live=True,
        )


class FirstAnswers:
    """Begins to ask when it is made; `take` waits for the answer. Only one is asked, ever: later, the reader knows."""

    def __init__(self, docker_host: str | None, limit: float) -> None:
        self._limit = limit
        self._child: subprocess.Popen[bytes] | None = None
        argv = [sys.executable, "-m", __spec__.name, str(limit), *([docker_host] if docker_host else [])]
        with contextlib.suppress(OSError):  # then the reader asks by itself, and tells what is wrong
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )

    def drop(self) -> None:
        """Nobody wants to know any more."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def take(self) -> First | None:
        """The answers; None when there was no child, it failed, or took longer than the limit."""
        child, self._child = self._child, None
        if child is None:
            return None
        try:
            told = json.loads(child.communicate(timeout=self._limit)[0])
        except (subprocess.TimeoutExpired, ValueError):
            child.kill()
            child.communicate()
            return None
        since = told.pop("since", None) if isinstance(told, dict) else None
        if not isinstance(told, dict) or "docker/containers.json" not in told:
            return None
        return First(told, since if isinstance(since, int) else None)


def main(arguments: list[str]) -> int:
    """In the child: `LIMIT [DOCKER_HOST]`; prints the answers as one JSON object, or nothing."""
    from netdash.read.engine_api import EngineApi, EngineError, allowed, listed

    try:
        api = EngineApi(arguments[1] if len(arguments) > 1 else None, float(arguments[0]))
        answers: dict[str, object] = {"docker/version.json": api.negotiate()}
        answers["docker/containers.json"] = listed(api)
        since = api.since
        answers["docker/networks.json"] = allowed(api, "/networks")
    except EngineError:
        return 1
    sys.stdout.write(json.dumps({**answers, "since": since}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
