"""The process that keeps one forward: `python -m netdash.apply.forward_daemon RECORD`. It outlives whoever started it,
follows the container, and ends with it, at the forward's time, or at SIGTERM. Owns its record while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from netdash.apply import forward, state_directory
from netdash.engine.client import local
from netdash.engine.errors import EngineError, Refused
from netdash.model.errors import NetdashError
from netdash.model.records import replace
from netdash.publish.journal import Forward, Opened, addresses, load_forward, running, target

_RETRY = 2.0  # seconds until the engine, or a port that was not to be had, is tried again
_STALE = 30.0  # seconds after which it looks without an event: an engine may not send one
_EVENT = b"e"  # on the socket that wakes the keeper, beside the numbers of signals
_SETTLE = 0.1  # seconds: a burst of events is looked at once


class Gone(Exception):  # noqa: N818
    """The container does not exist any more."""


class Keeper:
    def __init__(self, path: Path, record: Forward) -> None:
        self.path = path
        self.record = record
        self.engine = local(record.engine)
        self.proxies: dict[Opened, int] = {}
        self.ending = False
        self._wake, write = socket.socketpair()
        for end in (self._wake, write):
            end.setblocking(False)
        self._write = write
        self._listener: threading.Thread | None = None
        self._again = 0.0  # when to look at the container; on the monotonic clock

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        with contextlib.suppress(Gone):
            self._begin()
            while not self.ending and not self._over():
                self._wait()
                self._reap()
                if time.monotonic() >= self._again:
                    self._look()
        self._stop()
        self.path.unlink(missing_ok=True)

    def _begin(self) -> None:
        """The first attempt is told as it went: who started this waits for it."""
        try:
            self._look()
        except forward.ProxyError as error:
            self._tell("failed", str(error))
            self._stop()
            sys.exit(1)

    def _end(self, *_: object) -> None:
        self.ending = True

    def _over(self) -> bool:
        return self.record.until is not None and time.time() >= self.record.until

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until a signal, an event of the container, or the next look is due."""
        if select.select([self._wake], [], [], self._patience())[0]:
            with contextlib.suppress(BlockingIOError):
                if _EVENT in self._wake.recv(4096):
                    self._soon(_SETTLE)
        if self._listener is not None and not self._listener.is_alive():
            self._listener = None
            self._soon(_RETRY)

    def _patience(self) -> float:
        patience = self._again - time.monotonic()
        if self.record.until is not None:
            patience = min(patience, self.record.until - time.time())
        return max(0.0, patience)

    def _listen(self) -> None:
        """In a thread of its own: wakes the other one for each event of the container, and at the stream's end."""
        with contextlib.suppress(EngineError):
            for event in self.engine.events(self.engine.since):
                if self.record.container_id in json.dumps(event):
                    self._ring()
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # enough is in it
            self._write.send(_EVENT)

    def _soon(self, seconds: float) -> None:
        self._again = min(self._again, time.monotonic() + seconds)

    def _reap(self) -> None:
        """A proxy that ended by itself is started again."""
        for opened, pid in tuple(self.proxies.items()):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            del self.proxies[opened]
            self._soon(_SETTLE)

    # --- following the container --------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Bring the proxies to where the container is. Raises Gone, and ProxyError at the first time."""
        self._again = time.monotonic() + _STALE
        first = self.record.phase == "starting"
        try:
            if self._listener is None:
                self.engine.negotiate()
                self._listener = threading.Thread(target=self._listen, name="events", daemon=True)
                self._listener.start()
            inspect = self.engine.get(f"/containers/{self.record.container_id}/json")
        except Refused as error:
            if error.status == 404:
                raise Gone from error
            return self._soon(_RETRY)
        except EngineError as error:
            if first:
                raise forward.ProxyError(error.message) from error
            return self._soon(_RETRY)  # the container may live on without its engine: so do the proxies
        found = addresses(inspect, self.record.network) if running(inspect) else ()
        if not found:
            self._stop()
            self._tell("waiting", "the container is not running", ())
            return None
        if found != self.record.target:
            self._stop()
        return self._open(found, first)

    def _open(self, found: tuple[str, ...], first: bool) -> None:
        problem = ""
        for port in self.record.ports:
            if port not in self.proxies:
                try:
                    self.proxies[port] = forward.start_proxy(self.record.program, port, target(found, port.host_ip))
                except forward.ProxyError as error:
                    if first:
                        raise
                    problem = f"{port.host_ip} {port.host_port}/{port.proto}: {error}"
                    self._soon(_RETRY)
        self._tell("waiting" if problem else "up", problem, found)

    def _stop(self) -> None:
        for pid in self.proxies.values():
            forward.stop_proxy(pid)
        self.proxies.clear()

    def _tell(self, phase: str, problem: str, found: tuple[str, ...] = ()) -> None:
        now = replace(
            self.record, phase=phase, problem=problem, target=found, keeper=state_directory.process(os.getpid())
        )
        if now != self.record:
            self.record = now
            with contextlib.suppress(NetdashError):  # a full disk must not close the port
                state_directory.write(self.path, now.dumps())


def main(path: Path) -> None:
    """Leave the caller, and keep what the record says."""
    record = load_forward(state_directory.read(path))
    if record is None or os.fork():
        os._exit(0 if record else 2)
    os.setsid()
    os.chdir("/")
    Keeper(path, record).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
