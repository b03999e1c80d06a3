"""`python -m netdash`, and the command `netdash`."""

import _signal  # type: ignore[import-not-found]

_signal.signal(
    _signal.SIGINT, _signal.SIG_DFL
)  # while modules are loaded, `signal` one of them, Ctrl-C is no traceback

import sys  # noqa: E402

from netdash.cli import main  # noqa: E402


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()
