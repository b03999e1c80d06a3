"""Hosts are examined by a process of their own, whatever becomes of it."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import psutil
import pytest

from netdash.cli.examination import Examination, _forget
from netdash.doctor import examine
from netdash.model.host import Host
from netdash.model.index import index_of
from netdash.model.kernel_state import Tracking

NAME = "forward-drop-ahead"


@pytest.fixture
def examination(monkeypatch: pytest.MonkeyPatch) -> Iterator[Examination]:
    monkeypatch.setattr("netdash.cli.examination._FEW", 0)
    made = Examination()
    yield made
    made.close()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Host) -> None:
        pytest.fail("examined in this process")

    monkeypatch.setattr(examine, "examine", fail)


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "netdash.cli.examination" in one.cmdline()]


def test_a_host_of_few_containers_is_examined_here(host: Callable[[str], Host]) -> None:
    made = Examination()
    assert made(host(NAME)).findings == examine.examine(host(NAME)).findings
    assert not children()


def test_another_process_finds_the_same(host: Callable[[str], Host], examination: Examination) -> None:
    found = examination(host(NAME))
    assert children()
    expected = examine.examine(host(NAME))
    assert found.findings == expected.findings
    assert (found.standings, found.ports) == (expected.standings, expected.ports)


def test_nothing_of_a_host_is_kept_once_it_is_examined(host: Callable[[str], Host]) -> None:
    examined = replace(host(NAME))
    examine.examine(examined)
    found = weakref.ref(index_of(examined))
    del examined
    assert found() is not None
    gc.unfreeze()  # what another test froze is not among the collector's objects
    _forget()
    assert found() is None


def test_a_process_that_ended_is_gone(host: Callable[[str], Host], examination: Examination) -> None:
    """The next examination may be hours away."""
    assert examination(host(NAME)).findings
    ended = children()
    assert ended
    for child in ended:
        child.kill()
    until = time.monotonic() + 20
    while any(psutil.pid_exists(child.pid) for child in ended):
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.usefixtures("elsewhere")
def test_a_process_that_ended_is_started_anew(host: Callable[[str], Host], examination: Examination) -> None:
    assert examination(host(NAME)).findings
    for child in children():
        child.kill()
        psutil.wait_procs([child], 10)
    assert examination(host(NAME)).findings


def test_what_it_raises_is_raised_here_with_its_place(host: Callable[[str], Host], examination: Examination) -> None:
    wrong = replace(host(NAME), containers=("no container",))
    with pytest.raises(AttributeError):
        examination(wrong)
    assert examination(host(NAME)).findings


def test_the_answer_of_another_version_is_not_believed(
    host: Callable[[str], Host], examination: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> None:
        raise AttributeError("a record of a later version")

    monkeypatch.setattr("netdash.cli.examination.pickle.load", other)
    assert examination(host(NAME)).findings


@pytest.mark.usefixtures("elsewhere")
def test_connections_go_as_the_kernel_told_them(host: Callable[[str], Host], examination: Examination) -> None:
    live = replace(host(NAME), tracking=Tracking(((b"cut", None),), 1.0, 1.0), flows=("never sent",))
    assert examination(live).findings


def test_where_none_can_be_started_this_one_examines(
    host: Callable[[str], Host], examination: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert examination(host(NAME)).findings


class Endless:
    """A question that is never answered, as a large host would not be for a long time."""

    def __reduce__(self) -> tuple[Callable[[float], None], tuple[float]]:
        return time.sleep, (3600.0,)


def test_one_that_computes_ends_when_its_parent_is_gone() -> None:
    program = [sys.executable, "-P", "-m", "netdash.cli.examination"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(pickle.dumps(Endless()))
        child.stdin.close()
        try:
            assert child.wait(60) == 0
        finally:
            child.kill()
