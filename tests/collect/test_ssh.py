"""Reading by ssh: where a host may be named, what ssh is told, and what happens when it hangs, lies or ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from netdash.bundle.collector_stream import ASKED
from netdash.collect.hosts import named, read_hosts
from netdash.collect.ssh import DROPS, MAX_STARTING, Address, Session, address, read_remote
from netdash.collect.ssh_reason import HostError, explained
from netdash.model.errors import Exit, NetdashError
from netdash.model.source import SOURCES, Options
from tests.support.streams import ANSWERS, FILES, SLEEP, WHERE, saying, stream

# --- names and arguments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ssh://su1", Address("su1", "su1")),
        ("ssh://root@su1", Address("root@su1", "su1", "root")),
        ("ssh://root@su1:2222/", Address("root@su1:2222", "su1", "root", 2222)),
        ("ssh://10.0.0.1:22", Address("10.0.0.1:22", "10.0.0.1", None, 22)),
        ("ssh://me@[2001:db8::1]:22", Address("me@[2001:db8::1]:22", "2001:db8::1", "me", 22)),
        ("ssh://[fe80::1%eth0]", Address("[fe80::1%eth0]", "fe80::1%eth0")),
    ],
)
def test_a_host_is_named_by_an_address(text: str, wanted: Address) -> None:
    assert address(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "", "su1", "ssh://", "ssh://-oProxyCommand=x", "ssh://a@-b", "ssh://-a@b", "ssh://a b", "ssh://a;b", "ssh://a\n",
        "ssh://a\x1b[2J", "ssh://$(x)", "ssh://a:0", "ssh://a:65536", "ssh://a:22:22", "ssh://a/path", "ssh://a@b@c",
        "http://a", "ssh://a:-1", "ssh://é", "ssh://a" + "b" * 300,
    ],
)  # fmt: skip
def test_what_is_no_address_never_reaches_ssh(text: str) -> None:
    with pytest.raises(NetdashError) as caught:
        named([text])
    assert caught.value.code is Exit.USAGE
    assert "ssh://user@host" in caught.value.hint


def test_ssh_gets_a_list_of_arguments(ssh: Callable[[str], Path]) -> None:
    folder = ssh(ANSWERS)
    read_remote(
        address("ssh://root@su1:2222"), Options(sources=frozenset({"sysctls"}), docker_host="unix:///x y'z.sock")
    )
    told = (folder / "argv").read_text().splitlines()
    assert told[-7:] == ["-l", "root", "-p", "2222", "--", "su1", "sh"]
    assert told[0] == "-T"
    assert {"BatchMode=yes", "ConnectTimeout=8", "ControlMaster=no", "RemoteCommand=none"} <= set(told)


def test_hosts_that_are_named_twice_are_told_apart() -> None:
    assert [name for name, _ in named(["local", "ssh://a", ".", "ssh://a", "ssh://a"])] == [
        "local",
        "a",
        "local#2",
        "a#2",
        "a#3",
    ]


# --- one recording ----------------------------------------------------------------------------------------------------


def test_the_collector_runs_at_the_other_end(ssh: Callable[[str], Path]) -> None:
    ssh(f"echo 'Welcome!'; echo noise >&2; printf 'no newline'; {ANSWERS}")
    recording = read_remote(
        WHERE, Options(sources=frozenset({"sysctls", "docker"}), docker_host="unix:///no'where.sock")
    )
    assert "net.ipv4.ip_forward = " in str(recording.answers["host/sysctl.txt"])
    assert recording.failures["docker"].reason == "there is no Docker engine on unix:///no'where.sock"
    assert set(recording.answers) == {"host/sysctl.txt"}
    assert recording.live


@pytest.mark.parametrize(
    ("script", "reason", "remedy"),
    [
        (
            "echo 'me@su1: Permission denied (publickey).' >&2; exit 255",
            "Permission denied (publickey)",
            "ssh-copy-id su1",
        ),
        ("echo 'Host key verification failed.' >&2; exit 255", "Host key verification failed", "ssh su1"),
        (
            "echo 'Host key for su1 has changed and you have requested strict checking.' >&2; "
            "echo 'Host key verification failed.' >&2; exit 255",
            "has changed",
            "ssh-keygen -R su1",
        ),
        (
            "echo 'Authorised users only. Permission denied to others.' >&2; "
            "echo 'ssh: connect to host su1 port 22: Connection refused' > $(log_of \"$@\"); exit 255",
            "connect to host su1 port 22: Connection refused",
            "is sshd running",
        ),
        (
            "echo 'kex_exchange_identification: Connection closed by remote host' > $(log_of \"$@\"); "
            "echo 'Connection closed by UNKNOWN port 65535' > $(log_of \"$@\"); "
            "echo 'root@bastion: Permission denied (publickey).' >&2; exit 255",
            "Permission denied",
            "ssh-copy-id su1",
        ),
        ("echo 'ssh: connect to host su1 port 22: Connection refused' >&2; exit 255", "refused", "is sshd running"),
        ("echo 'ssh: Could not resolve hostname su1: x' >&2; exit 255", "Could not resolve", "is the name right?"),
        ("exit 255", "ended with status 255", ""),
        ("exit 0", "ended with status 0", ""),
        ("echo 'sh: not found' >&2; exit 127", "sh: not found", "a POSIX shell is needed"),
        ("echo 'This account is not available'; exit 1", "status 1: This account is not available", "may not log in"),
        ("echo 'This service allows sftp connections only.'; exit 1", "sftp connections only", "name another one"),
        ("echo 'welcome' >&2; exit 3", "ended with status 3: welcome", ""),
    ],
)
def test_a_host_that_cannot_be_asked_says_why(
    ssh: Callable[[str], Path], script: str, reason: str, remedy: str
) -> None:
    ssh(script)
    recording = read_remote(WHERE, Options(sources=frozenset(SOURCES)))
    assert recording.answers == {}
    assert reason in recording.failures["host"].reason
    assert remedy in recording.failures["host"].remedy
    assert set(recording.failures) == {"host", *SOURCES}


def test_a_host_that_hangs_is_given_up(ssh: Callable[[str], Path]) -> None:
    folder = ssh(f"echo $$ > {{}}; {SLEEP}".replace("{}", '$(dirname "$0")/pid'))
    recording = read_remote(WHERE, Options(sources=frozenset(SOURCES), host_limit=0.5))
    assert recording.failures["host"].reason == "did not answer within 0.5 s"
    assert not Path("/proc", (folder / "pid").read_text().strip()).exists()


def test_a_host_that_talks_for_ever_is_given_up(ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.collect.ssh.MAX_STREAM", 1 << 20)
    ssh("exec yes '|more'")
    assert read_remote(WHERE, Options(sources=frozenset(SOURCES))).failures["host"].reason == "sent more than 1 MiB"


def test_no_ssh_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netdash.collect.ssh.find", lambda _: None)
    assert read_remote(WHERE, Options(sources=frozenset(SOURCES))).failures["host"].remedy == "install openssh-client"


def test_what_a_remedy_tells_to_type_works_with_a_port() -> None:
    commands = Address("me@su1:2222", "su1", "me", 2222).commands()
    assert commands["login"] == "ssh -p 2222 me@su1"
    assert commands["copy_key"] == "ssh-copy-id -p 2222 me@su1"
    assert commands["forget"] == "ssh-keygen -R '[su1]:2222'"
    assert Address("v6", "fe80::1%eth0").there("ip -6 route show table 'a b'") == (
        "ssh fe80::1%eth0 'ip -6 route show table '\"'\"'a b'\"'\"''"
    )


def test_a_login_that_was_dropped_is_tried_again_at_once(
    ssh: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netdash.collect.ssh.again", lambda: 0.0)
    drop = "echo 'kex_exchange_identification: read: Connection reset by peer' >&2; exit 255"
    folder = ssh("")
    ssh(f'echo x >> {folder}/starts; [ "$(wc -l < {folder}/starts)" -ge 3 ] || {{ {drop}; }}; {ANSWERS}')
    assert "host" not in read_remote(WHERE, Options(sources=frozenset({"sysctls"}))).failures
    ssh(f"echo x >> {folder}/refused; {drop}")
    assert "too many at once" in read_remote(WHERE, Options(sources=frozenset({"sysctls"}))).failures["host"].remedy
    assert (folder / "refused").read_text() == "x\n" * DROPS


def test_no_more_than_eight_log_in_at_a_time(ssh: Callable[[str], Path]) -> None:
    folder = ssh("")
    count = f"ls -d {folder}/*.login | wc -l >> {folder}/counts"
    ssh(f"mkdir {folder}/$$.login; {count}; sleep 0.2; rmdir {folder}/$$.login; {ANSWERS}")
    found = read_hosts(named([f"ssh://h{at}" for at in range(20)]), Options(frozenset({"sysctls"})))
    assert not [one for one in found if "host" in one.failures]
    assert max(map(int, (folder / "counts").read_text().split())) <= MAX_STARTING


def test_a_banner_is_no_reason_when_the_line_breaks_later(ssh: Callable[[str], Path]) -> None:
    closed = "echo 'Connection to su1 closed by remote host.' >&2; exit 255"
    folder = ssh("")
    text = "\n".join(stream(FILES))
    once = f'sed "s/abc123/$mark/g" {folder}/text; read -r word; {closed}'
    saying(text, folder)
    ssh("echo 'Permission denied to all but members of the staff.' >&2; sleep 0.1; "
        f'while read -r word mark rest; do [ "$word" != collect ] || {{ {once}; }}; done')  # fmt: skip
    session = Session(WHERE)
    assert session.ask(ASKED).answers
    with pytest.raises(HostError, match="closed by remote host") as caught:
        session.ask(ASKED)
    assert caught.value.remedy == ""
    session.close()


def test_what_came_before_the_line_broke_is_kept(ssh: Callable[[str], Path]) -> None:
    text = "\n".join(stream(FILES, ["routes", "sysctls"]))
    folder = ssh("")
    ssh(saying(text[: text.index("net.ipv4")], folder).replace("; done", '; [ "$word" != collect ] || exit 0; done'))
    recording = read_remote(WHERE, Options(sources=frozenset({"routes", "sysctls"})))
    assert set(recording.answers) == {"ip/route4.json"}
    assert "cut off" in recording.failures["sysctls"].reason


def test_garbage_is_told_and_cleaned() -> None:
    error = explained("\x1b[2Jssh: x\r\n" * 1000 + "y" * 1000, "", "", 255, {})
    assert len(error.reason) <= 200


def test_slow_hosts_are_read_at_the_same_time(ssh: Callable[[str], Path]) -> None:
    """Each waits until all have been started: one after the other they would never end."""
    folder = ssh("")
    wait = f"mkdir {folder}/$$.d; until [ $(ls -d {folder}/*.d | wc -l) -ge 3 ]; do sleep 0.05; done; {ANSWERS}"
    ssh(wait)
    found = read_hosts(named(["ssh://a", "ssh://b", "ssh://c"]), Options(frozenset({"sysctls"})))
    assert [sorted(one.answers) for one in found] == [["host/sysctl.txt"]] * 3
