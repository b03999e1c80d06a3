"""A slow line for ssh, as its ProxyCommand: FOLDER HOST PORT BYTES_PER_SECOND ONE_WAY_SECONDS. Notes its process and
the time in FOLDER/lines; refuses to begin while FOLDER/closed exists."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path

_CHUNK = 1024


def main(folder: Path, host: str, port: int, rate: float, delay: float) -> int:
    with (folder / "lines").open("a") as lines:
        lines.write(f"{os.getpid()} {time.monotonic()}\n")
    if (folder / "closed").exists():
        print("relay: the line is closed", file=sys.stderr)
        return 1
    with socket.create_connection((host, port)) as there:
        here = threading.Thread(target=carry, args=(0, there.fileno(), rate, delay), daemon=True)
        here.start()
        carry(there.fileno(), 1, rate, delay)
    return 0


def carry(source: int, target: int, rate: float, delay: float) -> None:
    """Until the source ends. What came is sent on after the delay, at the rate."""
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=256)

    def send() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, data = waiting.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    return
                os.write(target, data)
                time.sleep(len(data) / rate)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    with contextlib.suppress(OSError):
        while data := os.read(source, _CHUNK):
            waiting.put((time.monotonic() + delay, data))
    waiting.put((time.monotonic(), b""))
    sender.join()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:4]), *map(float, sys.argv[4:6])))
