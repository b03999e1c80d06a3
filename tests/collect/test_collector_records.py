"""What the collector reads of netdash's own records there: the same as netdash reads of them on its own machine."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from netdash.apply import forward, journal_files, state_directory
from netdash.cli.own_records import dumps, waiting_ports
from netdash.model.source import KEPT, WAITING
from tests.collect.test_collector import SHELLS, recorded, tools
from tests.publish.test_state import CHANGE, RECORD


@pytest.mark.parametrize("shell", SHELLS)
def test_until_when_old_containers_are_kept_is_read_there_too(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As this machine reads it from the same journals; what is no journal is passed by."""
    state = tmp_path / "state"
    monkeypatch.setenv("NETDASH_STATE_DIR", str(state))
    path = tools(tmp_path / "bin")
    assert KEPT not in recorded(shell, path, "proxies", NETDASH_STATE_DIR=str(state)).answers
    forged = {"image": '"old_id": "ee", "grace": 9', "grace": 600.5, "settings": {"grace": 7}}
    for number, entries in enumerate(
        ([], [{"begin": 0}, {"settled": 1_767_323_045.75}], [{"settled": 5}, {"undoing": True}])
    ):
        change = replace(CHANGE, id=f"{number}-{CHANGE.id}", old_id=f"{number}" * 64, created=float(number), **forged)
        journal_files.begin(change)
        for entry in entries:
            journal_files.append(change, entry)
    os.mkfifo(state / "journal" / "fifo.jsonl")
    (state / "journal" / "damaged.jsonl").write_bytes(b'{"netdash": 1, "old_')
    found = recorded(shell, path, "proxies", NETDASH_STATE_DIR=str(state)).answers[KEPT]
    assert found == dumps(journal_files.listed()) == f"{'0' * 64} -\n{'1' * 64} 1767323646\n{'2' * 64} -\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_ports_of_forwards_that_wait_are_read_there_too(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As this machine reads them from the same records, by their time, their boot and whether their process lives."""
    monkeypatch.setenv("NETDASH_STATE_DIR", str(tmp_path / "state"))
    folder = state_directory.ensure(state_directory.forwards())
    here, boot = state_directory.process(os.getpid()), state_directory.boot_id()
    assert here is not None
    gone = replace(here, ticks=here.ticks - 1)
    cases = itertools.product(("up", "waiting"), (here, gone, None), (boot, "another"), (None, 5.0, time.time() + 999))
    for number, (phase, keeper, begun, until) in enumerate(cases):
        ports = tuple(replace(port, host_port=1000 + number) for port in RECORD.ports)
        record = replace(
            RECORD, id=f"{number:03}", ports=ports, phase=phase, keeper=keeper, boot=begun, until=until, created=number
        )
        state_directory.write(folder / f"{record.id}.json", record.dumps())
    (folder / "damaged.json").write_text("{")
    recording = recorded(shell, tools(tmp_path / "bin"), "proxies", NETDASH_STATE_DIR=str(tmp_path / "state"))
    expected = "".join(map(waiting_ports, forward.waiting()))
    assert 10 < expected.count("\n") < 60
    assert recording.answers[WAITING] == expected
