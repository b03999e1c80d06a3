"""Recorded hosts by name, loaded once: `recording("docker28.5-nft-full")` and `host("docker28.5-nft-full")`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from netdash.core.model import Host
from netdash.core.recording import Recording, load

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "tests" / "recordings"
DEMO = ROOT / "netdash" / "demo" / "su1"


def bundle(name: str) -> Path:
    """The folder of a recorded host; `su1` is the host of `netdash demo`."""
    return DEMO if name == "su1" else RECORDINGS / name


@cache
def _load(name: str) -> Recording:
    return load(bundle(name))


@cache
def _join(name: str) -> Host:
    from netdash.core.join import Builder  # tests of the parsers alone shall run while the join is broken

    return Builder().build(_load(name))


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Recording]:
    return _load


@pytest.fixture(scope="session")
def host() -> Callable[[str], Host]:
    return _join
