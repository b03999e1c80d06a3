"""The stream that the collector (collect/collect.sh) prints, as a recording. Trusts no line of it: what is cut off,
mixed with other output or ended with an error is missing with a reason, never a shorter answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from io import StringIO

from netdash.bundle.collector_parts import Parts
from netdash.bundle.recording import Answer, Recording, container_path, scrub
from netdash.model.engine_state import KERNEL
from netdash.model.errors import NetdashError
from netdash.model.host import Failure, FailureKind
from netdash.model.records import dataclass, field, replace
from netdash.model.source import (
    BY_PATH,
    KEPT,
    SOURCES,
    WAITING,
    Source,
    SourceFile,
    container_commands,
    needs_root,
    whole_failure,
    without_timers,
)
from netdash.parse.json_values import load_json
from netdash.parse.netfilter import is_xtables, nft_tables

INSIDE, TRACE = Source.INSIDE, Source.TRACE
ASKED = (*SOURCES, INSIDE)
"""What the collector is asked for again and again, in the order in which it reads it. TRACE is what else it is asked
for where one packet is traced, or a recording made."""

_HEADER = re.compile(r"netdash-collector (\d+) ([0-9A-Za-z.]{1,64})\r?")
_FORMAT = "1"
_AS_ROOT = "run it as root"
_CUT = "the collector's answer was cut off"
_FOLDER = "containers/*/"
_PARTS: Mapping[str, tuple[str, ...]] = {
    "inside.txt": tuple(file.path.removeprefix(_FOLDER) for file in container_commands(Source.INSIDE)),
    "inside-trace.txt": tuple(file.path.removeprefix(_FOLDER) for file in container_commands(Source.TRACE)),
}
"""Files that hold several, each after a line `## NAME`."""
_FILES: Mapping[str, SourceFile] = {
    **BY_PATH,
    KERNEL: replace(BY_PATH[KERNEL], source=Source.DOCKER),  # made of the engine's answers, and asked with them
    # netdash's own records cost as little as its proxies, and change as often
    **{path: replace(BY_PATH[path], source=Source.PROXIES) for path in (KEPT, WAITING)},
    **{f"{path}l": BY_PATH[path] for path in SOURCES[Source.DOCKER]},
    **{
        path.replace("-save", "-either"): BY_PATH[path]
        for path in ("rules/iptables-save.txt", "rules/ip6tables-save.txt")
    },
    **{f"{_FOLDER}{name}": SourceFile(name, source, "") for name, source in zip(_PARTS, (INSIDE, TRACE), strict=True)},
}
"""By path in the stream. `.jsonl`: a document a line; `either`: the tool itself tells which backend it is of."""


def source_of(path: str) -> str:
    """What the collector is asked for to get this file."""
    return _FILES[path].source if path in _FILES else Source.INSIDE


def is_stream(beginning: str) -> bool:
    """Whether a text is the collector's, perhaps after other output such as a message of the day."""
    return any(_HEADER.fullmatch(line) for line in beginning.split("\n"))


def parse(
    text: str, mark: str | None = None, as_root: str = _AS_ROOT, cut: str = "", parts: Parts | None = None
) -> Recording:
    """The recording that a stream tells of. `mark`: the one that the collector was given, None for any. `as_root`: how
    the collector becomes root. `cut`: why a stream without an end broke off. `parts`: what the same collector sent
    before, when it was asked to send only what changed.

    Raises NetdashError when there is no stream in the text, one of another format, or changes of what is not known."""
    lines = _lines(text)
    heads = (found for line in lines if (found := _HEADER.fullmatch(line)))
    head = next((found for found in heads if mark in (None, found[2])), None)
    if head is None:
        raise NetdashError("there is no answer of the collector in it", "netdash collector > collect.sh")
    if head[1] != _FORMAT:
        raise NetdashError(f"the collector's format {head[1]} is not known", "use the collector of this netdash")
    ending = "\r" if head[0].endswith("\r") else ""
    reader = _Reader(f"={head[2]} ", as_root, f"{_CUT}: {cut}" if cut else _CUT)
    lines = (line.removesuffix(ending) for line in lines)
    for line in lines if parts is None else parts.whole(lines, f"={head[2]} "):
        reader.take(line)
        if reader.done:
            break
    return reader.recording()


def _lines(text: str) -> Iterator[str]:
    """One after the other: a list of them can take twenty times the memory of the text."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


@dataclass(slots=True)
class _Open:
    """A file whose end has not come yet."""

    path: str
    text: StringIO = field(default_factory=StringIO)  # the lines but the last one
    last: list[str] = field(default_factory=list)  # its pieces
    lines: int = 0
    number: int | None = None  # of lines, as the collector counted them
    mixed: bool = False  # something else was printed in between

    def add(self, line: str) -> None:
        if self.lines > 1:
            self.text.write("\n")
        self.text.writelines(self.last)
        self.last = [line]
        self.lines += 1

    def go_on(self, piece: str) -> None:
        self.last.append(piece)

    @property
    def status(self) -> str:
        return "".join(self.last)


class _Reader:
    """Takes line after line; `mark` begins the collector's own."""

    def __init__(self, mark: str, as_root: str, cut: str) -> None:
        self.done = False
        self._mark = mark
        self._remedy = as_root
        self._cut = cut
        self._asked: tuple[Source, ...] = ()
        self._source: str | None = None
        self._begun: set[str] = set()
        self._open: _Open | None = None
        self._texts: dict[str, str] = {}
        self._failures: dict[str, Failure] = {}
        self._facts: dict[str, str] = {}

    def take(self, line: str) -> None:
        if line.startswith("|"):
            if self._open is not None:
                self._open.add(line[1:])
        elif line.startswith("+"):
            if self._open is not None:
                self._open.go_on(line[1:])
        elif line.startswith(self._mark):
            word, _, rest = line[len(self._mark) :].partition(" ")
            handle = _HANDLERS.get(word)
            if handle is not None:
                handle(self, rest)
        elif self._open is not None:
            if line.isascii() and line.isdigit() and self._open.number is None:
                self._open.number = int(line[:12])
            else:
                self._open.mixed = True

    # --- the collector's own lines ------------------------------------------------------------------------------------

    def _ask(self, rest: str) -> None:
        self._asked = tuple(Source(source) for source in rest.split() if source in (*ASKED, Source.DROPS, TRACE))

    def _fact(self, name: str, rest: str) -> None:
        self._facts.setdefault(name, rest)

    def _begin_source(self, name: str) -> None:
        self._source = name if name in self._asked else None
        self._begun.add(name)

    def _begin(self, path: str) -> None:
        self._open = _Open(path)

    def _end(self, rest: str) -> None:
        file, self._open = self._open, None
        path, _, why = rest.partition(" ")
        if file is None or file.path != path or self._source is None or not _belongs(path, self._source):
            return
        if file.mixed or file.number != file.lines or not file.lines:
            self._fail(path, "the collector's answer is damaged")
        elif file.status != "0":
            self._fail(path, why.strip() or f"ended with status {file.status[:12]}")
        else:
            self._texts[path] = file.text.getvalue()

    def _missing(self, rest: str) -> None:
        path, _, tool = rest.partition(" ")
        self._report(path, lambda file: file.not_installed(tool))

    def _failed(self, rest: str) -> None:
        source, _, why = rest.partition(" ")
        if source in self._asked:
            remedy = f"{self._as_root}, or as a member of group docker" if "no permission" in why else ""
            self._failures[source] = Failure(source, why, self._as_root if "(hidepid)" in why else remedy)

    @property
    def _as_root(self) -> str:
        """Nothing for root itself, who may lack a right in a container."""
        return "" if self._facts.get("privileged") == "1" else self._remedy

    def _end_all(self, _: str) -> None:
        self.done = True

    def _fail(self, path: str, why: str) -> None:
        def failed(file: SourceFile) -> Failure | None:
            if not (needs_root(why) and self._as_root):
                return file.failure(why)
            reason = f"{file.source} need root" if file.source is Source.RULES else why
            return file.failure(reason, self._as_root, FailureKind.NO_RIGHT)

        self._report(path, failed)

    def _report(self, path: str, failed: Callable[[SourceFile], Failure | None]) -> None:
        file = _FILES.get(path)
        failure = failed(file) if file is not None and self._source == file.source else None
        if failure is not None:
            self._failures.setdefault(failure.source, failure)

    # --- what came of it ----------------------------------------------------------------------------------------------

    def recording(self) -> Recording:
        if not self.done:
            self._cut_off()
        answers = dict(self._answers())
        self._check(answers)
        taken = self._facts.get("taken", "")
        return Recording(
            answers=answers,
            failures=self._failures,
            taken=float(taken) if taken.isascii() and taken.isdigit() and len(taken) < 13 else None,
            hostname=self._facts.get("host", "")[:255] or None,
            privileged={"0": False, "1": True}.get(self._facts.get("privileged", "")),
        )

    def _cut_off(self) -> None:
        """Without its end the last source may lack anything; those after it lack everything."""
        for source in self._asked or tuple(SOURCES):
            if source == self._source or source not in self._begun:
                self._failures = {
                    name: failure for name, failure in self._failures.items() if name.partition(":")[0] != source
                }
                self._failures[source] = Failure(source, self._cut, "read it again")
                if source != INSIDE:
                    self._texts = {path: text for path, text in self._texts.items() if source_of(path) != source}

    def _answers(self) -> Iterator[tuple[str, Answer]]:
        for path, text in self._texts.items():
            if path.startswith("docker/"):
                yield from self._of_engine(path, text)
            elif path.endswith("-either.txt"):
                yield from _of_either(path, text)
            elif path.startswith("containers/") and path.rpartition("/")[2] in _PARTS:
                yield from _of_inside(path, text)
            elif path != KERNEL or text.strip():
                yield path, without_timers(path, text)

    def _of_engine(self, path: str, text: str) -> Iterator[tuple[str, Answer]]:
        """Decoded at once, and only what may be kept of it."""
        name = path.removesuffix("l")
        try:
            if path.endswith(".jsonl"):
                yield name, scrub(name, [load_json(line) for line in text.split("\n") if line.strip()])
            elif text.strip():
                yield name, scrub(name, load_json(text))
        except ValueError as error:
            self._failures.setdefault(Source.DOCKER, Failure(Source.DOCKER, f"{name} is not JSON: {str(error)[:100]}"))

    def _check(self, answers: dict[str, Answer]) -> None:
        """One failure for rules of which nothing came; containers of which no details came; sources without a word."""
        self._not_needed(answers)
        parts = [name for name in self._failures if name.startswith("rules: ")]
        if parts and not any(path in answers for path in SOURCES[Source.RULES]):
            failures = [self._failures.pop(name) for name in parts]
            self._failures[Source.RULES] = whole_failure(Source.RULES, failures)
        if Source.DOCKER in self._failures:
            for path in SOURCES[Source.DOCKER]:
                answers.pop(path, None)
        elif "docker/containers.json" in answers:
            lacking = _ids(answers["docker/containers.json"]) - _ids(answers.get("docker/inspect.json"))
            if lacking:
                why = f"{len(lacking)} containers could not be inspected"
                self._failures.setdefault("docker: inspect", Failure("docker: inspect", why))
        for source in self._asked:
            if source in SOURCES and not any(path in answers for path in SOURCES[source]):
                self._failures.setdefault(source, Failure(source, "the collector says nothing of it"))

    def _not_needed(self, answers: dict[str, Answer]) -> None:
        """Where nft shows no table that iptables-nft could, its tool need not be there."""
        nft = answers.get("rules/nft.json")
        if not isinstance(nft, str):
            return
        families = {table[0] for table in nft_tables(nft) if is_xtables(table)}
        for family, tool in (("ip", "iptables"), ("ip6", "ip6tables")):
            missed = self._failures.get(f"rules: {tool}")
            if family not in families and missed is not None and missed.kind is FailureKind.NO_TOOL:
                del self._failures[missed.source]
                answers[f"rules/{tool}-save.txt"] = ""


_HANDLERS: Mapping[str, Callable[[_Reader, str], None]] = {
    "asked": _Reader._ask,
    "host": lambda reader, rest: reader._fact("host", rest),
    "taken": lambda reader, rest: reader._fact("taken", rest),
    "privileged": lambda reader, rest: reader._fact("privileged", rest),
    "source": _Reader._begin_source,
    "begin": _Reader._begin,
    "end": _Reader._end,
    "missing": _Reader._missing,
    "failed": _Reader._failed,
    "done": _Reader._end_all,
}


def _belongs(path: str, source: str) -> bool:
    """Whether a source may have this file."""
    folder, _, rest = path.partition("/")
    name, _, file = rest.rpartition("/")
    if folder != "containers":
        return path in _FILES and _FILES[path].source == source
    known = _FILES.get(_FOLDER + file)
    return known is not None and known.source == source and container_path(name, file) == path


def _of_either(path: str, text: str) -> Iterator[tuple[str, Answer]]:
    """iptables-save without a variant in its name: its first line tells which one it is."""
    tool = path.removesuffix("-either.txt")
    if "(nf_tables)" in text.partition("\n")[0]:
        yield f"{tool}-save.txt", text
    elif "\n*" in f"\n{text}":
        yield f"{tool}-legacy-save.txt", text


def _of_inside(path: str, text: str) -> Iterator[tuple[str, Answer]]:
    folder, _, file = path.rpartition("/")
    for part in f"\n{text}".split("\n## ")[1:]:
        name, _, value = part.partition("\n")
        if name in _PARTS[file]:
            yield (
                f"{folder}/{name}",
                without_timers(name, f"{value}\n" if value and not value.endswith("\n") else value),
            )


def _ids(answer: Answer) -> set[str]:
    rows = answer if isinstance(answer, list) else []
    return {row["Id"] for row in rows if isinstance(row, dict) and isinstance(row.get("Id"), str)}
