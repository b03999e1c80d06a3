"""The host outside: `http ADDRESS PORT` answers every GET with the client's address; `udp ADDRESS PORT` echoes."""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test reads the answers."""


def echo(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, port))
        while True:
            data, peer = server.recvfrom(2048)
            server.sendto(data, peer)


if __name__ == "__main__":
    kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "http":
        ThreadingHTTPServer((address, port), Mirror).serve_forever()
    echo(address, port)
