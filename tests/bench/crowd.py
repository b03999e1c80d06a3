"""Makes a namespace crowded: `listen FIRST COUNT` holds TCP listeners; `rules FIRST COUNT` prints rules."""

from __future__ import annotations

import resource
import signal
import socket
import sys


def listen(first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100, count + 100))
    held = []
    for port in range(first, first + count):
        server = socket.socket()
        server.bind(("127.0.0.1", port))
        server.listen(1)
        held.append(server)
    print(len(held), flush=True)
    signal.pause()


def rules(first: int, count: int) -> None:
    """`count` DNAT rules and as many ACCEPT rules, for iptables-restore --noflush."""
    targets = [(port, f"10.{port >> 14}.{port >> 7 & 127}.{port & 127 | 2}") for port in range(first, first + count)]
    print("*nat")
    for port, ip in targets:
        print(f"-A DOCKER ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT --to-destination {ip}:80")
    print("COMMIT\n*filter")
    for _, ip in targets:
        print(f"-A DOCKER -d {ip}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT")
    print("COMMIT")


if __name__ == "__main__":
    {"listen": listen, "rules": rules}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
