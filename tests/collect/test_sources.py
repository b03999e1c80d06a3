"""The table of sources: its parsers exist, this host is asked for its rows, its privileges are those of the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from netdash.bundle.recording import container_path
from netdash.collect import once
from netdash.model.source import BY_PATH, FILES, SOURCES, Source, SourceFile, commands, container_commands

PRIVILEGES = Path(__file__).parents[2] / "docs" / "privileges.md"
ROWS = {
    "addresses, routes, policy rules, neighbours, sysctls": (
        *(Source.LINKS, Source.ROUTES, Source.NEIGHBOURS, Source.SYSCTLS),
    ),
    "docker-proxy processes and their targets": (Source.PROXIES,),
    "host listeners": (Source.LISTENERS,),
    "rules, counters, MASQUERADE and DNAT": (Source.RULES,),
    "who listens inside containers": (Source.INSIDE,),
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.path)
def test_the_parser_of_a_file_exists(file: SourceFile) -> None:
    assert file.parser == "" or callable(file.parse())


def test_a_path_has_one_row() -> None:
    assert len(BY_PATH) == len(FILES)


def test_every_source_has_a_reader_and_every_command_is_run_once() -> None:
    assert {*SOURCES, Source.TRACE, Source.FLOWS, Source.DROPS} == set(once._READ)
    asked = [*commands(*Source), *container_commands(*Source)]
    assert sorted(file.path for file in asked) == sorted(file.path for file in FILES if file.command)


@pytest.mark.parametrize("file", tuple(container_commands(*Source)), ids=lambda file: file.path)
def test_a_file_of_a_container_has_its_place_in_a_recording(file: SourceFile) -> None:
    folder, _, name = file.path.rpartition("/")
    assert container_path("web", name) == f"{folder.replace('*', 'web')}/{name}"


@pytest.mark.parametrize("title", ROWS)
def test_the_documented_privileges_are_those_of_the_table(title: str) -> None:
    cells = next(line.split("|")[1:-1] for line in PRIVILEGES.read_text("utf-8").splitlines() if f"| {title} |" in line)
    needs_root = {file.root for file in FILES if file.source in ROWS[title] and file.missing.name != "NOTHING"}
    needs_root = needs_root or {file.root for file in FILES if file.source in ROWS[title]}
    assert needs_root == {cells[-1].strip() == "`?`"}
