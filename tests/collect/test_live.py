"""The live reader as a whole: what is published when, what stays the same object, and what one command reads."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from netdash.bundle.recording import Recording
from netdash.collect import once
from netdash.collect import procfs as processes
from netdash.collect.answer_store import _GAP, AnswerStore
from netdash.collect.container_namespaces import Target, targets
from netdash.collect.live import LiveReader
from netdash.collect.once import Options, read_once
from netdash.collect.procfs import Proxies, belongs, read_sysctls
from netdash.engine.first_answer import FirstAnswers
from netdash.model.host import Failure
from netdash.model.processes import OWNERS, PROXIES, STOPPED
from netdash.model.source import AWAITED, Source
from tests.support.read_engines import FakeEngine, container, until


class Published:
    def __init__(self) -> None:
        self.all: list[tuple[float, Recording]] = []

    def __call__(self, recording: Recording) -> None:
        self.all.append((time.monotonic(), recording))

    def until(self, condition: Callable[[Recording], object], seconds: float = 10) -> tuple[float, Recording]:
        end = time.monotonic() + seconds
        while True:
            for when, recording in list(self.all):
                if condition(recording):
                    return when, recording
            assert time.monotonic() < end, "was not published in time"
            time.sleep(0.002)


# --- the store --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[tuple[AnswerStore, Published]]:
    store, published = AnswerStore(), Published()
    store.start(published)
    yield store, published
    store.stop()


def test_every_source_is_pending_until_it_answers_or_fails(store: tuple[AnswerStore, Published]) -> None:
    store[0].put("rules", {"rules/nft.json": "{}"})
    store[0].fail("docker", Failure("docker", "gone"))
    recording = store[0].recording()
    assert recording.pending == AWAITED - {"rules", "docker"}
    assert recording.failures == {"docker": Failure("docker", "gone")}
    assert recording.live


def test_a_failure_keeps_the_last_answers_and_an_answer_ends_it(store: tuple[AnswerStore, Published]) -> None:
    answer = [1]
    store[0].put("docker", {"docker/inspect.json": answer})
    store[0].fail("docker", Failure("docker", "gone"))
    assert store[0].recording().answers["docker/inspect.json"] is answer
    store[0].put("docker", {"docker/inspect.json": answer})
    assert store[0].recording().failures == {}


def test_the_same_objects_are_not_published_again(store: tuple[AnswerStore, Published]) -> None:
    answer = ["x"]
    store[0].put("links", {"ip/addr.json": answer})
    store[1].until(lambda recording: "ip/addr.json" in recording.answers)
    store[0].put("links", {"ip/addr.json": answer})
    time.sleep(0.08)
    assert len(store[1].all) == 1
    store[0].touch()
    store[1].until(lambda recording: recording is not store[1].all[0][1])


def test_a_burst_is_published_at_once_and_then_together(store: tuple[AnswerStore, Published]) -> None:
    began = time.monotonic()
    for number in range(200):
        store[0].put("links", {"ip/addr.json": [number]})
        time.sleep(0.0002)
    when, _ = store[1].until(lambda recording: recording.answers["ip/addr.json"] == [199])
    assert store[1].all[0][0] - began < 0.1
    assert len(store[1].all) <= 2 + (when - began) / _GAP
    assert all(recording.taken for _, recording in store[1].all)
    assert when - began < 2


# --- live -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def live(engine: FakeEngine) -> Iterator[Published]:
    published = Published()
    reader = LiveReader(engine.address, interval=60, limit=0.5, tool_limit=2)
    reader.start(published)
    yield published
    reader.stop()


def inspected(count: int) -> Callable[[Recording], bool]:
    def condition(recording: Recording) -> bool:
        answer = recording.answers.get("docker/inspect.json")
        return isinstance(answer, list) and len(answer) == count

    return condition


def test_a_start_is_published_soon_and_changes_no_other_answer(engine: FakeEngine, live: Published) -> None:
    live.until(inspected(3))
    live.until(lambda recording: not recording.pending)
    while not engine.listening():
        time.sleep(0.002)
    _, before = live.all[-1]
    new = container(4)
    engine.containers[new["Id"]] = new
    began = time.monotonic()
    engine.emit("container", "start", new["Id"])
    when, recording = live.until(inspected(4))
    assert when - began < 1
    old, now = before.answers["docker/inspect.json"], recording.answers["docker/inspect.json"]
    assert isinstance(old, list)
    assert isinstance(now, list)
    assert all(one is other for one, other in zip(old, now, strict=False))
    for path in ("docker/networks.json", "ip/addr.json", "ip/rule4.json"):
        assert recording.answers[path] is before.answers[path]


def test_stop_returns_at_once_though_the_engine_hangs(engine: FakeEngine) -> None:
    engine.mood = "hang"
    reader = LiveReader(engine.address, limit=0.5)
    reader.start(Published())
    time.sleep(0.05)
    began = time.monotonic()
    reader.stop()
    assert time.monotonic() - began < 0.1


def test_without_an_engine_the_rest_is_read(tmp_path: Path) -> None:
    published = Published()
    reader = LiveReader(f"unix://{tmp_path}/none.sock", interval=60)
    reader.start(published)
    _, recording = published.until(lambda recording: not recording.pending)
    reader.stop()
    assert recording.failures["docker"].reason.startswith("there is no Docker engine")
    assert recording.answers["ip/addr.json"]
    assert "host/listeners.txt" in recording.answers


def test_the_inside_of_containers_is_awaited_until_all_were_inspected(engine: FakeEngine) -> None:
    published = Published()
    reader = LiveReader(engine.address, interval=60)
    reader.start(published)
    published.until(lambda recording: Source.INSIDE not in recording.pending)
    reader.stop()
    inspected = [(len(one.answers.get("docker/inspect.json", [])), one.pending) for _, one in published.all]
    assert all(Source.INSIDE in pending for number, pending in inspected if number < len(engine.containers))
    assert inspected[-1][0] == len(engine.containers)


def test_rows_that_are_on_screen_stay_until_more_is_known(engine: FakeEngine) -> None:
    """They went blank to "reading docker…" and came again: keys were lost, and one met another row."""
    first = FirstAnswers(engine.address, 2).take()
    assert first is not None
    published = Published()
    reader = LiveReader(engine.address, interval=60, first=first)
    reader.start(published)
    published.until(lambda recording: "docker" not in recording.pending)
    reader.stop()
    listed = first.answers["docker/containers.json"]
    assert all(recording.answers["docker/containers.json"] == listed for _, recording in published.all)
    assert all(recording.heard is not None for _, recording in published.all)


def test_a_container_that_ends_after_the_first_answer_goes(engine: FakeEngine) -> None:
    first = FirstAnswers(engine.address, 2).take()
    published = Published()
    reader = LiveReader(engine.address, interval=60, first=first)
    reader.start(published)
    published.until(lambda recording: "docker" not in recording.pending and engine.listening())
    gone = next(iter(engine.containers))
    del engine.containers[gone]
    engine.emit("container", "destroy", gone)
    published.until(lambda recording: gone not in repr(recording.answers["docker/containers.json"]))
    reader.stop()


# --- one command ------------------------------------------------------------------------------------------------------


def test_a_command_reads_only_what_it_needs(engine: FakeEngine) -> None:
    recording = read_once(Options(frozenset(("docker", "sysctls")), engine.address, 2))
    assert {path.split("/")[0] for path in recording.answers} == {"docker", "host"}
    assert engine.calls["/containers/ID/json"] == 3
    assert recording.failures == {}
    assert recording.pending == frozenset()
    assert "hunter2" not in repr(recording.answers)


def test_an_engine_that_hangs_takes_its_limit_and_no_more(engine: FakeEngine) -> None:
    engine.mood = "hang"
    began = time.monotonic()
    recording = read_once(Options(frozenset(("docker", "sysctls")), engine.address, 0.2))
    assert time.monotonic() - began < 2
    assert "within 0.2 s" in recording.failures["docker"].reason
    assert "host/sysctl.txt" in recording.answers


def test_a_source_that_never_ends_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def stuck(_: Options) -> tuple[dict[str, object], dict[str, Failure]]:
        over.wait(10)
        return {"ip/addr.json": []}, {}

    monkeypatch.setattr(once, "_READ", dict.fromkeys((Source.LINKS, Source.ROUTES), stuck))
    recording = read_once(Options(frozenset(("links", "routes")), limit=0.05, tool_limit=0.1))
    over.set()
    assert recording.answers == {}
    assert set(recording.failures) == {"links", "routes"}
    assert recording.failures["links"].reason == "did not answer within 0.15 s"


def test_a_source_that_breaks_is_a_failure_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Options) -> tuple[dict[str, object], dict[str, Failure]]:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(once, "_READ", {Source.PROXIES: broken})
    assert read_once(Options(frozenset(("proxies",)))).failures == {
        "proxies": Failure("proxies", "RuntimeError: first line")
    }


# --- inside the containers --------------------------------------------------------------------------------------------


def test_whom_to_look_into() -> None:
    web = container(1, pid=4711)
    web["NetworkSettings"]["Ports"] = {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "80"}]}
    quiet, stopped, on_host = container(2, pid=4712), container(3, "exited"), container(4, pid=4713)
    quiet["NetworkSettings"]["Ports"] = {"80/tcp": None}
    on_host["HostConfig"]["NetworkMode"] = "host"
    web["NetworkSettings"]["Networks"] = {"front": {}, "back": {}}
    quiet["NetworkSettings"]["Networks"] = {"back": {}}
    broken = [
        {"Id": 3},
        "x",
        {"Id": "a", "Name": "/short", "State": {"Pid": 5}},
        {"Id": "b" * 64, "Name": "/init", "State": {"Pid": 1}},
    ]
    assert targets([web, quiet, stopped, on_host, *broken]) == (
        Target(web["Id"], "c1", 4711, published=True, networks=2),
        Target(quiet["Id"], "c2", 4712, published=False, networks=1),
    )
    assert targets(None) == ()


def test_a_process_that_is_not_the_containers_is_not_looked_into() -> None:
    """Its id may have come back as another process, or have been one of another machine."""
    assert not belongs(os.getpid(), "f" * 64)
    assert not belongs(2**22 + 1, "f" * 64)


# --- processes and sysctls --------------------------------------------------------------------------------------------


def test_a_docker_proxy_is_found_and_its_end_noticed(tmp_path: Path) -> None:
    program = tmp_path / "docker-proxy"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    argv = ["/usr/bin/docker-proxy\n\x1b[31m", "30"]
    proxies = Proxies()
    proxies.read()
    with subprocess.Popen(argv, executable=program) as process:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            pass  # the program has been started when its arguments are there
        found = proxies.read()
        process.kill()
    assert f"{process.pid} {os.getpid()} /usr/bin/docker-proxy \x1b[31m 30\n" in str(found[PROXIES])
    sizes = dict(line.split() for line in str(found["host/memory.txt"]).splitlines())
    assert int(sizes[str(process.pid)]) > 0
    user, mode = os.geteuid(), program.stat().st_mode & 0o7777
    assert f"{process.pid} {user} {user}:{mode:o} {pwd.getpwuid(user).pw_name}\n" in str(found[OWNERS])
    assert str(found[OWNERS]).startswith(f"self {user} - ")
    assert not [text for text in proxies.read().values() if str(process.pid) in str(text).split()]


def test_a_docker_proxy_that_is_stopped_is_told_at_once(tmp_path: Path) -> None:
    program = tmp_path / "docker-proxy"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    proxies = Proxies()
    with subprocess.Popen([program, "30"]) as process:
        try:
            until(lambda: str(process.pid) in str(proxies.read()[OWNERS]).split(), 10)
            process.send_signal(signal.SIGSTOP)
            until(lambda: str(process.pid) in str(proxies.read()[STOPPED]).split(), 10)
            process.send_signal(signal.SIGCONT)
            until(lambda: str(process.pid) not in str(proxies.read()[STOPPED]).split(), 10)
        finally:
            process.kill()


def test_a_process_is_looked_at_again_when_it_has_become_a_proxy(tmp_path: Path) -> None:
    """The engine forks first and starts docker-proxy then: a look between the two sees another program."""
    program = tmp_path / "docker-proxy"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    proxies = Proxies()
    proxies.read()
    late = ["sh", "-c", f"read _; exec {program} 30"]
    with subprocess.Popen(late, stdin=subprocess.PIPE, text=True) as process:
        assert str(process.pid) not in str(proxies.read()[PROXIES])
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        while b"docker-proxy\0" not in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b" ")[0]:
            pass
        lines = proxies.read()[PROXIES]
        process.kill()
    assert f"{process.pid} {os.getpid()} {program} 30\n" in str(lines)


def test_a_number_that_another_process_took_over_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by its start time as well: only what is new is looked at."""
    looked: list[int] = []
    look = processes._look

    def counted(pid: int) -> object:
        looked.append(pid)
        return look(pid)

    monkeypatch.setattr(processes, "_look", counted)
    monkeypatch.setattr(processes, "_port_holder", lambda pid: "docker-proxy" if pid == os.getpid() else "")
    monkeypatch.setattr(processes, "HOLDERS", frozenset({psutil.Process().name()}))
    proxies = Proxies(every=1000)
    for _ in range(4):
        proxies.read()
    assert looked == [os.getpid()] * 2
    monkeypatch.setattr(psutil.Process, "is_running", lambda _: False)
    proxies.read()
    assert looked == [os.getpid()] * 3


def test_sysctls_of_the_named_devices(tmp_path: Path) -> None:
    values = {
        "ipv4/ip_forward": "1",
        "ipv4/ip_local_port_range": "32768\t60999",
        "ipv4/conf/all/rp_filter": "2",
        "ipv4/conf/br0/forwarding": "0",
        "ipv4/conf/eth0.5/forwarding": "1",
        "ipv4/conf/other/forwarding": "1",
        "bridge/bridge-nf-call-iptables": "1",
    }
    for name, value in values.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert read_sysctls(["br0", "eth0.5", "..", "a/b"], tmp_path).splitlines() == [
        "net.ipv4.ip_forward = 1",
        "net.ipv4.ip_local_port_range = 32768 60999",
        "net.bridge.bridge-nf-call-iptables = 1",
        "net.ipv4.conf.all.rp_filter = 2",
        "net.ipv4.conf.br0.forwarding = 0",
        "net.ipv4.conf.eth0/5.forwarding = 1",
    ]


def test_no_sysctls_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be read"):
        read_sysctls([], tmp_path)
