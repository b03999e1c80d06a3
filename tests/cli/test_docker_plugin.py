"""netdash as a plugin of the docker command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netdash.cli import docker_plugin
from netdash.model.errors import NetdashError


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (["netdash", "ports", "--json"], ["ports", "--json"]),
        (["-H", "unix:///x", "netdash", "ports"], ["--docker-host", "unix:///x", "ports"]),
        (["--host=unix:///x", "netdash"], ["--docker-host", "unix:///x"]),
        (["docker-cli-plugin-metadata"], ["docker-cli-plugin-metadata"]),
        (["netdash"], []),
    ],
)
def test_docker_options_become_ours(given: list[str], asked: list[str]) -> None:
    assert docker_plugin.arguments(given) == asked


def test_a_context_is_the_variable_that_stands_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    assert docker_plugin.arguments(["--context", "far", "netdash"]) == []
    assert os.environ["DOCKER_CONTEXT"] == "far"


@pytest.mark.parametrize(("context", "kept"), [("far", None), ("default", "unix:///near")])
def test_a_context_that_is_named_comes_before_docker_host(
    context: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "")
    monkeypatch.setenv("DOCKER_HOST", "unix:///near")
    docker_plugin.arguments(["-c", context, "netdash", "ports"])
    assert os.environ.get("DOCKER_HOST") == kept


def test_an_option_that_is_not_ours_is_refused() -> None:
    with pytest.raises(NetdashError, match="--tls"):
        docker_plugin.arguments(["--tls", "netdash"])


def test_docker_is_told_what_the_plugin_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "netdash"
    program.write_text(f"#!{sys.executable}\nfrom netdash.__main__ import run\nrun()\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    assert docker_plugin.install() == docker_plugin.install()
    plugin = tmp_path / "docker" / "cli-plugins" / "docker-netdash"

    def run(*words: str) -> str:
        return subprocess.run([plugin, *words], capture_output=True, text=True, check=True, timeout=60).stdout

    assert json.loads(run("docker-cli-plugin-metadata"))["SchemaVersion"] == "0.1.0"
    assert run("netdash", "version").startswith("netdash ")
