"""The process that removes a replaced container when its grace time is over. It is started as
`python -m netdash.apply.cleanup_daemon JOURNAL`. It sleeps until then, and does nothing when the journal is gone, was
taken up again or rolled back meanwhile."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from netdash.apply import change, journal_files, state_directory
from netdash.engine.client import local
from netdash.model.errors import NetdashError

_LOOK = 1.0  # seconds between two looks at the journal: the change may be taken back
_RETRY = 30.0  # seconds


def main(path: Path) -> None:
    """Leave the caller, and wait."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    while (journal := journal_files.load(path)) is not None and journal.due is not None:
        wait = journal.due - time.time()
        if wait > 0:
            time.sleep(min(wait, _LOOK))
            continue
        try:
            with state_directory.one_at_a_time():
                again = journal_files.load(path)
                if again is not None and again.due is not None and time.time() >= again.due:
                    change.settle(local(again.change.engine), again)
        except NetdashError:
            time.sleep(_RETRY)  # another netdash is at work, the engine is away, or the new container is not well


if __name__ == "__main__":
    main(Path(sys.argv[1]))
