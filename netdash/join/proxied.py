"""Which connection a userland proxy opened for which of its clients': for the kernel they are two. What belongs
together carried the same bytes, and the proxy's side came later. Where several would fit, nobody knows which it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netdash.model.host import Proxy, TrackedFlow
from netdash.model.kernel_state import ProxySocket
from netdash.model.records import dataclass

_QUIET = 50  # ms without a byte after which none is on its way within the proxy
_SLACK = 16  # ms between two times that may be the same: the kernel's clock has steps, and sockets are read in turn
_MOST = 40  # of one kind that are compared with each other
_CLOSED = ("TIME_WAIT", "CLOSE")
_OPEN = ("SYN_SENT", "SYN_RECV", "ESTABLISHED")
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two. `proxy`: which took it, of a client's."""

    entry: TrackedFlow
    proxy: Proxy | None = None
    socket: ProxySocket | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A client's connection with the proxy's own; `among`: of how many it is one that is not known."""

    front: Half
    back: Half | None = None
    among: int = 0


class ProxySockets:
    """The sockets of these proxies by their ends: others have the name of one only. `sockets` None: not read."""

    def __init__(self, sockets: Iterable[ProxySocket] | None, proxies: Iterable[Proxy]) -> None:
        self.read = sockets is not None
        pids = {proxy.pid for proxy in proxies}
        self._by_ends: dict[tuple[str, object, object], ProxySocket] = {
            (proxy_socket.proto, proxy_socket.local, proxy_socket.peer): proxy_socket
            for proxy_socket in sockets or ()
            if proxy_socket.pid in pids
        }

    def front(self, proxy: Proxy, entry: TrackedFlow) -> Half:
        ends = entry.original
        found = self._of(entry.proto, (ends.dst, ends.dport), (ends.src, ends.sport))
        return Half(entry, proxy, found if found is not None and found.pid == proxy.pid else None)

    def back(self, entry: TrackedFlow) -> Half:
        ends = entry.original
        return Half(entry, None, self._of(entry.proto, (ends.src, ends.sport), (ends.dst, ends.dport)))

    def _of(self, proto: str, local: object, peer: object) -> ProxySocket | None:
        return self._by_ends.get((proto, local, peer))


def joined(fronts: Sequence[Half], backs: Sequence[Half], read: bool) -> tuple[list[Joined], list[Half]]:
    """All clients' connections to one target, and those of the proxies' own that belong to none of them. `read`:
    whether the sockets of proxies are known."""
    made: list[Joined] = []
    alone: list[Half] = []
    for some, others, proved in _classes(fronts, backs, read):
        pairs, left, over = _pairs(some, others)
        made += [Joined(front, back) for front, back in pairs]
        if over and left and (proved or _as_many(left, over)):
            made += [Joined(front, among=len(over)) for front in left]
        else:
            made += map(Joined, left)
            alone += over
    return made, alone


def _classes(
    fronts: Sequence[Half], backs: Sequence[Half], read: bool
) -> Iterator[tuple[list[Half], list[Half], bool]]:
    """Those that may belong together, and whether it is proved that the second are a proxy's own."""
    seen: dict[int, list[Half]] = {}
    for back in backs:
        if back.socket is not None:
            seen.setdefault(back.socket.pid, []).append(back)
    if fronts and fronts[0].entry.proto != "tcp":  # one socket takes the datagrams of all clients
        own = [back for back in backs if back.socket is not None]
        proved = len(own) == len(fronts)
        yield list(fronts), own if proved else list(backs), proved
        if proved:
            yield [], [back for back in backs if back.socket is None], False
        return
    for pid in dict.fromkeys([*seen, *(front.socket.pid for front in fronts if front.socket is not None)]):
        mine = [front for front in fronts if front.socket is not None and front.socket.pid == pid]
        yield mine, seen.get(pid, []), True
    rest, others = ([half for half in halves if half.socket is None] for halves in (fronts, backs))
    if read:  # one that is open and no socket of a proxy is somebody else's
        yield [half for half in rest if half.entry.state in _OPEN], [], False
        yield [], [half for half in others if half.entry.state in _OPEN], False
        rest, others = ([half for half in halves if half.entry.state not in _OPEN] for halves in (rest, others))
    yield rest, others, False


def _pairs(fronts: list[Half], backs: list[Half]) -> tuple[list[tuple[Half, Half]], list[Half], list[Half]]:
    """What belongs together for certain, and what is left."""
    by_key: dict[Key, tuple[list[Half], list[Half]]] = {}
    for at, halves in enumerate((fronts, backs)):
        for half in halves:
            by_key.setdefault(_carried(half, at == 0), ([], []))[at].append(half)
    pairs: list[tuple[Half, Half]] = []
    left: list[Half] = []
    over: list[Half] = []
    for some, others in by_key.values():
        found = _forced(some, others) if len(some) == len(others) <= _MOST else []
        taken = {id(half) for pair in found for half in pair}
        pairs += found
        left += [half for half in some if id(half) not in taken]
        over += [half for half in others if id(half) not in taken]
    if len(left) == len(over) == 1 and _is_later(left[0].entry, over[0].entry) and are_as_open(left[0], over[0]):
        return [*pairs, (left[0], over[0])], [], []
    return pairs, left, over


def _as_many(fronts: list[Half], backs: list[Half]) -> bool:
    """Whether all may have one of the others, by which are open and which ended."""
    open_ones, ended = (
        [sum(half.entry.state in states for half in halves) for halves in (fronts, backs)]
        for states in (_OPEN, _CLOSED)
    )
    number = len(fronts)
    return number == len(backs) and open_ones[0] + ended[1] <= number and open_ones[1] + ended[0] <= number


def _carried(half: Half, front: bool) -> Key:
    """What both halves have in common: bytes there and back as far as they are still, or datagrams."""
    socket, counts = half.socket, half.entry.counts
    if half.entry.proto != "tcp":
        return () if counts is None else tuple(counted.packets for counted in counts)
    if socket is None:
        return ()
    received = socket.received if socket.received_ago >= _QUIET else None
    sent = socket.sent if socket.sent_ago >= _QUIET else None
    return (received, sent) if front else (sent, received)


def _forced(fronts: list[Half], backs: list[Half]) -> list[tuple[Half, Half]]:
    """As many of one kind as of the other: the pairs that all ways to pair them have in common."""
    mates = [[to for to, back in enumerate(backs) if _may_belong(front, back)] for front in fronts]
    owner: dict[int, int] = {}  # by a back its front
    if not all(_finds(at, mates, owner, set()) for at in range(len(fronts))):
        return []
    return [(fronts[at], backs[to]) for to, at in owner.items() if not _may_change(at, to, mates, owner)]


def _finds(at: int, mates: list[list[int]], owner: dict[int, int], tried: set[int]) -> bool:
    """Gives this one a back, for which others may have to take another one."""
    for to in mates[at]:
        if to not in tried:
            tried.add(to)
            if to not in owner or _finds(owner[to], mates, owner, tried):
                owner[to] = at
                return True
    return False


def _may_change(at: int, own: int, mates: list[list[int]], owner: dict[int, int]) -> bool:
    """Whether it may have another one, whose front takes another one, and so on until its own is taken."""
    seen, waiting = {at}, [owner[to] for to in mates[at] if to != own]
    while waiting:
        other = waiting.pop()
        if other in seen:
            continue
        if own in mates[other]:
            return True
        seen.add(other)
        waiting += [owner[to] for to in mates[other]]
    return False


def _may_belong(front: Half, back: Half) -> bool:
    if not _is_later(front.entry, back.entry):
        return False
    if front.entry.proto != "tcp":
        return _same_bytes(front.entry, back.entry)
    one, other = front.socket, back.socket
    if one is None or other is None:
        return are_as_open(front, back)
    if one.received is not None and other.sent is not None and other.sent_ago > one.received_ago + _SLACK:
        return False
    answered = one.sent is not None and other.received is not None and one.sent > 0
    return not answered or one.sent_ago <= other.received_ago + _SLACK


def are_as_open(front: Half, back: Half) -> bool:
    """Whether neither is at its end long before the other."""
    states = front.entry.state, back.entry.state
    return not any(here in _CLOSED and there in _OPEN for here, there in (states, states[::-1]))


def _is_later(front: TrackedFlow, back: TrackedFlow) -> bool:
    return front.age is None or back.age is None or back.age <= front.age


def _same_bytes(front: TrackedFlow, back: TrackedFlow) -> bool:
    one, other = front.original.dst, back.original.dst
    same = one is not None and other is not None and one.version == other.version  # headers of one size
    return not same or front.bytes == back.bytes
