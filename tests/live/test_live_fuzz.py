"""The packet trace against the kernel: random rules and packets in namespaces of their own, with a fixed seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("nft", "iptables-nft-restore", "iptables-legacy-restore", "ip", "bridge", "unshare")
SEED, PACKETS, PROVED = 4, 600, 20


def test_the_oracle_sees_known_situations_as_they_are() -> None:
    _fuzz("--check")


def test_every_prediction_is_what_the_kernel_does() -> None:
    said = _fuzz("--seed", str(SEED), "--packets", str(PACKETS), "--shrink", "1")
    assert f"{PACKETS} packets" in said


def test_random_packets_are_proved() -> None:
    said = _fuzz("--seed", str(SEED + 1), "--prove", str(PROVED))
    assert f"{PROVED} packets with --prove" in said
    assert "differs" not in said


def _fuzz(*options: str) -> str:
    why = _why_not()
    if why and os.environ.get("NETDASH_LIVE") == "required":
        pytest.fail(why, pytrace=False)
    elif why:
        pytest.skip(why)
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *options],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _why_not() -> str | None:
    if os.geteuid() != 0:
        return "live tests need root"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None]
    if missing:
        return f"live tests need {', '.join(missing)}"
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True)
    return f"live tests need network namespaces: {probe.stderr.strip()}" if probe.returncode else None
