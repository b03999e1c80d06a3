"""`python -m netdash`, and the command `netdash`."""

import _signal  # type: ignore[import-not-found]

# While modules are loaded, also `signal` itself, Ctrl-C ends netdash without a traceback.
_signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc  # noqa: E402
import sys  # noqa: E402

gc.disable()  # what is loaded is no garbage; `main` and the dashboard switch it on

from netdash.cli import printing  # noqa: E402
from netdash.cli.main import main  # noqa: E402


def run() -> None:
    code = main()
    if "textual" not in sys.modules:  # the dashboard ends as every program
        printing.leave(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
