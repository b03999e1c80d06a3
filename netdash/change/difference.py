"""Command lines as a person types them -> the changes that they would make, and who loses and who wins reach by these:
the reach matrices of a host before and after, compared pair by pair. Runs nothing, and refuses a command that cannot be
read with certainty."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from netdash.change import docker_command, ip_command, iptables_command, nft_command, routes
from netdash.change.apply import apply
from netdash.change.model import CannotModel, Change, ContainerChange, ContainerEdit, ContainerRun
from netdash.kernel.routing import OUTSIDE
from netdash.model.host import Host
from netdash.model.index import find_container, index_of
from netdash.model.numbers import decimal
from netdash.model.records import dataclass, replace
from netdash.trace.model import Aim, Matrix, Origin, Question, Reach, Sender, Trace
from netdash.trace.reachability import reach_of, reaching, reason
from netdash.trace.tracer import reaches

Read = Callable[[Host, list[str], str | None], tuple[Change, ...]]
"""(host, the words behind the tool's name, the container in whose network namespace it runs) -> changes."""


def read_command(host: Host, command: str) -> tuple[Change, ...]:
    """`host`: as it is when the command is given. Raises CannotModel, and NetdashError for a name that is not there."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CannotModel(f"{command!r} cannot be read: {error}") from error
    for word in words:
        divides = word.endswith(";") and words[0] != "nft"
        if word in _SHELL or divides or _EXPANDED.search(word):
            raise CannotModel(f"{word!r} is for a shell: write one command a word, each in quotes, as it is executed")
    words, container = _within(host, words[1:] if words[:1] == ["sudo"] else words)
    if not words:
        raise CannotModel("an empty command")
    tool = PurePosixPath(words[0]).name
    read = _TOOLS.get(tool)
    if read is None:
        raise CannotModel(f"what {tool!r} changes is not known", f"these are: {', '.join(sorted(_TOOLS))}")
    return read(host, words, container)


_SHELL = frozenset(("&&", "||", "|", "&", ">", ">>", "<", "<<"))
_EXPANDED = re.compile(r"\$[({A-Za-z]|`")


def _within(host: Host, words: list[str]) -> tuple[list[str], str | None]:
    """The command itself, and the container in whose network namespace it runs: of `docker exec` and `nsenter`."""
    tool = PurePosixPath(words[0]).name if words else ""
    if tool in docker_command.ENGINES and words[1:2] == ["exec"]:
        rest = words[2:]
        while rest and rest[0].startswith("-"):
            rest = rest[2 if rest[0] in ("-u", "--user", "-e", "--env", "-w", "--workdir") else 1 :]
        return rest[1:], find_container(host, rest[0] if rest else "").id
    if tool != "nsenter":
        return words, None
    pid, entered, at = None, False, 1
    while at < len(words) and words[at].startswith("-"):
        named = _NAMESPACE.fullmatch(words[at])
        entered |= words[at].startswith(("-n", "--net", "-a", "--all"))
        if words[at] in ("-t", "--target"):
            pid, at = decimal((words[at + 1 : at + 2] or [""])[0]), at + 1
        elif named:
            pid = decimal(named[1] or named[2] or "") or pid
        at += 1
    found = next((container for container in host.containers or () if entered and pid and container.pid == pid), None)
    if found is None:
        raise CannotModel(f"{' '.join(words[:at])}: of which container the network namespace is cannot be told")
    return words[at:], found.id


_NAMESPACE = re.compile(r"--net=/proc/(\d+)/ns/net|--target=(\d+)|-n|--net|--")

_TOOLS: Mapping[str, Read] = {
    **dict.fromkeys(iptables_command.TOOLS, iptables_command.read),
    **dict.fromkeys(docker_command.ENGINES, docker_command.read),
    "nft": nft_command.read,
    "ip": ip_command.read,
    "sysctl": routes.read_sysctl,
    "systemctl": docker_command.read_service,
    "service": docker_command.read_service,
}


# --- before and after -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """One sender and one port whose answer is another after the change. `to`: the container's name, "outside", None for
    this host's own; `by`: what stops it after the change, or stopped it before, or why it cannot be told."""

    sender: Sender
    aim: Aim
    to: str | None
    by: str


@dataclass(frozen=True, slots=True)
class Difference:
    """`unknown`: pairs whose answer before or after cannot be told, and may be another. `assumed`: sentences."""

    lost: tuple[Moved, ...]
    gained: tuple[Moved, ...]
    unknown: tuple[Moved, ...]
    assumed: tuple[str, ...] = ()
    complete: bool = True  # False where containers were not read: of those nothing is told


def what_if(host: Host, commands: Sequence[str]) -> Difference:
    """The commands in their order. Raises CannotModel, and NetdashError for a name that is not there."""
    return _ended(asking(host, commands))


def asking(host: Host, commands: Sequence[str]) -> Generator[None, None, Difference]:
    """The same in steps of one trace each, or less; a command is one step."""
    after = host
    changes: list[Change] = []
    for command in commands:
        made = read_command(after, command)
        after = apply(after, made, compare=False)
        changes += made
        yield
    return (yield from differing(host, after, tuple(assumptions(after, changes))))


def _ended(steps: Generator[None, None, Difference]) -> Difference:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            made: Difference = stop.value
            return made


def assumptions(after: Host, changes: Sequence[Change]) -> Iterator[str]:
    """What is taken for granted of containers that begin to run."""
    for change in changes:
        started = isinstance(change, ContainerChange) and change.edit is ContainerEdit.START
        for container in after.containers or ():
            ours = container.id == change.container if isinstance(change, ContainerChange) else False
            ours = (ours and started) or (isinstance(change, ContainerRun) and container.name == change.name)
            ports = ", ".join(
                dict.fromkeys(f"{binding.container_port}/{binding.proto}" for binding in container.bindings)
            )
            if ours and ports:
                yield f"{container.name} listens on {ports}: what its image starts is not known"


def difference(before: Host, after: Host, assumed: tuple[str, ...] = ()) -> Difference:
    return _ended(differing(before, after, assumed))


def differing(before: Host, after: Host, assumed: tuple[str, ...]) -> Generator[None, None, Difference]:
    """`difference` in steps."""
    was = _Answers(before, (yield from reaching(before)), "did not run before")
    now = _Answers(after, (yield from reaching(after)), "does not run")
    aims = dict.fromkeys((*was.aims, *now.aims, *_OUT))
    senders = {
        **{_key(sender): sender for sender in was.matrix.senders},
        **{_key(sender): sender for sender in now.matrix.senders},
    }
    routed = (before.routes, before.policy) != (after.routes, after.policy)
    lost: list[Moved] = []
    gained: list[Moved] = []
    unknown: list[Moved] = []
    for key, sender in senders.items():
        yield
        for aim in aims:
            if aim.kind == _OUTSIDE and sender.origin is Origin.OUTSIDE:
                continue
            old, new = was.answer(key, aim), now.answer(key, aim)
            if routed and sender.origin is Origin.OUTSIDE and old.reaches and new.reaches:
                old, new = was.from_internet(aim), now.from_internet(aim)
            if old.reaches is new.reaches and (old.reaches is not None or old.why == new.why):
                continue
            if old.reaches is None or new.reaches is None:
                found, by = unknown, new.why if new.reaches is None else old.why
            elif old.reaches:
                found, by = lost, new.why
            else:
                found, by = gained, old.why
            to = _OUTSIDE if aim.kind == _OUTSIDE else was.owner(aim) or now.owner(aim)
            found.append(Moved(sender, was.aim(aim) or now.aim(aim) or aim, to, by))
    return Difference(tuple(lost), tuple(gained), tuple(unknown), assumed, before.containers is not None)


_OUTSIDE = "outside"
_OUT = tuple(Aim(_OUTSIDE, "tcp", ip, 443) for ip in OUTSIDE.values())
"""Somebody on the Internet."""
_SenderKey = tuple[str, str | None]


def _key(sender: Sender) -> _SenderKey:
    return sender.name, sender.container


def _bare(aim: Aim) -> Aim:
    """A port by its address alone: whose it is may change."""
    return Aim("", aim.proto, aim.ip, aim.port)


class _Answers:
    """Of one host: what each sender is told of each port, also of a port that this host does not have."""

    def __init__(self, host: Host, matrix: Matrix, absent: str) -> None:
        """`absent`: what is said of a sender that is not here."""
        self._host = host
        self._absent = absent
        self.matrix = matrix
        self._by_aim = self.matrix.by_aim()
        self._senders = {_key(sender): at for at, sender in enumerate(self.matrix.senders)}
        self._places: dict[Aim, int] = {}
        for at, aim in enumerate(self.matrix.aims):
            self._places.setdefault(_bare(aim), at)
        self._sender_class = _places(self.matrix.sender_classes)
        self._aim_class = _places(self.matrix.aim_classes)
        self._asked: dict[tuple[int, Aim], Reach] = {}

    @property
    def aims(self) -> tuple[Aim, ...]:
        return tuple(self._places)

    def aim(self, bare: Aim) -> Aim | None:
        at = self._places.get(bare)
        return None if at is None else self.matrix.aims[at]

    def owner(self, bare: Aim) -> str | None:
        found = self.aim(bare)
        return index_of(self._host).name(found.container) if found is not None and found.container else None

    def answer(self, key: _SenderKey, bare: Aim) -> Reach:
        sender, at = self._senders.get(key), self._places.get(bare)
        if sender is None:
            return Reach(False, f"{key[0]} {self._absent}")
        if at is None:
            return self._of_others(sender, bare)
        cell = self._by_aim[at].get(sender) or self.matrix.cells[self._sender_class[sender]][self._aim_class[at]]
        if cell is None:
            return Reach(None, "cannot be told")
        return cell.reach if cell.reach.reaches else self.matrix.said(cell, sender, at)

    def from_internet(self, aim: Aim) -> Reach:
        """Where no route leads to the Internet any more, `outside` is a neighbour, whom the answer still finds."""
        question = Question(Origin.OUTSIDE, aim.ip, aim.proto, aim.port, src=OUTSIDE[aim.ip.version])
        return reach_of(reaches(self._host, question))

    def _of_others(self, sender: int, aim: Aim) -> Reach:
        """Traced for one of a class of senders: an address that is nobody's here is the same to all of them."""
        key = self._sender_class[sender], aim
        if key not in self._asked:
            one = self.matrix.senders[sender]
            question = Question(one.origin, aim.ip, aim.proto, aim.port, container=one.container)
            answer = reaches(self._host, question)
            self._asked[key] = _way_out(answer) if aim.kind == _OUTSIDE else reach_of(answer)
        return self._asked[key]


def _way_out(answer: Trace) -> Reach:
    """Who is outside answers what reaches him with an address that he can answer."""
    stops = answer.exchange.why if answer.verdict.arrives else answer.decided_by
    return replace(reach_of(answer), reaches=answer.answered, why=reason(stops))


def _places(classes: tuple[tuple[int, ...], ...]) -> Mapping[int, int]:
    return {member: at for at, members in enumerate(classes) for member in members}
