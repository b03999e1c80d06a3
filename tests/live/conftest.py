"""Labs for the live tests: where none can run they are skipped with one line; NETDASH_LIVE=required fails them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from zlib import crc32

import pytest
from engines import Folder
from lab import RULE_TOOLS, Lab, LabError, why_not
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
ENGINE = os.environ.get("NETDASH_ENGINE", "")
"""Which engine all of them run: "" for this machine's own, or a folder of `make engines` and perhaps the backend of its
rules: trixie, forky, trixie-legacy, -legacy."""


PARTS = {"publish_killed": 6, "publish": 4, "publish_disturbed": 3, "ssh": 3, "drift": 0, "ssh_lines": 3, "trace": 1}
"""The long files, longest first, and into how many parts they are cut; 0: one for each engine, which is a parameter."""


class PartByPart(LoadScopeScheduling):
    """Workers of xdist take a file, or a part of a long one: its tests share an engine."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, case = nodeid.partition("::")
        parts = PARTS.get(Path(file).stem.removeprefix("test_live_"), 1)
        return f"{file} {crc32(nodeid.encode()) % parts if parts else case.partition('[')[2]}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> PartByPart:
    config.option.loadscopereorder = False  # the order is that of the tests, not of how many there are in a part
    return PartByPart(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files come first, then the others as they are."""
    longest = [f"test_live_{name}" for name in PARTS]
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """One place for every skip, so that the summary folds them into one line."""
    report = yield
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (str(HERE), 1, report.longrepr[2])
    return report


@pytest.fixture(scope="session")
def possible() -> None:
    reason = why_not()
    if reason:
        _cannot(reason)


@pytest.fixture(scope="session")
def rule_tools() -> None:
    """No engine: the tools that load and list rules, and the right to make a namespace."""
    reason = why_not(RULE_TOOLS)
    if reason:
        _cannot(reason)


def _cannot(reason: str) -> None:
    if os.environ.get("NETDASH_LIVE") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _labs(*flags: str, legacy: bool = False) -> Iterator[Lab]:
    suite, _, backend = ENGINE.partition("-")
    if suite and (reason := Folder(suite).why_not()):
        pytest.skip(reason)
    lab = Lab(*flags, legacy=legacy or backend == "legacy", suite=suite or None)
    try:
        lab.__enter__()
    except LabError as error:
        _cannot(str(error))
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="session")
def lab(possible: None) -> Iterator[Lab]:
    """One engine with its default settings; tests name their containers apart."""
    yield from _labs()


@pytest.fixture(scope="module")
def lab_without_proxy(possible: None) -> Iterator[Lab]:
    yield from _labs("--userland-proxy=false")


@pytest.fixture(scope="module")
def lab_with_legacy(possible: None) -> Iterator[Lab]:
    yield from _labs(legacy=True)


@pytest.fixture(scope="module")
def lab_with_both(possible: None) -> Iterator[Lab]:
    """An engine that writes iptables-nft, for tests that add iptables-legacy rules beside."""
    if ENGINE.endswith("-legacy") or shutil.which("iptables-legacy", path="/usr/sbin:/sbin") is None:
        pytest.skip("no iptables-legacy here, or no other backend")
    yield from _labs()
