"""Who runs a process decides whether it is the engine's: a name and arguments are anybody's choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from netdash.bundle.recording import Recording
from netdash.join.host import Builder
from netdash.model.engine_state import EngineProcess, Place
from netdash.model.host import Host, Port, Proxy
from netdash.model.processes import Owner, Owners, Standing, parse_owners
from netdash.model.relations import ref_of
from netdash.trace.model import Origin, Question, Verdict
from netdash.trace.tracer import trace
from netdash.view import detail, json_host
from netdash.view.views import BY_NAME

Recorded = Callable[[str], Recording]
NAME = "docker28.5-nft-full"
ENGINE = EngineProcess(700, "dockerd", Place.HERE, 0)
ROOTS, NOBODYS = (0, 0o755), (65534, 0o755)
PROXY = Proxy(
    pid=812,
    ppid=700,
    command="docker-proxy",
    argv="docker-proxy",
    proto="tcp",
    host_ip=ip_address("0.0.0.0"),
    host_port=80,
    container_ip=ip_address("172.17.0.2"),
    container_port=80,
)


def owners(uid: int, executable: tuple[int, int] | None) -> Owners:
    return Owners({812: Owner(uid, "somebody", executable)}, 0)


@pytest.mark.parametrize(
    ("uid", "executable", "parent", "standing"),
    [
        (0, ROOTS, 700, Standing.PROVED),
        (65534, NOBODYS, 700, Standing.FORGED),
        (65534, None, 700, Standing.FORGED),
        (0, NOBODYS, 700, Standing.FORGED),
        (0, (0, 0o775), 700, Standing.FORGED),
        (0, (0, 0o757), 700, Standing.FORGED),
        (0, ROOTS, 701, Standing.FORGED),
        (0, None, 700, Standing.OPEN),
        (0, ROOTS, None, Standing.OPEN),
    ],
)
def test_an_engines_own_proxy(
    uid: int, executable: tuple[int, int] | None, parent: int | None, standing: Standing
) -> None:
    """Without a `parent`, the engine's process is not known."""
    engine = ENGINE if parent is not None else None
    assert owners(uid, executable).standing(replace(PROXY, ppid=parent), engine) is standing


def test_a_rootless_engine_runs_its_proxies_as_its_user() -> None:
    rootless = replace(ENGINE, uid=1000)
    assert owners(1000, (1000, 0o755)).standing(PROXY, rootless) is Standing.PROVED
    assert owners(1000, (1000, 0o755)).standing(PROXY, ENGINE) is Standing.FORGED
    assert owners(1001, ROOTS).standing(PROXY, rootless) is Standing.FORGED


def test_a_guard_before_the_engine_starts_no_proxy() -> None:
    """What answers on the socket is then not the parent: nothing is known, and nothing is said against it."""
    guard = replace(ENGINE, command="haproxy")
    assert owners(0, ROOTS).standing(replace(PROXY, ppid=99), guard) is Standing.OPEN


def test_netdashs_own_forwarder_is_roots_or_the_readers() -> None:
    own = replace(PROXY, command="netdash-proxy", ppid=5)
    assert owners(0, ROOTS).standing(own, ENGINE) is Standing.PROVED
    assert Owners({812: Owner(1000, "u", (1000, 0o755))}, 1000).standing(own, ENGINE) is Standing.PROVED
    assert owners(1000, (1000, 0o755)).standing(own, ENGINE) is Standing.FORGED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("812 0 0:755 root\n", {812: Owner(0, "root", ROOTS)}),
        ("812 65534 - a name\nself 0 - root", {812: Owner(65534, "a name", None)}),
        ("812 0 0:999 root", {812: Owner(0, "root", None)}),
        ("812 0 x:755 root", {812: Owner(0, "root", None)}),
        ("812 x 0:755 root\n812\n\n99999999999 0 - root\n812 -1 - root\n812 0 0:755", {}),
    ],
)
def test_lines_of_owners(text: str, found: dict[int, Owner]) -> None:
    assert parse_owners(text).by_pid == found


def test_the_readers_own_line() -> None:
    assert parse_owners("self 1000 - me").reader == 1000
    assert parse_owners(None) == Owners({}, None)


# --- in every view ----------------------------------------------------------------------------------------------------


def with_forged(recording: Recording, line: str, sockets: str = "", without: str = "") -> Host:
    """The recorded host beside a process 9999 of nobody; `without`: the pid of a true proxy that is gone."""
    proxies = "".join(f"{one}\n" for one in str(recording.text("host/docker-proxy.txt")).splitlines())
    listeners = str(recording.text("host/listeners.txt"))
    if without:
        proxies = "".join(one for one in proxies.splitlines(keepends=True) if not one.startswith(f"{without} "))
        listeners = "".join(one for one in listeners.splitlines(keepends=True) if f"pid={without}," not in one)
    pids = [one.split()[0] for one in proxies.splitlines()]
    roots = "".join(f"{pid} 0 0:755 root\n" for pid in pids)
    answers = {
        **recording.answers,
        "host/docker-proxy.txt": f"{proxies}9999 1 {line}\n",
        "host/listeners.txt": listeners + sockets,
        "host/process-owner.txt": f"self 0 - root\n{roots}9999 65534 65534:755 nobody\n",
    }
    return Builder().build(replace(recording, answers=answers))


FORGED = "docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port {} -container-ip 172.17.0.2 -container-port 80"
SOCKET = 'tcp LISTEN 0 9 0.0.0.0:{} 0.0.0.0:* users:(("docker-proxy",pid=9999,fd=3))\n'


def port(host: Host, number: int) -> Port:
    return next(
        one for one in host.ports or () if (one.host_port, one.host_ip.version, one.proto) == (number, 4, "tcp")
    )


def test_a_forged_proxy_hides_no_true_one(recording: Recorded) -> None:
    before = Builder().build(recording(NAME))
    after = with_forged(recording(NAME), FORGED.format(8080))
    assert port(after, 8080) == port(before, 8080)
    assert after.proxies == before.proxies
    assert after.ports == before.ports
    assert after.drift == before.drift


def test_a_forged_proxy_is_shown_as_what_it_is(recording: Recorded) -> None:
    host = with_forged(recording(NAME), FORGED.format(4444), SOCKET.format(4444))
    (one,) = host.forged
    assert (one.pid, one.user, one.listeners and one.listeners[0].port) == (9999, "nobody", 4444)
    found = port(host, 4444)
    assert (found.proxy, found.target_ip, found.container_id) == (None, None, None)
    assert found.holder is not None
    assert (found.holder.kind, found.holder.command, found.holder.pid) == ("process", '"docker-proxy" of nobody', 9999)
    shown = "\n".join("".join(span.text for span in line) for line in detail.detail(host, found, 100))
    assert 'held by "docker-proxy" of nobody pid 9999: not the engine\'s' in shown
    view = BY_NAME["proxies"]
    row = next(row for row in view.rows(host) if row.ref == ref_of(one))
    cells = [cell.text for cell in row.cells]
    assert '"docker-proxy" of nobody' in cells
    assert "not the engine's" in cells
    (entry,) = (each for each in json_host.list_view(host, view, (one,))["proxies"])  # type: ignore[attr-defined]
    assert (entry["command"], entry["container"]) == ('"docker-proxy" of nobody', None)


def test_a_packet_is_not_traced_through_a_forged_proxy(recording: Recorded) -> None:
    host = with_forged(recording(NAME), FORGED.format(4444), SOCKET.format(4444))
    answer = trace(host, Question(Origin.HOST, ip_address("127.0.0.1"), "tcp", 4444))
    assert answer.verdict is Verdict.DELIVERED
    assert answer.then is None
    said = " ".join(hop.text for hop in answer.hops)
    assert '"docker-proxy" of nobody listens on 0.0.0.0:4444' in said


def test_a_port_that_a_forged_proxy_took_is_not_the_containers(recording: Recorded) -> None:
    """The true one is gone: what listens instead of it leads nowhere that is known."""
    whole = Builder().build(recording(NAME))
    true = port(whole, 8082).proxy
    assert true is not None
    line = FORGED.format(8082).replace("0.0.0.0", "127.0.0.1").replace("172.17.0.2", str(true.container_ip))
    socket = 'tcp LISTEN 0 9 127.0.0.1:8082 0.0.0.0:* users:(("docker-proxy",pid=9999,fd=3))\n'
    host = with_forged(recording(NAME), line, socket, without=str(true.pid))
    found = port(host, 8082)
    assert found.proxy is None
    assert found.holder is not None
    assert found.holder.forged


def test_a_proxy_without_a_socket_holds_no_port(recording: Recorded) -> None:
    given = recording(NAME)
    true = port(Builder().build(given), 8082).proxy
    assert true is not None
    listeners = str(given.text("host/listeners.txt")).splitlines(keepends=True)
    rest = "".join(one for one in listeners if f"pid={true.pid}," not in one)
    host = Builder().build(replace(given, answers={**given.answers, "host/listeners.txt": rest}))
    found = port(host, 8082)
    assert (found.proxy, found.holder and found.holder.kind) == (None, "rule" if found.dnat else "nobody")


def test_sockets_whose_owners_were_not_told_may_be_the_proxys(recording: Recorded) -> None:
    """A plain user is told of the own processes alone."""
    given = recording(NAME)
    listeners = str(given.text("host/listeners.txt"))
    bare = "".join(f"{line.partition('users:')[0].rstrip()}\n" for line in listeners.splitlines())
    own = 'tcp LISTEN 0 9 127.0.0.1:7777 0.0.0.0:* users:(("mine",pid=4,fd=3))\n'
    host = Builder().build(replace(given, answers={**given.answers, "host/listeners.txt": bare + own}))
    assert {one.listeners for one in host.proxies or ()} == {None}
    assert port(host, 8080).proxy is not None


def test_an_old_recording_means_what_it_meant(recording: Recorded) -> None:
    host = Builder().build(recording(NAME))
    assert host.forged == ()
    assert len(host.proxies or ()) == len(str(recording(NAME).text("host/docker-proxy.txt")).splitlines())
    assert port(host, 8080).holder == replace(port(host, 8080).holder, kind="docker-proxy", forged=False)  # type: ignore[type-var]
