"""The host outside, and who listens in a container: `http ADDRESS PORT` answers every GET with the client's address,
`udp ADDRESS PORT` echoes, `udp-peer ADDRESS PORT` answers with the client's address. `ask PROTO ADDRESS PORT` is a
client: it prints "ok" and the answer, or how it failed: refused, closed, unreachable, timeout."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 4  # seconds: nobody who answers ARP is told after three


class Mirror(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test reads the answers."""


class Server(ThreadingHTTPServer):
    def server_bind(self) -> None:
        self.socket.bind(self.server_address)  # without asking a resolver for its name
        self.server_name, self.server_port = "outside", self.server_address[1]


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(address: str, port: int) -> None:
    Server.address_family = family(address)
    Server((address, port), Mirror).serve_forever()


def answer(address: str, port: int, peer: bool) -> None:
    with socket.socket(family(address), socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        while True:
            data, client = server.recvfrom(2048)
            server.sendto(client[0].encode() if peer else data, client)


def ask(proto: str, address: str, port: int) -> str:
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family(address), kind) as client:
        client.settimeout(PATIENCE)
        try:
            client.connect((address, port))
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            told = b"".join(iter(lambda: client.recv(2048), b"")) if proto == "tcp" else client.recv(2048)
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except ConnectionResetError:
            return "closed"
        except OSError as error:
            return f"unreachable {error.strerror}"
        body = told.decode().rpartition("\r\n")[2]
        return f"ok {body}" if body else "closed"


def main(kind: str, *words: str) -> None:
    if kind == "ask":
        print(ask(words[0], words[1], int(words[2])))
    elif kind == "http":
        serve(words[0], int(words[1]))
    else:
        answer(words[0], int(words[1]), kind == "udp-peer")


if __name__ == "__main__":
    main(*sys.argv[1:])
