"""Bundles: whatever is wrong with one is told in one line; what is written is read back; secrets are not written."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from netdash.bundle.archive import META
from netdash.bundle.recording import Recording, container_path
from netdash.bundle.storage import dump, load
from netdash.model.errors import Exit, NetdashError
from netdash.model.host import Failure

ANSWERS = {
    "docker/version.json": {"Version": "29.7.2"},
    "docker/containers.json": [{"Id": "a" * 64, "Names": ["/web"]}],
    "ip/route4.json": '[{"dst": "default"}]',
    "host/sysctl.txt": "net.ipv4.ip_forward = 1\n",
    "containers/web/listeners.txt": "",
}
TAKEN = 1_700_000_000.0


def written(path: Path, **parts: object) -> Path:
    dump(Recording(answers=ANSWERS, taken=TAKEN, hostname="su1", **parts), path, "0.1")
    return path


@pytest.mark.parametrize("name", ["bundle", "bundle.tar.gz", "bundle.tgz"])
def test_what_is_written_is_read_back(tmp_path, name):
    back = load(written(tmp_path / name, failures={"rules": Failure("rules", "rules need root", "run with sudo")}))
    assert (back.taken, back.hostname, back.live) == (TAKEN, "su1", False)
    assert back.json("docker/version.json") == {"Version": "29.7.2"}
    assert back.json("ip/route4.json") == [{"dst": "default"}]
    assert back.container_answers("web") == {"listeners.txt": ""}
    assert back.failures["rules"] == Failure("rules", "rules need root", "run with sudo")
    assert back.failures["neighbours"].reason == "not in this recording"
    assert "sysctls" not in back.failures


def test_an_existing_bundle_is_never_overwritten(tmp_path):
    for name in ("bundle", "bundle.tar.gz"):
        written(tmp_path / name)
        with pytest.raises(NetdashError, match="exists") as caught:
            written(tmp_path / name)
        assert caught.value.code is Exit.REFUSED


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NetdashError, match="cannot write"):
        written(tmp_path / "file" / "bundle")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not a netdash bundle"),
        ({"docker/inspect.json": '[{"Id": "a"'}, "docker/inspect.json is not JSON"),
        ({"docker/inspect.json": "[" * 100_000}, "is not JSON"),
        ({META: "{", "host/sysctl.txt": ""}, "netdash.json is not JSON"),
        ({META: '{"schema": 2}', "host/sysctl.txt": ""}, "has schema 2"),
        ({META: "[]", "host/sysctl.txt": ""}, "has schema None"),
    ],
)
def test_a_broken_bundle_is_one_line(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(NetdashError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in caught.value.message


def test_what_is_missing_or_no_archive_is_one_line(tmp_path):
    (tmp_path / "text.tar.gz").write_text("not an archive")
    for name in ("absent", "text.tar.gz"):
        with pytest.raises(NetdashError, match="cannot read") as caught:
            load(tmp_path / name)
        assert "\n" not in caught.value.message


def test_what_was_probably_meant_is_named(tmp_path):
    written(tmp_path / "tuesday.tar.gz")
    with pytest.raises(NetdashError) as caught:
        load(tmp_path / "teusday.tar.gz")
    assert caught.value.hint == f"did you mean {tmp_path}/tuesday.tar.gz?"
    with pytest.raises(NetdashError) as caught:
        load(tmp_path / "none" / "tuesday.tar.gz")
    assert "did you mean" not in caught.value.hint


def test_a_truncated_archive_is_told(tmp_path):
    whole = written(tmp_path / "whole.tar.gz").read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NetdashError, match="cannot read"):
        load(tmp_path / "half.tar.gz")


def test_an_archive_cannot_reach_outside(tmp_path):
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        for name in ("../../host/sysctl.txt", "/etc/passwd", "x/rules/nft.json"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"{}\n"))
    assert set(load(tmp_path / "evil.tar.gz").answers) == {"host/sysctl.txt", "rules/nft.json"}


@pytest.mark.parametrize("name", ["web", "web-1.a_b"])
def test_names_that_docker_allows_have_a_place(name):
    assert container_path(name, "addr.json") == f"containers/{name}/addr.json"


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden", "a..b", "x" * 300, "a\nb"])
def test_other_names_have_none(name):
    assert container_path(name, "addr.json") is None


SECRET = "hunter2"  # the value that must never be kept


def test_no_secret_is_kept_or_written(tmp_path):
    answers = {
        "docker/inspect.json": [
            {
                "Id": "a",
                "Args": [SECRET],
                "Config": {"Env": [f"PASSWORD={SECRET}"], "Cmd": [SECRET], "Labels": {"token": SECRET}},
                "HostConfig": {"Binds": [SECRET]},
            }
        ],
        "docker/containers.json": [{"Id": "a", "Command": SECRET, "Labels": {"token": SECRET}}],
        "docker/info.json": {"Name": "su1", "HttpProxy": f"http://u:{SECRET}@proxy"},
    }
    (tmp_path / "raw" / "docker").mkdir(parents=True)
    for name, answer in answers.items():
        (tmp_path / "raw" / name).write_text(json.dumps(answer))
    loaded = load(tmp_path / "raw")
    assert SECRET not in repr(loaded)
    dump(Recording(answers=answers), tmp_path / "direct", "0.1")
    assert not [file for file in (tmp_path / "direct").rglob("*.json") if SECRET in file.read_text()]


def test_json_of_an_answer():
    recording = Recording(answers={"a.json": "", "b.json": "{", "c.json": {"x": 1}})
    assert recording.json("a.json") is None
    assert recording.json("missing.json") is None
    assert recording.json("c.json") == {"x": 1}
    assert recording.text("c.json") is None
    with pytest.raises(NetdashError, match="not JSON"):
        recording.json("b.json")
