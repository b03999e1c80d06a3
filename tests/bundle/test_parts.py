"""The collector that sends only what changed: the other end has the same answers as if all had been sent."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from netdash.bundle.collector_parts import Parts
from netdash.bundle.collector_stream import parse
from netdash.collect.ssh import collector
from netdash.model.errors import NetdashError
from tests.collect.test_collector import SHELLS, tools

_LINES = (
    *("", "0", "010", "10", "1e1", "|", "+", "@1 2", "=abc done", "=abc whole 1", "}, {", "a}, {b},{c", "\\n \\1 & %s"),
    *('[{"comment":"}, {"},{"x":1}]', "x" * 5000, "tab\there", "é", " lead", "trail ", "-n", "$(id)", "`id`", "'\"'"),
)


def streams(shell: str, folder: Path, answers: Sequence[str], without: Sequence[str] = ()) -> list[str]:
    """What a collector prints that is asked again and again: the answers of `ip neigh`, one after the other."""
    path = tools(folder / "bin", ip=f"cat {folder}/$(cat {folder}/step)")
    for name in without:
        (path / name).unlink()
    asked = ""
    for step, answer in enumerate(answers):
        (folder / str(step)).write_text(answer)
        asked += f"echo {step} > {folder}/step\ncollect abc neighbours\n"
    script = collector().replace("PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin", "")
    done = subprocess.run(
        SHELLS[shell], input=f"{script}\nkeep=1\n{asked}", capture_output=True, text=True, timeout=60,
        env={"PATH": str(path)}, executable=_which(SHELLS[shell][0]),
    )  # fmt: skip
    return re.split(r"(?<=\n)(?=\nnetdash-collector)", done.stdout)


def _which(name: str) -> str:
    found = shutil.which(name)
    assert found
    return found


def _changed(chance: random.Random, lines: Sequence[str]) -> list[str]:
    now = list(lines)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(now) + 1)
        now[at : at + chance.randrange(3)] = chance.choices(_LINES, k=chance.randrange(3))
    return now


@pytest.mark.parametrize("shell", SHELLS)
def test_changes_make_the_whole_answer_again(shell: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    lines = chance.choices(_LINES, k=30)
    answers = []
    for _ in range(25):
        answers.append("\n".join(lines) + chance.choice(("", "\n", "\n\n")))
        lines = _changed(chance, lines)
    parts = Parts(1 << 20)
    found = [parse(text, "abc", parts=parts) for text in streams(shell, tmp_path, answers)]
    assert [one.answers["ip/neigh.json"] for one in found] == answers
    assert not [one.failures for one in found if one.failures]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_stays_the_same_is_not_sent_again(shell: str, tmp_path: Path) -> None:
    table = [f'{{"dst":"10.0.{at}.1","lladdr":"02:42:0a:00:{at:02x}:01"}}' for at in range(200)]
    other = [*table[:50], '{"dst":"10.9.9.9"}', *table[51:]]
    answers = [f"[{','.join(rows)}]" for rows in (table, table, other)]
    first, same, one = streams(shell, tmp_path, answers)
    assert len(first) > 10_000
    assert len(same) < 300
    assert len(one) < 400
    parts = Parts(1 << 20)
    assert [parse(text, "abc", parts=parts).answers["ip/neigh.json"] for text in (first, same, one)] == answers


def test_without_awk_a_changed_part_comes_whole(tmp_path: Path) -> None:
    answers = ["a\nb\n", "a\nc\n", "a\nc\n"]
    parts = Parts(1 << 20)
    texts = streams(next(iter(SHELLS)), tmp_path, answers, without=("awk", "mawk"))
    assert [parse(text, "abc", parts=parts).answers["ip/neigh.json"] for text in texts] == answers


def _stream(*lines: str) -> str:
    return "\n".join(("", "netdash-collector 1 abc", "=abc asked neighbours", "=abc source neighbours", *lines, ""))


@pytest.mark.parametrize(
    "lines",
    [
        ("=abc part x", "@1 1", "=abc whole 1"),
        ("=abc part x", "|a", "=abc whole 2"),
        ("=abc part x", "|a", "=abc whole 1", "=abc part x", "@0 1", "=abc whole 1"),
        ("=abc part x", "|a", "=abc whole 1", "=abc part x", "@1 2", "=abc whole 2"),
        ("=abc part x", "|a", "=abc whole 1", "=abc part y", "@1 1", "=abc whole 1"),
    ],
)
def test_changes_of_what_is_not_known_are_no_answer(lines: Sequence[str]) -> None:
    with pytest.raises(NetdashError):
        parse(_stream(*lines), "abc", parts=Parts(1 << 20))


def test_a_small_answer_that_stands_for_a_huge_one_is_refused() -> None:
    parts = Parts(1 << 20)
    parse(_stream("=abc part x", f"|{'a' * 1000}", "=abc whole 1"), "abc", parts=parts)
    with pytest.raises(NetdashError, match="more than 1 MiB"):
        parse(_stream("=abc part x", *["@1 1"] * 2000, "=abc whole 2000"), "abc", parts=parts)


def test_a_part_that_is_cut_off_is_not_kept() -> None:
    parts = Parts(1 << 20)
    recording = parse(_stream("=abc part x", "=abc begin ip/neigh.json", "|[]"), "abc", parts=parts)
    assert "cut off" in recording.failures["neighbours"].reason
    with pytest.raises(NetdashError):
        parse(_stream("=abc part x", "@1 1", "=abc whole 1"), "abc", parts=parts)
