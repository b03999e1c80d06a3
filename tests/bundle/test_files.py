"""Files that others chose: what is not regular, has no end or is too large is told in one line, never waited for."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from netdash.bundle import archive as bundle
from netdash.bundle.archive import read_below, read_regular
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.errors import Exit, NetdashError
from netdash.parse.json_values import MAX_VALUES

ROOT = Path(__file__).parents[2]
STREAM = "\nnetdash-collector 1 x\n=x asked routes\n=x source routes\n=x done\n"
LINK = json.dumps([{"ifindex": 1, "ifname": "lo"}])


def small(folder: Path) -> Path:
    (folder / "ip").mkdir()
    (folder / "rules").mkdir()
    (folder / "ip/link.json").write_text(LINK)
    return folder


def archive(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    """Members: name, type, content."""
    with tarfile.open(path, "w:gz") as made:
        for name, kind, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), "/etc/passwd"
            made.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["fifo", "socket", "zero", "kmsg", "directory", "gzipped zeros"])
def test_what_is_no_bundle_ends_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "given"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        os.mknod(path, 0o140600)
    elif kind == "directory":
        path.mkdir()
    elif kind == "gzipped zeros":
        path.write_bytes(gzip.compress(bytes(1 << 20)))
    else:
        path = Path({"zero": "/dev/zero", "kmsg": "/proc/kmsg"}[kind])
    argv = [sys.executable, "-m", "netdash", "--from", str(path), "ports"]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=20)
    assert done.returncode == Exit.UNREADABLE
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert str(path) in done.stderr


def test_a_file_of_proc_is_not_read() -> None:
    assert read_regular("/proc/self/status", 1 << 20) == b""


def test_a_link_is_followed_only_where_it_may(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 10) == b"x"
    with pytest.raises(OSError, match="symbolic"):
        read_below(tmp_path, "link", 10)


@pytest.mark.parametrize("kind", ["fifo", "link", "large", "directory"])
def test_a_file_that_is_not_taken_is_a_failure_of_its_source(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MAX_FILE", 1 << 10)
    path = small(tmp_path) / "rules/nft.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(bytes(1025))
    words = {"fifo": "not a regular file", "link": "it is a link", "large": "larger than 1 KiB", "directory": "regular"}
    recording = load(tmp_path)
    assert words[kind] in recording.failures["rules: nft"].reason
    assert words[kind] in recording.failures["rules"].reason
    assert "rules/nft.json" not in recording.answers


def test_all_files_of_a_bundle_have_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 1 << 10)
    path = small(tmp_path)
    for name in ("nft.json", "iptables-save.txt"):
        (path / "rules" / name).write_bytes(b"x" * 900)
    recording = load(path)
    assert recording.answers.keys() == {"ip/link.json", "rules/iptables-save.txt"}
    assert recording.failures["rules: nft"].reason == "rules/nft.json: the whole recording is larger than 1 KiB"


def test_an_archive_is_unpacked_within_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 1 << 20)
    path = archive(tmp_path / "bomb.tar.gz", ("x/other", tarfile.REGTYPE, bytes(2 << 20)))
    with pytest.raises(NetdashError, match="larger than 1 MiB"):
        load(path)


def test_an_answer_in_an_archive_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_FILE", 1 << 10)
    members = (("b/ip/link.json", LINK.encode()), ("b/host/listeners.txt", bytes(1025)))
    path = archive(tmp_path / "b.tar.gz", *((name, tarfile.REGTYPE, content) for name, content in members))
    recording = load(path)
    assert recording.failures["listeners"].reason == "host/listeners.txt: it is larger than 1 KiB"
    assert "ip/link.json" in recording.answers


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_an_archive_are_not_taken(tmp_path: Path, kind: bytes) -> None:
    members = (("ip/link.json", tarfile.REGTYPE, LINK.encode()), ("host/listeners.txt", kind, b""))
    recording = load(archive(tmp_path / "b.tar.gz", *members))
    assert "link or a device" in recording.failures["listeners"].reason


def test_an_archive_of_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_FILES", 3)
    path = archive(tmp_path / "b.tar.gz", *((f"other/{at}", tarfile.REGTYPE, b"") for at in range(4)))
    with pytest.raises(NetdashError, match="more than 3 files"):
        load(path)


def test_a_rule_in_an_archive_cannot_pass_for_the_collectors_stream(tmp_path: Path) -> None:
    rules = f'*filter\n-A INPUT -m comment --comment "{STREAM}" -j DROP\nCOMMIT\n'
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as made:
        for name, content in (("rules/iptables-save.txt", rules.encode()), ("ip/link.json", LINK.encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            made.addfile(entry, io.BytesIO(content))
    assert set(load(path).answers) == {"rules/iptables-save.txt", "ip/link.json"}


def test_the_stream_is_read_within_the_budget_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BUNDLE", 1 << 20)
    path = tmp_path / "stream.gz"
    path.write_bytes(gzip.compress(STREAM.encode() + bytes(2 << 20)))
    with pytest.raises(NetdashError, match="larger than 1 MiB"):
        load(path)


def test_json_of_more_values_than_a_host_has_is_not_decoded(tmp_path: Path) -> None:
    text = "[" + "[]," * (MAX_VALUES + 1) + "[]]"
    (small(tmp_path) / "ip/route4.json").write_text(text)
    assert "more than 2,000,000 values" in Builder().build(load(tmp_path)).failures["routes"].reason
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/containers.json").write_text(text)
    with pytest.raises(NetdashError, match="more than 2,000,000 values"):
        load(tmp_path)


@pytest.mark.parametrize("folder", ["host", "containers/web"])
def test_a_folder_of_a_bundle_that_is_a_link_is_not_entered(tmp_path: Path, folder: str) -> None:
    made, other = tmp_path / "made", tmp_path / "other"
    made.mkdir()
    other.mkdir()
    for name in ("listeners.txt", "routes.json"):
        (other / name).write_text("of another folder\n")
    (small(made) / folder).parent.mkdir(exist_ok=True)
    (made / folder).symlink_to(other)
    recording = load(made)
    assert "of another folder" not in repr(recording.answers)
    if folder == "host":
        assert recording.failures["listeners"].reason == "host/listeners.txt: it is a link"
