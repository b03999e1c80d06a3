"""A real connection to a published port, from this host: what the plan promised, seen."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable

from netdash.publish.outcome import Proof
from netdash.publish.state import Opened

_CONNECT = 3.0  # seconds
_LISTEN = 0.5  # seconds that a connection must stay: a proxy accepts at once, and hangs up when nobody is behind it
_PAUSE = 0.2


def prove(ports: Iterable[Opened], seconds: float) -> tuple[Proof, ...]:
    """One proof for each port and family; a refusal is tried again until `seconds` are over."""
    end = time.monotonic() + seconds
    return tuple(_until(port, address, end) for port in ports for address in targets(port.host_ip))


def targets(host_ip: str) -> tuple[str, ...]:
    """Where to connect to reach a socket bound to that address."""
    if not host_ip or host_ip == str(socket.INADDR_ANY) or host_ip.strip("0.") == "":
        return ("127.0.0.1",)
    return ("::1",) if host_ip == "::" else (host_ip,)


def _until(one: Opened, address: str, end: float) -> Proof:
    attempt = _tcp if one.proto == "tcp" else _udp
    while True:
        works, what = attempt(address, one.host_port)
        if works is not False or time.monotonic() >= end:
            return Proof(one.proto, address, one.host_port, works, what)
        time.sleep(_PAUSE)


def _tcp(address: str, port: int) -> tuple[bool, str]:
    """Nothing is sent: a server that waits for a request waits on; one that is not there is told by the hang-up."""
    try:
        connection = socket.create_connection((address, port), _CONNECT)
    except TimeoutError:
        return False, "does not answer"
    except OSError as error:
        return False, (error.strerror or str(error)).lower()
    with connection:
        connection.settimeout(_LISTEN)
        try:
            answer = connection.recv(1)
        except TimeoutError as error:
            if error.errno == errno.ETIMEDOUT:  # of TCP itself, not of this waiting
                return False, "does not answer"
            return True, "is accepted, and the server waits for a request"
        except OSError as error:
            return False, (error.strerror or str(error)).lower()
    return (True, "answers") if answer else (False, "is accepted and closed at once: nobody is behind it")


def _udp(address: str, port: int) -> tuple[bool | None, str]:
    """An empty datagram: a closed port answers with an ICMP error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(_LISTEN)
        try:
            client.connect((address, port))
            client.send(b"")
            client.recv(1)
        except TimeoutError:
            return None, "nothing refuses the datagram; UDP does not tell more"
        except OSError as error:
            return False, (error.strerror or str(error)).lower()
        return True, "answers"
