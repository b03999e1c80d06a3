"""Recorded hosts with sources taken away: what is answered then is what the whole host answers, or unknown."""

from __future__ import annotations

import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.engine_state import Drift
from netdash.model.errors import NetdashError
from netdash.model.host import Failure, Host
from netdash.trace import default_questions
from netdash.trace.model import Matrix, Origin, Question, Trace, Verdict
from netdash.trace.reachability import reach
from netdash.trace.tracer import reaches
from netdash.view.views import BY_NAME
from tests.conftest import RECORDINGS
from tests.support.trace_hosts import questions_of

_QUESTIONS = 16
_REACH_OF = 6  # containers; larger matrices take too long to be asked thousands of times
NAMES = tuple(sorted(one.name for one in RECORDINGS.iterdir() if (one / "ip").is_dir()))


@dataclass(frozen=True, slots=True)
class Lost:
    """One file of a bundle that was not read in full. `kept`: bytes that came; None: the source failed."""

    path: str
    kept: int | None


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    lost: tuple[Lost, ...]

    def __str__(self) -> str:
        return f"{self.name} without {', '.join(f'{one.path} from {one.kept}' for one in self.lost)}"


def case(seed: int) -> Case:
    """One recorded host with one or two sources less."""
    dice = random.Random(seed)
    name = dice.choice(NAMES)
    files = _files(name)
    many = dice.choice((1, 1, 1, 2))
    return Case(name, tuple(_loss(dice, RECORDINGS / name / path, path) for path in dice.sample(files, many)))


def _files(name: str) -> list[str]:
    folder = RECORDINGS / name
    found = (path.relative_to(folder) for top in _TOPS for path in sorted((folder / top).rglob("*")) if path.is_file())
    paths = [path.as_posix() for path in found]
    outer = [path for path in paths if not path.startswith("containers/")]
    inner = [path for path in paths if path.startswith("containers/")]
    return outer + inner[:: max(1, len(inner) // len(outer))]


_TOPS = ("docker", "ip", "rules", "host", "containers")


def _loss(dice: random.Random, file: Path, path: str) -> Lost:
    """Cut within a line: where a listing ends at a line's end, nothing tells that there was more."""
    content = file.read_bytes()
    at = dice.randrange(len(content)) if content else 0
    if not content or dice.random() < 0.4 or content[at - 1 : at] in (b"\n", b""):
        return Lost(path, None)
    return Lost(path, at)


def host_of(made: Case) -> Host:
    """Raises NetdashError where nothing is read of such a bundle."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / made.name
        shutil.copytree(RECORDINGS / made.name, target)
        failures: dict[str, Failure] = {}
        for one in made.lost:
            if one.kept is None:
                (target / one.path).unlink()
                if one.path.endswith("legacy-save.txt"):  # without it there is nothing of the kind, says the bundle
                    source = f"rules: {Path(one.path).stem.removesuffix('-save')}"
                    failures[source] = Failure(source, "timed out")
            else:
                (target / one.path).write_bytes((target / one.path).read_bytes()[: one.kept])
        recording = load(target)
    return Builder().build(replace(recording, failures={**recording.failures, **failures}))


# --- what the whole host answers --------------------------------------------------------------------------------------


@cache
def whole(name: str) -> Host:
    return Builder().build(load(RECORDINGS / name))


@cache
def questions(name: str) -> tuple[tuple[Question, Trace], ...]:
    """The usual questions of its containers, a few of each, and some between them, with their answers."""
    host = whole(name)
    asked = [one.question for container in host.containers or () for one in questions_of(host, container)]
    ends = [(one, end.addresses[0].ip) for one in host.containers or () for end in one.endpoints if end.addresses]
    for (sender, _), (_, ip) in zip(ends, ends[1:] + ends[:1], strict=True):
        asked.append(Question(Origin.CONTAINER, ip, "tcp", 80, container=sender.id))
    asked += [Question(Origin.HOST, ip, "tcp", 80) for _, ip in ends[:3]]
    asked += [Question(Origin.OUTSIDE, ip, "tcp", 80) for _, ip in ends[:3]]
    asked += [Question(Origin.HOST, one, "tcp", 53) for one in default_questions.OUTSIDE.values()]
    chosen = random.Random(1).sample(asked, min(_QUESTIONS, len(asked)))
    return tuple((one, reaches(host, one)) for one in chosen)


@cache
def matrix(name: str) -> Matrix | None:
    host = whole(name)
    return reach(host) if len(host.containers or ()) <= _REACH_OF else None


# --- the comparison ---------------------------------------------------------------------------------------------------


def wrong(made: Case) -> list[str]:
    """What the host of this case answers surely and otherwise than the whole one."""
    try:
        host = host_of(made)
    except NetdashError:
        return []
    found = [*_traces(made, host), *_reach(made, host), *_drift(made, host), *_ports(made, host)]
    return [f"{made}: {one}" for one in found]


def _traces(made: Case, host: Host) -> Iterator[str]:
    for question, before in questions(made.name):
        now = reaches(host, question)
        for part, one, other in _parts(before, now):
            if other not in (one, "unknown"):
                yield f"{_words(question)}: {part}: {one} became {other} ({now.decided_by and now.decided_by.text})"


def _parts(before: Trace, now: Trace) -> Iterator[tuple[str, str, str]]:
    yield "verdict", before.verdict.value, now.verdict.value
    if Verdict.UNKNOWN in (now.verdict, before.verdict):
        return
    for part in ("src", "sport", "dst", "dport"):
        one, other = getattr(before.translation, part), getattr(now.translation, part)
        yield part, str(one), "unknown" if other is None else str(other)
    if before.then is not None and now.then is not None:
        yield "docker-proxy's own", before.then.verdict.value, now.then.verdict.value
    if before.reply is not None and now.reply is not None:
        yield "answer", before.reply.verdict.value, now.reply.verdict.value


def _words(question: Question) -> str:
    return (
        f"{question.origin.value} {(question.container or '')[:6]} to {question.dst} {question.dport}/{question.proto}"
    )


def _reach(made: Case, host: Host) -> Iterator[str]:
    before = matrix(made.name)
    if before is None:
        return
    known = _cells(before)
    for key, reaches_now in _cells(reach(host)).items():
        if key in known and reaches_now not in (None, known[key]):
            yield f"reach {key}: {known[key]} became {reaches_now}"


def _cells(of: Matrix) -> Mapping[tuple[str, ...], bool | None]:
    return {
        (sender.name, aim.proto, str(aim.ip), str(aim.port)): cell.reaches
        for sender, row in zip(of.senders, of.rows(), strict=True)
        for aim, cell in zip(of.aims, row, strict=True)
    }


def _drift(made: Case, host: Host) -> Iterator[str]:
    before, now = whole(made.name).drift, host.drift
    if now is None:
        return
    known = {_key(one) for one in before or ()}
    yield from (f"drift: new: {_key(one)}" for one in now if _key(one) not in known)
    if len(now) < len(known) and not any(source == "drift: rules" for source in host.failures):
        yield f"drift: {len(known) - len(now)} findings less, and nothing is said"


def _key(one: Drift) -> tuple[str, ...]:
    """Without the text of a live rule: that is told in other words where one of its tools is missing."""
    return one.kind.value, one.family, one.table, one.chain, one.rule.place if one.rule else one.text


_MARK = re.compile(r"^!\w+ ")
"""Drift's mark before who listens: nothing of it where rules could not be compared."""


@lru_cache(maxsize=4)
def _cells_of_ports(host: Host) -> Mapping[tuple[str, ...], Mapping[str, str]]:
    view = BY_NAME["ports"]
    rows = list(view.rows(host))
    return {
        (row.cells[0].text, row.cells[1].text, row.cells[2].text, _owner(host, at)): {
            column.key: _MARK.sub("", cell.text) for column, cell in zip(view.columns, row.cells, strict=True)
        }
        for at, row in enumerate(rows)
    }


def _owner(host: Host, at: int) -> str:
    port = (host.ports or ())[at]
    return "" if port.live else port.container_id or ""


def _ports(made: Case, host: Host) -> Iterator[str]:
    known = _cells_of_ports(whole(made.name))
    for key, cells in _cells_of_ports(host).items():
        for name, cell in known.get(key, {}).items():
            if cells[name] != cell and "?" not in cells[name] and not _of_a_proxy(name, cell, cells[name]):
                yield f"ports {key} {name}: {cell} became {cells[name]}"


def _of_a_proxy(name: str, cell: str, now: str) -> bool:
    """Whether it only lost the pid of whom it names."""
    return name == "holder" and cell.startswith(now)


def campaign(first: int, many: int) -> int:
    """1 when an answer was wrong."""
    found = [text for seed in range(first, first + many) for text in _seeded(seed)]
    told = f"{many} recordings with less in them: {len(found)} answers are neither as before nor unknown"
    print("\n".join([*found, told]))
    return 1 if found else 0


def _seeded(seed: int) -> Iterator[str]:
    yield from (f"seed {seed}: {text}" for text in wrong(case(seed)))
