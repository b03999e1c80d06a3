"""Why ssh ended, in one line, and what can be done about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MOST = 200  # characters of a reason

_REMEDIES = (
    ("has changed and you have requested", "it is another host, or has a new key: ask its owner, then {forget}"),
    ("Host key verification failed", "log in once by hand and look at its key: {login}"),
    ("Too many authentication failures", "name the right key in ~/.ssh/config: IdentitiesOnly yes"),
    ("Permission denied", "netdash cannot type a password: give it a key ({copy_key}) or an agent"),
    ("Could not resolve hostname", "is the name right?"),
    ("Connection refused", "is sshd running there, on that port?"),
    ("timed out", "is the host up, and the way to it open?"),
    ("No route to host", "is the host up, and the way to it open?"),
    ("Network is unreachable", "is this host's own network up?"),
    ("MaxStartups", "sshd there, or on the way, is busy with other logins: MaxStartups in its sshd_config"),
    ("kex_exchange_identification", "sshd there, or on the way, closed it before the login: too many at once?"),
    ("sftp connections only", "this account may not run commands: name another one"),
    ("not available", "this account may not log in: name another one"),
    ("not found", "a POSIX shell is needed there"),
)
_DROPPED = ("kex_exchange_identification", "Exceeded MaxStartups", "Connection reset by peer")
_THROUGH = "UNKNOWN port 65535"  # so ssh names a host behind another one, of which only that one knows the trouble


class HostError(Exception):
    """The host could not be asked, in one line, and what can be done. `dropped`: sshd closed the connection before the
    login, as it does when too many begin at once."""

    def __init__(self, reason: str, remedy: str = "", dropped: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.dropped = dropped


def explained(log: str, errors: str, output: str, status: int, commands: dict[str, str]) -> HostError:
    """`log`: ssh's own words. `errors`: what else came as errors: of an ssh to a host on the way, banners, the shell
    there. `output`: what came instead of the collector's answer. `commands`: what stands in remedies, by name."""
    own, others = _lines(log), _lines(errors)
    through = any(_THROUGH in line for line in own)
    own = [line for line in own if _THROUGH not in line] or own
    reason = (_known(others) if through else "") or _known(own)
    if not reason and status == 255:
        reason = _known(others) or "".join((own or others)[-1:])
    if not reason:
        said = (_lines(output) or own or others)[-1:]
        reason = f"ssh ended with status {status}" + (f": {said[0]}" if said else "")
    remedy = next((hint for words, hint in _REMEDIES if words in reason), "")
    dropped = any(words in reason for words in _DROPPED)
    return HostError(reason.removeprefix("ssh: ")[:_MOST], remedy.format(**commands), dropped)


def _known(lines: Sequence[str]) -> str:
    """The line that says most: ssh's last words are often the least exact ones."""
    return next((line for words, _ in _REMEDIES for line in reversed(lines) if words in line), "")


def _lines(text: str) -> list[str]:
    lines: Iterable[str] = text.replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]
