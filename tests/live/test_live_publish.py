"""Publish and take back on a real engine: both modes, TCP, UDP, IPv6, one address, a range; conflicts of each kind."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab import GATEWAY_IP, HOST_IP, HOST_IP6, IMAGE, OUTSIDE, Lab, until
from test_live_publish_killed import run

WEB, ECHO = "pub-web", "pub-echo"
MODES = ("forward", "recreate")


@pytest.fixture(scope="module")
def house(lab: Lab) -> Iterator[Lab]:
    lab.docker("network", "create", "--ipv6", "--subnet", "fd55::/64", "pub-six")
    script = "for p in 8001 8002; do httpd -p $p -h /www; done; echo hi >/www/index.html; exec httpd -f -p 80 -h /www"
    fast = ("--stop-signal", "KILL")
    lab.docker("run", "-d", "--name", WEB, *fast, "--network", "pub-six", IMAGE, "sh", "-c", script)
    server = ("chroot", "/host", sys.executable, str(OUTSIDE), "udp", "0.0.0.0", "5353")
    lab.docker("run", "-d", "--name", ECHO, *fast, "-v", "/:/host:ro", IMAGE, *server)
    assert until(lambda: ":80 " in lab.inside(WEB, "ss", "-Hltn") and ":5353 " in lab.inside(ECHO, "ss", "-Hlun"))
    yield lab
    lab.remove_containers()
    lab.docker("network", "rm", "pub-six")


def page(lab: Lab, url: str) -> str:
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{lab.host_ns}", "curl", "-sSg", "--noproxy", "*", "--max-time", "3", url],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def echoed(lab: Lab, address: str, port: int) -> str:
    program = (
        "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2);"
        f"s.connect(('{address}', {port})); s.send(b'over udp'); print(s.recv(99).decode())"
    )
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{lab.host_ns}", sys.executable, "-c", program], capture_output=True, text=True
    )
    return done.stdout.strip()


def keepers(lab: Lab) -> list[str]:
    """Command lines of netdash's own processes of this lab, and of the proxies that it started in its namespace."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            here = (entry / "ns" / "net").stat().st_ino == Path(f"/run/netns/{lab.host_ns}").stat().st_ino
        except OSError:
            continue
        if here and (
            words[0] == "netdash-proxy"
            or "netdash.apply.forward_daemon" in words
            or "netdash.apply.cleanup_daemon" in words
        ):
            found.append(" ".join(words))
    return found


def traces(lab: Lab) -> dict[str, Any]:
    """All that a publication could leave behind."""
    files = [path.name for path in (lab.folder / "state").rglob("*") if path.is_file() and path.name != "lock"]
    saved = lab.on_host("iptables-save").splitlines()
    return {
        "processes": keepers(lab),
        "files": files,
        "containers": sorted(lab.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()),
        "images": sorted(lab.docker("images", "--format", "{{.Repository}}").split()),
        "rules": sorted(line for line in saved if line.startswith("-A")),
        "sockets": lab.on_host("ss", "-Hltnu").count("\n"),
    }


def clean_again(lab: Lab, before: dict[str, Any]) -> None:
    assert until(lambda: not keepers(lab)), keepers(lab)
    after = traces(lab)
    for key, value in before.items():
        assert after[key] == value, key


CASES = {
    "tcp": (WEB, ("8080:80",), [("http://127.0.0.1:8080", "hi"), ("http://[::1]:8080", "hi")]),
    "bound": (WEB, ("8081:80", "--bind", HOST_IP), [(f"http://{HOST_IP}:8081", "hi"), ("http://127.0.0.1:8081", "")]),
    "ipv6": (WEB, ("8082:80", "--bind", HOST_IP6), [(f"http://[{HOST_IP6}]:8082", "hi"), ("http://[::1]:8082", "")]),
    "range": (WEB, ("9001-9002:8001-8002",), [("http://127.0.0.1:9001", "hi"), ("http://127.0.0.1:9002", "hi")]),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_published_and_taken_back(house: Lab, case: str, mode: str) -> None:
    name, words, pages = CASES[case]
    before = traces(house)
    done = run(house, 0, "netdash", "publish", name, *words, "--mode", mode, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["done"]
    assert all(proof["works"] for proof in answer["proof"])
    for url, text in pages:
        assert page(house, url) == text, url
    back = run(house, 0, "netdash", "undo", "--yes")
    assert back.returncode == 0, back.stderr
    assert page(house, pages[0][0]) == ""
    clean_again(house, before)


@pytest.mark.parametrize("mode", MODES)
def test_udp(house: Lab, mode: str) -> None:
    before = traces(house)
    done = run(house, 0, "netdash", "publish", ECHO, "53:5353", "--proto", "udp", "--mode", mode, "--yes")
    assert done.returncode == 0, done.stderr
    assert echoed(house, "127.0.0.1", 53) == "over udp"
    assert run(house, 0, "netdash", "undo", "--yes").returncode == 0
    assert echoed(house, "127.0.0.1", 53) == ""
    clean_again(house, before)


def test_a_forward_is_reached_from_outside_and_listed(house: Lab) -> None:
    assert house.netdash("publish", WEB, "8090:80", "--yes").returncode == 0
    assert house.fetch(f"http://{HOST_IP}:8090") == "hi"
    ports: Any = house.json("ports")["ports"]
    (entry,) = [one for one in ports if one["host_port"] == 8090 and one["host_ip"] == "0.0.0.0"]
    assert (entry["container"], entry["holder"]["kind"], entry["container_port"]) == (WEB, "netdash", 80)
    proxies: Any = house.json("proxies")["proxies"]
    assert {one["command"] for one in proxies if one["host_port"] == 8090} == {"netdash-proxy"}
    published: Any = house.json("published")["published"]
    assert [(one["container"], one["phase"]) for one in published] == [(WEB, "up")]
    part = house.netdash("unpublish", WEB, "8091", "--yes")
    assert part.returncode == 4
    assert house.netdash("unpublish", WEB, "8090", "--yes").returncode == 0
    assert keepers(house) == []


def test_a_forward_follows_its_container(house: Lab) -> None:
    house.httpd("pub-walks")
    assert house.netdash("publish", "pub-walks", "8091:80", "--yes").returncode == 0
    house.docker("stop", "-t", "0", "pub-walks")
    assert until(lambda: phase(house) == "waiting")
    house.docker("run", "-d", "--name", "pub-squats", IMAGE, "sleep", "1000")  # takes its address
    house.docker("start", "pub-walks")
    assert until(lambda: page(house, "http://127.0.0.1:8091") == "pub-walks")
    house.docker("network", "connect", "pub-six", "pub-walks")
    house.docker("network", "disconnect", "bridge", "pub-walks")
    assert until(lambda: page(house, "http://127.0.0.1:8091") == "pub-walks")
    house.docker("rm", "-f", "pub-walks", "pub-squats")
    assert until(lambda: not keepers(house) and phase(house) is None)


def phase(lab: Lab) -> str | None:
    published: Any = lab.json("published")["published"]
    return published[0]["phase"] if published else None


def test_a_forward_outlives_the_engine_and_is_taken_up_when_its_keeper_dies(house: Lab) -> None:
    assert house.netdash("publish", WEB, "8092:80", "--yes").returncode == 0
    published: Any = house.json("published")["published"]
    os.kill(published[0]["keeper_pid"], signal.SIGKILL)
    assert until(lambda: not keepers(house), 5)  # its proxies go with it: nobody would watch them
    assert phase(house) == "lost"
    assert house.netdash("recover").returncode == 1
    assert house.netdash("recover", "--finish").returncode == 0
    assert page(house, "http://127.0.0.1:8092") == "hi"
    assert house.netdash("undo", "--yes").returncode == 0


def test_a_forward_ends_by_itself(house: Lab) -> None:
    assert house.netdash("publish", WEB, "8093:80", "--for", "8s", "--yes").returncode == 0
    assert page(house, "http://127.0.0.1:8093") == "hi"
    assert until(lambda: not keepers(house) and phase(house) is None)


def test_the_old_container_goes_when_its_time_is_over(house: Lab) -> None:
    house.httpd("pub-grace", "--stop-signal", "KILL")
    old = house.docker("inspect", "-f", "{{.Id}}", "pub-grace")
    words = ("publish", "pub-grace", "8094:80", "--mode", "recreate", "--grace", "2s", "--yes")
    assert run(house, 0, "netdash", *words).returncode == 0
    assert until(lambda: old not in house.docker("ps", "-aq", "--no-trunc"))
    assert page(house, "http://127.0.0.1:8094") == "pub-grace"
    refused = house.netdash("unpublish", "pub-grace", "8094", "--yes")
    assert (refused.returncode, "--mode recreate" in refused.stderr) == (4, True)
    words = ("unpublish", "pub-grace", "8094", "--mode", "recreate", "--grace", "0", "--yes")
    assert run(house, 0, "netdash", *words).returncode == 0
    assert page(house, "http://127.0.0.1:8094") == ""
    house.docker("rm", "-f", "pub-grace")


# --- what is refused --------------------------------------------------------------------------------------------------


@contextmanager
def squatter(lab: Lab, address: str, port: int) -> Iterator[None]:
    """A process of the host that listens."""
    program = f"import socket; s = socket.create_server(('{address}', {port})); print('up', flush=True); input()"
    argv = ["nsenter", f"--net=/run/netns/{lab.host_ns}", sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        yield
        process.stdin.close()


def refusal(lab: Lab, *words: str) -> str:
    done = lab.netdash(*words, "--yes")
    assert done.returncode == 4, done.stderr
    return done.stderr


@pytest.mark.parametrize("mode", MODES)
def test_conflicts(house: Lab, mode: str) -> None:
    house.httpd("pub-live", "-p", "127.0.0.1:7001:80")
    house.httpd("pub-down", "-p", "7002:80")
    house.docker("stop", "-t", "0", "pub-down")
    house.on_host(*"iptables -t nat -A PREROUTING -p tcp --dport 7003 -j DNAT --to-destination 192.0.2.9:80".split())
    before = traces(house)
    more = ("--mode", mode)
    assert "held by container pub-live, docker-proxy" in refusal(house, "publish", WEB, "7001:80", *more)
    down = refusal(house, "publish", WEB, "7002:80", *more)
    assert "wanted by container pub-down, which is not running" in down
    assert "--force" in down
    assert "held by rule nat/PREROUTING" in refusal(house, "publish", WEB, "7003:80", *more)
    with squatter(house, "127.0.0.1", 7004):
        assert "held by python" in refusal(house, "publish", WEB, "7004:80", *more)
        assert house.netdash("publish", WEB, "7004:80", *more, "--bind", HOST_IP, "--dry-run").returncode == 0
    assert f"{GATEWAY_IP} is not an address of this host" in refusal(
        house, "publish", WEB, "7005:80", "--bind", GATEWAY_IP, *more
    )
    assert "pub-down is exited, not running" in refusal(house, "publish", "pub-down", "7006:80", *more)
    assert traces(house) == before
    house.on_host(*"iptables -t nat -D PREROUTING -p tcp --dport 7003 -j DNAT --to-destination 192.0.2.9:80".split())
    house.docker("rm", "-f", "pub-live", "pub-down")


def test_containers_that_cannot_be_published(house: Lab) -> None:
    house.docker("network", "create", "--internal", "pub-internal")
    starts = {
        "pub-host": ("--network", "host"),
        "pub-none": ("--network", "none"),
        "pub-shares": ("--network", f"container:{WEB}"),
        "pub-inner": ("--network", "pub-internal"),
        "pub-brief": ("--rm",),
        "pub-borrows": ("--volumes-from", "pub-brief"),
    }
    for name, options in starts.items():
        house.docker("run", "-d", "--name", name, *options, IMAGE, "sleep", "1000")
    reasons = {
        "pub-host": "uses the host's network",
        "pub-none": "has no network",
        "pub-shares": f"uses the network of {WEB}",
        "pub-inner": "network pub-internal is internal",
        "pub-brief": "started with --rm",
    }
    for name, reason in reasons.items():
        assert reason in refusal(house, "publish", name, "7010:80", "--mode", "recreate")
    shared = house.netdash("publish", WEB, "7010:80", "--mode", "recreate", "--dry-run")
    assert "make pub-shares anew in the network namespace of the new pub-web" in shared.stdout
    assert "pub-borrows takes its volumes" in refusal(house, "publish", "pub-brief", "7010:80", "--mode", "recreate")
    quiet = house.netdash("publish", ECHO, "7011:99", "--dry-run")
    assert "nothing listens on tcp port 99 of pub-echo now; what listens: 5353/udp" in quiet.stdout
    house.docker("rm", "-f", *starts)
    house.docker("network", "rm", "pub-internal")


def test_nothing_is_changed_unasked(house: Lab) -> None:
    before = traces(house)
    assert "nobody is here to agree" in house.netdash("publish", WEB, "7020:80").stderr
    assert "read-only" in house.netdash("--read-only", "publish", WEB, "7020:80", "--yes").stderr
    plan = house.netdash("publish", WEB, "7020:80", "--dry-run")
    assert (plan.returncode, plan.stdout.startswith("forward 7020 → pub-web 80/tcp")) == (0, True)
    chosen: Any = house.json("publish", WEB, "80", "--dry-run")["plan"]
    assert {one["host_port"] for one in chosen["ports"]} == {8080}
    assert answered(house, b"n\n", "publish", WEB, "7020:80") == 4
    assert traces(house) == before
    assert answered(house, b"y\n", "publish", WEB, "7020:80") == 0
    assert house.netdash("undo", "--yes").returncode == 0
    clean_again(house, before)


def answered(lab: Lab, answer: bytes, *words: str) -> int:
    """The exit code of a netdash on a terminal whose user types that."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        lab.netdash_argv(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=lab.environment, cwd=lab.folder
    ) as process:
        os.close(theirs)
        os.write(ours, answer)
        drain = threading.Thread(target=drained, args=(ours,), daemon=True)
        drain.start()
        code = process.wait(60)
    drain.join(5)
    os.close(ours)
    return code


def drained(handle: int) -> None:
    try:
        while os.read(handle, 4096):
            continue
    except OSError:
        return


# --- new containers, and many -----------------------------------------------------------------------------------------


def test_run_starts_a_container_and_undo_takes_it_away(house: Lab) -> None:
    command = 'CMD ["sh", "-c", "echo new >/www/index.html; exec httpd -f -p 80 -h /www"]'
    house.docker("commit", "--change", command, WEB, "pub/image")
    before = traces(house)
    done = run(house, 0, "netdash", "run", "pub/image", "-p", "127.0.0.1:7030:80", "--name", "pub-new", "--yes")
    assert done.returncode == 0, done.stderr
    assert page(house, "http://127.0.0.1:7030") == "new"
    assert "there is a container pub-new already" in refusal(house, "run", "pub/image", "--name", "pub-new")
    assert "is held by" in refusal(house, "run", "pub/image", "-p", "7030:80", "--name", "pub-newer")
    assert "cannot be pulled" in refusal(house, "run", "127.0.0.1:1/nowhere", "-p", "7031:80")
    assert run(house, 0, "netdash", "undo", "--yes").returncode == 0
    clean_again(house, before)
    house.docker("rmi", "pub/image")


def test_twenty_publications_leave_nothing(house: Lab) -> None:
    before = traces(house)
    for number in range(20):
        mode = "recreate" if number % 5 == 4 else "forward"
        done = run(house, 0, "netdash", "publish", WEB, f"{7100 + number}:80", "--mode", mode, "--yes")
        assert done.returncode == 0, done.stderr
        if number % 2:
            for _ in range(2):
                back = run(house, 0, "netdash", "undo", "--yes")
                assert back.returncode == 0, back.stderr
    clean_again(house, before)
