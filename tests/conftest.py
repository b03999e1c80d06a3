"""Recorded hosts by name, each read and joined once: `recording(NAME)`, `host(NAME)`."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.model import finding
from netdash.model.finding import Health, keep_health
from netdash.model.host import Host

if TYPE_CHECKING:
    from netdash.trace.reachability import Matrix
    from tests.support.read_engines import FakeEngine

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "tests" / "recordings"
DEMO = ROOT / "netdash" / "demo" / "su1"


def pytest_configure() -> None:
    """Recorded hosts stay in memory: to look through them for cycles at the usual rate is a tenth of the time."""
    gc.set_threshold(100_000, 20, 50)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """A host that several tests of the dashboard show is one that nobody has examined, for each of them."""
    if item.path.parent.name == "tui":
        finding._known.cache_clear()


def bundle(name: str) -> Path:
    """The folder of a recorded host; `su1` is the host of `netdash demo`."""
    return DEMO if name == "su1" else RECORDINGS / name


@cache
def _load(name: str) -> Recording:
    return load(bundle(name))


@cache
def joined(name: str) -> Host:
    from netdash.join.host import Builder  # tests of the parsers alone shall run while the join is broken

    return Builder().build(_load(name))


@cache
def health(name: str) -> Health:
    """What the doctor finds on a recorded host, which takes as long as a hundred traces."""
    from netdash.doctor.examine import examine

    return examine(joined(name))


@cache
def matrix(name: str) -> Matrix:
    """Who reaches what on a recorded host, which takes long."""
    from netdash.trace.reachability import reach

    return reach(joined(name))


@pytest.fixture(scope="session")
def recording() -> Callable[[str], Recording]:
    return _load


@pytest.fixture(autouse=True, scope="session")
def no_config_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def host() -> Callable[[str], Host]:
    return joined


@pytest.fixture(scope="session")
def examined() -> Callable[[str], Host]:
    """A recorded host as the doctor knows it; each time one of its own."""

    def copy(name: str) -> Host:
        host = replace(joined(name))
        keep_health(host, health(name))
        return host

    return copy


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    """An engine on a socket of its own that answers as the test wants."""
    from tests.support.read_engines import running

    with running(tmp_path / "d.sock") as one:
        yield one


@pytest.fixture(scope="session")
def su1(host: Callable[[str], Host]) -> Host:
    """The host of `netdash demo` as if it were read now."""
    return replace(host("su1"), live=True)


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts an `ssh` in PATH that runs a script; returns its folder."""

    from tests.support.streams import fake_ssh

    def put(script: str) -> Path:
        folder = fake_ssh(tmp_path / "bin", script)
        if str(folder) not in os.environ["PATH"]:
            monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return put
