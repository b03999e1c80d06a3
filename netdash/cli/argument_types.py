"""Numbers on the command line. Each raises ArgumentTypeError with what it should have been."""

from __future__ import annotations

import argparse

from netdash.model.numbers import decimal, port_number


def packets(text: str) -> int:
    number = decimal(text, 7)
    if not number or number > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of packets: 1 to 1000000")
    return number


def snap(text: str) -> int:
    number = decimal(text, 5)
    if number is None or not 64 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes: 64 to 65535")
    return number


def port(text: str) -> int:
    port = port_number(text)
    if port is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return port


def size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 28 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not the size of a packet: 28 to 65535 bytes")
    return int(text)


def mark(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = -1
    if not 0 <= mark <= 0xFFFFFFFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a mark")
    return mark


def seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.2 to 3600")
    return seconds
