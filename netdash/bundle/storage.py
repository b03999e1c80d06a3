"""A recording as files: a bundle is a directory, or the same as .tar.gz, or what the collector printed. One file for
each answer, as the tool printed it. A file that is absent could not be read; an empty one had nothing to say."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from netdash.bundle.archive import META, Files, read_files
from netdash.bundle.collector_stream import is_stream, parse
from netdash.bundle.recording import Answer, Recording, scrub
from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.model.host import Failure
from netdash.model.records import replace
from netdash.model.source import BY_PATH, CONTAINER_FILES, SOURCES, Missing, Source, part_name
from netdash.parse.json_values import load_json

SCHEMA = 1
_LATEST = 1 << 33  # seconds since the epoch, in the year 2242
_LISTED = 10_000  # files of a folder that are looked at
_BUNDLE = "a bundle is a directory, a .tar.gz, or what the collector printed"


def load(path: Path, inside: tuple[str, ...] = CONTAINER_FILES) -> Recording:
    """Read a bundle, or what the collector printed. Raises NetdashError with one line for whatever is wrong with it.
    `inside`: the files of each container that are wanted, in a bundle."""
    try:
        found = read_files(path, frozenset(BY_PATH), inside, is_stream)
    except (OSError, tarfile.TarError, EOFError, zlib.error) as error:
        near = _nearest(path) if isinstance(error, FileNotFoundError) else ""
        raise NetdashError(f"cannot read {path}: {_reason(error)}", near or _BUNDLE) from error
    return _completed(parse(found) if isinstance(found, str) else _of_files(path, found))


def _nearest(path: Path) -> str:
    """What beside it has nearly its name."""
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        known = [entry.name for entry in itertools.islice(entries, _LISTED)]
        return did_you_mean(path.name, known, "" if str(path.parent) == "." else f"{path.parent}/")
    return ""


def _of_files(path: Path, found: Files) -> Recording:
    if META in found.refused:
        raise NetdashError(f"{path}: {META}: {found.refused[META]}")
    cut = {name for name, text in found.texts.items() if _cut_off(name, text)}
    answers: dict[str, Answer] = {name: text for name, text in found.texts.items() if name not in cut}
    meta = _meta(found.texts.get(META, "{}"), path)
    answers.pop(META, None)
    if not answers:
        why = next((f"{name}: {reason}" for name, reason in found.refused.items()), "")
        raise NetdashError(f"{path} is not a netdash bundle", why or "expected docker/, ip/, rules/, host/ inside")
    _decode_api_answers(answers, path)
    failures = {source: Failure.of(source, value) for source, value in _mapping(meta.get("failures")).items()}
    failures |= dict(_refusals({**found.refused, **dict.fromkeys(sorted(cut), "it ends within a line: it is cut off")}))
    taken = meta.get("taken")
    hostname = meta.get("hostname")
    privileged = meta.get("privileged")
    return _completed(
        Recording(
            answers=answers,
            failures=failures,
            taken=float(taken) if isinstance(taken, int | float) and 0 <= taken < _LATEST else None,
            hostname=hostname if isinstance(hostname, str) else None,
            privileged=privileged if isinstance(privileged, bool) else None,
        )
    )


def _cut_off(path: str, text: str) -> bool:
    """Whether a list of lines ends within a line. Those of rules tell more of their ends, and are parsed as far as they
    go."""
    return path.endswith(".txt") and not path.startswith("rules/") and text[-1:] not in ("", "\n")


def _refusals(refused: Mapping[str, str]) -> Iterator[tuple[str, Failure]]:
    """A failure for each file that is there and was not read."""
    for path, why in refused.items():
        name = part_of(path)
        yield name, Failure(name, f"{path}: {why}", "ask whoever made the recording")


def part_of(path: str) -> str:
    """What a failure to read this file is reported under: its source and its part, as "rules: iptables-legacy"."""
    file = BY_PATH.get(path)
    source = file.source if file and file.source is not Source.TRACE else Source.INSIDE
    whole = source is not Source.RULES and path in SOURCES.get(source, ())[:1]
    return source if whole else f"{source}: {part_name(path)}"


def _completed(recording: Recording) -> Recording:
    """The recording with a failure for every source of which it says nothing."""
    failures = recording.failures
    silent: dict[str, Failure] = {}
    for source in SOURCES:
        if not _was_read(source, recording.answers):
            part = next((failure for name, failure in failures.items() if name.startswith(f"{source}: ")), None)
            silent[source] = Failure(source, part.reason if part else "not in this recording")
    return replace(recording, failures={**silent, **failures})


def _was_read(source: Source, answers: Mapping[str, Answer]) -> bool:
    if source is Source.DOCKER:
        return "docker/containers.json" in answers or "docker/inspect.json" in answers
    if source is Source.LINKS:
        return "ip/link.json" in answers or "ip/addr.json" in answers
    whole = [path for path in SOURCES[source] if BY_PATH[path].missing is Missing.SOURCE]
    return any(path in answers for path in whole or SOURCES[source])


def _decode_api_answers(answers: dict[str, Answer], path: Path) -> None:
    """Decode docker/*.json now: a broken bundle is told at once, and secrets leave memory."""
    for name in SOURCES[Source.DOCKER]:
        text = answers.get(name)
        if isinstance(text, str) and text.strip():
            try:
                answers[name] = scrub(name, load_json(text))
            except ValueError as error:
                raise NetdashError(f"{path}: {name} is not JSON: {error}", "the recording may be cut off") from error


def _meta(text: str, path: Path) -> Mapping[str, object]:
    try:
        meta = load_json(text)
    except ValueError as error:
        raise NetdashError(f"{path}: {META} is not JSON: {error}", "the recording may be cut off") from error
    schema = meta.get("schema", SCHEMA) if isinstance(meta, dict) else None
    if schema != SCHEMA:
        raise NetdashError(f"{path} has schema {schema!r}, this netdash reads {SCHEMA}", "use the netdash that made it")
    return _mapping(meta)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


# --- writing a bundle -------------------------------------------------------------------------------------------------


def dump(recording: Recording, path: Path, version: str) -> None:
    """Write a bundle: a .tar.gz when the name ends so, else a directory that must not exist yet or be empty."""
    files = {name: _as_text(name, answer) for name, answer in sorted(recording.answers.items())}
    meta = {
        "schema": SCHEMA,
        "netdash": version,
        "taken": recording.taken,
        "hostname": recording.hostname,
        "privileged": recording.privileged,
        "failures": {name: failure.words for name, failure in sorted(recording.failures.items())},
    }
    files[META] = json.dumps(meta, indent=1) + "\n"
    try:
        if path.name.endswith((".tar.gz", ".tgz")):
            _write_archive(path, files, recording.taken or 0)
        else:
            _write_directory(path, files)
    except OSError as error:
        raise NetdashError(f"cannot write {path}: {_reason(error)}", code=Exit.REFUSED) from error


def _as_text(name: str, answer: Answer) -> str:
    if name.startswith("docker/") and isinstance(answer, str):
        answer = json.loads(answer) if answer.strip() else ""
    if isinstance(answer, str):
        return answer
    return json.dumps(scrub(name, answer), separators=(",", ":")) + "\n"


def _write_directory(path: Path, files: Mapping[str, str]) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise NetdashError(f"{path} exists", "name a new folder, or remove that one", Exit.REFUSED)
    for name, text in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8", "surrogateescape")


def _write_archive(path: Path, files: Mapping[str, str], taken: float) -> None:
    if path.exists():
        raise NetdashError(f"{path} exists", "name a new file, or remove that one", Exit.REFUSED)
    stem = path.name.removesuffix(".tgz").removesuffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            content = text.encode("utf-8", "surrogateescape")
            entry = tarfile.TarInfo(f"{stem}/{name}")
            entry.size = len(content)
            entry.mtime = int(taken)
            archive.addfile(entry, io.BytesIO(content))
