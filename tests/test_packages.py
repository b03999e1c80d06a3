"""What is given to others: the wheel and the sdist hold what runs and no more, once; a release's tag is its version."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from netdash import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Names in the wheel and in the sdist, those of the sdist without its folder."""
    folder = str(tmp_path_factory.mktemp("dist"))
    wheel = next(WheelBuilder(str(ROOT)).build(directory=folder, versions=["standard"]))
    sdist = next(SdistBuilder(str(ROOT)).build(directory=folder, versions=["standard"]))
    with zipfile.ZipFile(wheel) as one, tarfile.open(sdist) as other:
        return {"wheel": one.namelist(), "sdist": [name.partition("/")[2] for name in other.getnames()]}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_package_holds_every_file_that_runs_once(kind: str, built: dict[str, list[str]]) -> None:
    names = built[kind]
    listed = subprocess.run(["git", "ls-files", "netdash"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(names) == len(set(names))
    assert set(listed.stdout.split("\n")) - {""} == {name for name in names if name.startswith("netdash/")}


def test_a_package_holds_no_tests_and_no_recordings(built: dict[str, list[str]]) -> None:
    tops = {name.partition("/")[0] for name in built["sdist"]}
    assert tops == {
        "netdash",
        "docs",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "pyproject.toml",
        "PKG-INFO",
        ".gitignore",
    }
    assert {name.partition("/")[0] for name in built["wheel"]} == {"netdash", f"netdash-{__version__}.dist-info"}


def test_a_tag_is_the_version_and_the_changes_name_it() -> None:
    asked = ["git", "tag", "--points-at", "HEAD", "v*"]
    tags = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert tags in ([], [f"v{__version__}"])
    heading = f"## {__version__}\n" if tags else f"## {__version__}"
    assert heading in (ROOT / "CHANGELOG.md").read_text("utf-8")
