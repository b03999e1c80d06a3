"""Has the kernel trace one packet: loads the table that marks it, and listens. The table belongs to a socket of this
process, by libnftables, because of which the kernel removes it however the process ends: there is no child that could
be left behind."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from types import TracebackType

from netdash.model.errors import Exit, NetdashError
from netdash.parse.netfilter import GROUP, trace_events
from netdash.trace.kernel_trace import Flow

_LIBRARY = "libnftables.so.1"
_NETFILTER = 12  # NETLINK_NETFILTER
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_RCVBUFFORCE = 33  # SO_RCVBUFFORCE
_BUFFER = 8 << 20
_QUIET = 0.3  # seconds without a word of the packet after which nothing more is expected


def table_name() -> str:
    return f"netdash-{os.getpid()}"


class KernelTrace:
    """`with KernelTrace(text) as kernel`: the table stands within. Raises NetdashError where it cannot be loaded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._library = _library()
        self._context: int | None = None
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        self.lost = False  # the kernel had more to tell than the socket could hold

    def __enter__(self) -> KernelTrace:
        try:
            self._listen()
            self._load()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    def _listen(self) -> None:
        try:
            self._events.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _BUFFER)
            self._events.bind((0, 0))
            self._events.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, GROUP)
        except OSError as error:
            raise _refused((error.strerror or str(error)).lower()) from error

    def _load(self) -> None:
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise _refused("libnftables does not start")
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)
        if self._library.nft_run_cmd_from_buffer(self._context, self._text.encode()) != 0:
            words: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise _refused(words.decode("utf-8", "replace").strip().partition("\n")[0])

    def _close(self) -> None:
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None
        self._events.close()

    def watch(self, flow: Flow, seconds: float) -> None:
        """Until the packet is at its end; at most so long for its first event."""
        end = time.monotonic() + seconds
        while not flow.ended and select.select([self._events], [], [], max(0.0, end - time.monotonic()))[0]:
            try:
                events = list(trace_events(self._events.recv(1 << 16)))
            except OSError:  # ENOBUFS
                self.lost = True
                continue
            if sum(map(flow.take, events)):
                end = time.monotonic() + _QUIET


def _refused(words: str) -> NetdashError:
    denied = "not permitted" in words.lower()
    hint = "run with sudo" if denied else "a table with the flag owner needs Linux 5.12 and nftables 1.0.6"
    return NetdashError(f"the table that marks the packet cannot be loaded: {words}", hint, Exit.REFUSED)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise _refused(f"{_LIBRARY} is not here") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("buffer_error", "buffer_output", "get_error_buffer", "free"):
        getattr(library, f"nft_ctx_{name}").argtypes = [ctypes.c_void_p]
    return library
