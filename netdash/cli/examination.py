"""Examines hosts in a process of its own, so that the screen shares neither the interpreter nor a processor's turn with
it: `Examination` is the caller's side, this module as a program the other."""

from __future__ import annotations

import gc
import os
import pickle
import select
import sys
import threading
from functools import _lru_cache_wrapper
from typing import TYPE_CHECKING, BinaryIO, cast

from netdash.model.finding import Health
from netdash.model.host import Host
from netdash.model.records import replace

if TYPE_CHECKING:
    import subprocess

_POLITE = 5  # added to its nice value: at 10, a busy machine leaves it a thirtieth of a processor
_IDLE = 20.0  # seconds without a question after which it ends and frees its memory
_FEW = 10  # containers whose host is examined here: that takes less than to start a process
_TRIES = 2  # it may just have ended


class Examination:
    """One examination at a time, whoever calls. The calling thread examines a host of few containers, and any where no
    process can be started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __call__(self, host: Host) -> Health:
        found = self._elsewhere(host) if len(host.containers or ()) > _FEW else None
        if found is not None:
            return found
        from netdash.doctor.examine import examine

        return examine(host)

    def _elsewhere(self, host: Host) -> Health | None:
        asked = _packed(host)
        with self._lock:
            for _ in range(_TRIES):
                try:
                    answer = self._ask(asked)
                except (OSError, EOFError):
                    self._end()
                except Exception:  # an answer of another version: netdash was upgraded meanwhile
                    self._end()
                    break
                else:
                    return answer if isinstance(answer, Health) else None  # the caller fails with its own traceback
        return None

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for it goes on
        with self._lock:
            self._end()

    def _ask(self, asked: bytes) -> object:
        if self._closed:
            raise EOFError
        process = self._process = self._process or _started()
        questions, answers = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
        questions.write(asked)
        questions.flush()
        return pickle.load(answers)  # noqa: S301  # of our own child

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _packed(host: Host) -> bytes:
    """The connections are parsed anew by the other side: their answers as the kernel gave them take a hundredth of the
    time to hand over."""
    return pickle.dumps(replace(host, flows=None) if host.tracking is not None else host, pickle.HIGHEST_PROTOCOL)


def _started() -> subprocess.Popen[bytes]:
    import subprocess  # the other side does not need it

    from netdash.apply.forward import environment

    process = subprocess.Popen(
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        cwd="/",
        start_new_session=True,  # keys of the terminal that are signals are not for it
    )
    threading.Thread(target=process.wait, name="examination ends", daemon=True).start()  # else a zombie is left
    return process


# --- the other side ---------------------------------------------------------------------------------------------------


def _end_with(questions: BinaryIO) -> None:
    """An examination may take long: without this, a parent that was killed leaves it computing for nobody."""
    hung_up = select.poll()
    hung_up.register(questions, 0)  # no event but the end of the other side, also while a question is unread
    hung_up.poll()
    os._exit(0)


def _forget() -> None:
    """What was computed of this host serves none that comes, and would be held beside all that is computed of it."""
    for value in gc.get_objects():
        if type(value) is _lru_cache_wrapper:
            value.cache_clear()


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    from netdash.doctor.examine import examine
    from netdash.join.flows import LiveEntries

    entries = LiveEntries()
    while select.select([questions], [], [], _IDLE)[0]:
        try:
            host: Host = pickle.load(questions)  # noqa: S301  # of our own parent
        except EOFError:
            return
        answer: Health | None
        try:
            if host.tracking is not None:
                host = replace(host, flows=entries.read(host.tracking))
            answer = examine(host)
        except Exception:  # the parent tries it itself, and ends with the error
            answer = None
        pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
        answers.flush()
        del host, answer
        _forget()


if __name__ == "__main__":
    os.nice(_POLITE)
    asked = os.fdopen(0, "rb")
    threading.Thread(target=_end_with, args=(asked,), daemon=True).start()
    _serve(asked, os.fdopen(1, "wb"))
