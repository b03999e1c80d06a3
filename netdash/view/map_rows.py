"""A network of the map as rows that have no width yet: what stands on each wire, in forms from long to short, and the
container at its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence

from netdash.model.finding import Finding, Mark
from netdash.model.host import Container, Proxy, Ref, Rule
from netdash.model.records import dataclass, replace
from netdash.model.relations import address_ref, ref_of
from netdash.trace.summary import Leaves, Outbound
from netdash.view import formatting, marks
from netdash.view.map import Block, Kind, Member
from netdash.view.map_wires import CALM, Exit, Stop, Wire
from netdash.view.text import Line, Span, Tone, clean, listed

FOLD = "fold"
"""The kind of a Ref that stands for several containers."""
NAMES = 60  # cells of names
WHOLE, BROKEN = "═", "┄"
_NAMED = 3  # containers that are named beside a way out; of more the number
_NAME = 3  # parts of a container's cell up to its name
_GLYPH_ONLY = 2  # the third form of what stops a wire


@dataclass(frozen=True, slots=True)
class Level:
    """How much is drawn. `few`: containers that fare alike and are still drawn one by one, None: all; `spoken`: the
    sentence of each finding, and not only where nothing else tells the reason; `coarse`: causes of one kind are one."""

    few: int | None = None
    spoken: bool = False
    coarse: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """`forms`: what stands on the wire, the longest first. `joint`: how it meets the trunk: in, out, broken (out, and
    stopped before it), shut (out, and it ends here), local (in, of this host alone), "" for no wire. `broken`: inwards,
    what is beyond the stop carries nothing. `note`: the reason, for where none of the first `telling` forms fits."""

    cell: Line = ()
    tree: str = " "
    forms: tuple[Line, ...] = ()
    joint: str = ""
    broken: bool = False
    note: Line = ()
    telling: int = 0
    extra: Line = ()  # a sentence where there is room for it


# --- one network ------------------------------------------------------------------------------------------------------


class Body:
    """A block as rows, of no width yet."""

    def __init__(
        self,
        block: Block,
        level: Level,
        unfolded: frozenset[str],
        uplinks: Collection[str],
        carried: Callable[[Iterable[Container]], Line] = lambda _: (),
    ) -> None:
        """`carried`: what containers receive and send, together."""
        self.block = block
        self.carried = carried
        self.uplinks = uplinks
        quiet = block.kind in (Kind.NONE, Kind.STOPPED) and block.mark in CALM
        self.level = replace(level, few=1) if quiet else level
        self.labels = _labels(block)
        self.rows: list[Row] = []
        self._told: set[str] = set()
        drawn = {part.finding.sentence for part in self._parts() if part.finding is not None}
        groups = [part for group in _groups(block.members, level.coarse) for part in self._split(group, unfolded)]
        for at, group in enumerate(groups):
            last = at + 1 == len(groups) and not block.guests
            tree = ("─" if last else "┬") if not at else "└" if last else "├"
            self._draw(group, tree, last, drawn)
        if block.guests:
            names = listed([clean(container.name, NAMES) for container in block.guests], NAMES)
            self.rows.append(Row((Span("also "), Span(""), Span(names, Tone.DIM)), "└" if self.rows else "─"))
        for exit_ in _exits(block.exits, self.level.few) if block.kind is not Kind.NONE else ():
            self.rows.append(self._exit(exit_))

    def _parts(self) -> Iterator[Wire | Exit]:
        yield from (wire for member in self.block.members for wire in member.wires)
        yield from self.block.exits

    def _split(self, group: Sequence[Member], unfolded: frozenset[str]) -> list[Sequence[Member]]:
        few = self.level.few
        if few is None or len(group) <= few or self._key(group) in unfolded:
            return [(member,) for member in group]
        return [group]

    def _key(self, group: Sequence[Member]) -> str:
        return f"{self.block.name} {group[0].container.id}"

    def _draw(self, group: Sequence[Member], tree: str, last: bool, drawn: set[str]) -> None:
        member = group[0]
        cell = _container(member) if len(group) == 1 else _several(group, Ref(FOLD, self._key(group)))
        rate = self.carried(member.container for member in group)
        cell = (*cell[:_NAME], *(span.with_text(f"  {span.text}") for span in rate), *cell[_NAME:])
        finding = member.finding
        more = len({member.finding.sentence for member in group if member.finding is not None}) - 1
        note = self._once(finding, more) if finding is not None and finding.sentence not in drawn else ()
        wires = [_merged([member.wires[at] for member in group]) for at in range(len(member.wires))]
        if not wires:
            self.rows.append(Row(cell, tree, note=note))
        for at, wire in enumerate(wires):
            row = self._wire(wire, more)
            below = " " if last else "│"
            self.rows.append(replace(row, cell=() if at else cell, tree=below if at else tree))
            if note and at + 1 == len(wires):
                self.rows.append(Row((), below, note=note))

    def _once(self, finding: Finding, more: int = 0) -> Line:
        """A finding's sentence, the first time that it is told of this network, and how many are like it."""
        if finding.sentence in self._told:
            return ()
        self._told.add(finding.sentence)
        words = f"{finding.sentence}; and {more} like it" if more > 0 else finding.sentence
        return (marks.glyph(finding.mark), Span(f" {words}", marks.TONES[finding.mark]))

    def _reasons(
        self, mark: Mark | None, stop: Stop | None, finding: Finding | None, more: int = 0
    ) -> tuple[Line, Line]:
        """(where nothing on the wire tells it, where there is room for it)."""
        sentence = self._once(finding, more) if finding is not None and (stop is None or self.level.spoken) else ()
        if stop is None or mark is None:
            return sentence, ()
        words = f"{stop.sender}: {stop.text}" if stop.sender else stop.text
        return (marks.glyph(mark), Span(f" {words}", _tone(mark), _rule_ref(stop.rule))), sentence

    def _wire(self, wire: Wire, more: int) -> Row:
        texts = [formatting.run_text(run) for run in formatting.fold(wire.ports)]
        ref = ref_of(wire.ports[0])
        short = (Span(listed(texts, 14), Tone.KEY, ref),)
        host = (Span("this host", Tone.DIM), Span(f" {WHOLE * 2} ", Tone.HOP)) if wire.local else ()
        long = (*host, Span(listed(texts, 30), Tone.KEY, ref))
        whole, alone, brief = _by(wire, True), _by(wire, True, other=False), _by(wire, False)
        early = wire.stop is not None and wire.stop.early
        pairs = ((long, whole), (long, alone), (long, brief), (short, brief), (short, ()))
        forms: list[Line] = []
        telling = 0
        for at, stop in enumerate(_stops(wire.mark, wire.stop)):
            telling = len(forms) if at == _GLYPH_ONLY else telling
            for ports, by in pairs[min(at, 3) :]:
                forms.append(_joined(ports, *((stop, by) if early else (by, stop)), early=early))
        note, extra = self._reasons(wire.mark, wire.stop, wire.finding, more)
        unsaid = wire.stop is None and bool(note)
        return Row(
            forms=tuple(forms),
            joint="local" if wire.local else "in",
            broken=wire.stop is not None and not wire.stop.sender,
            note=note,
            telling=0 if unsaid else telling or len(forms),
            extra=extra,
        )

    def _exit(self, exit_: Exit) -> Row:
        names = [clean(container.name, NAMES) for container in exit_.containers]
        some = 0 < len(names) < len(self.block.members)
        who = listed(names, NAMES) if len(names) <= _NAMED else f"{len(names)} containers"
        cell = (Span(f"◀ {who}", Tone.DIM),) if some else ()
        way = exit_.path
        family = (Span("IPv6 ", Tone.DIM),) if way.source is not None and way.source.version == 6 else ()
        note, extra = self._reasons(exit_.mark, exit_.stop, exit_.finding)
        stops = _stops(exit_.mark, exit_.stop)
        if way.leaves is Leaves.INTERNAL and exit_.mark in (*CALM, None):
            return Row(cell, " ", ((Span("internal: nothing leaves", Tone.DIM),),))
        if exit_.stop is not None and exit_.stop.text:
            forms = tuple((*family, *form) for form in stops)
            joint = "shut" if way.leaves is Leaves.NOWHERE and exit_.mark in CALM else "broken"
            return Row(cell, " ", forms, joint, note=note, telling=_GLYPH_ONLY, extra=extra)
        glyph = (*stops[0], Span(" ")) if stops[0] else ()
        forms = tuple((*family, *glyph, *form) for form in _leaving(exit_, self.uplinks))
        joint = "out" if way.leaves is not Leaves.NOWHERE else "shut" if exit_.mark in (*CALM, None) else "broken"
        return Row(cell, " ", forms, joint, note=note, telling=0 if note else len(forms), extra=extra)


def _tone(mark: Mark) -> Tone:
    return Tone.DIM if mark is Mark.OK else marks.TONES[mark]


def _rule_ref(rule: Rule | None) -> Ref | None:
    return ref_of(rule) if rule is not None else None


def _stops(mark: Mark | None, stop: Stop | None) -> tuple[Line, ...]:
    """What stands against a wire: with its word, without, and the glyph alone."""
    if mark is None or (stop is None and mark in CALM):
        return ((),)
    glyph = marks.glyph(mark)
    if stop is None:
        return ((glyph,),)
    tone, ref = _tone(mark), _rule_ref(stop.rule)
    sender = (Span(f" {stop.sender}:", Tone.DIM),) if stop.sender else ()
    word = (Span(f" {clean(stop.lead, 40).rstrip()}", tone),) if stop.lead else ()
    place = (Span(f" {clean(stop.place, 200)}", tone, ref),) if stop.place else ()
    return (glyph, *sender, *word, *place), (glyph, *sender, *(place or word)), (glyph,)


def _by(wire: Wire, whole: bool, other: bool = True) -> Line:
    """The rule or the proxy that takes packets to the container, and that of IPv6 where it is another."""
    if wire.own_socket:
        return (Span("its own socket", Tone.DIM),) if whole else ()
    first, second = wire.by, wire.also_by if other and whole else None
    also = (Span(", IPv6 ", Tone.DIM), *_taking(wire, second, whole)) if second is not None else ()
    return (*_taking(wire, first, whole), *also) if first is not None else ()


def _taking(wire: Wire, by: Rule | Proxy, whole: bool) -> Line:
    if isinstance(by, Proxy):
        name = clean(by.command, 24)
        return (Span(f"{name} {by.pid}" if whole else name, Tone.PLAIN, ref_of(by)),)
    verb = by.target.verb.name
    if not whole:
        return (Span(verb, Tone.PLAIN, ref_of(by)),)
    rules = {port.dnat.place: port.dnat for port in wire.ports if port.dnat is not None}
    same = [rule for rule in rules.values() if (rule.family, rule.chain) == (by.family, by.chain)]
    return Span(f"{verb} "), formatting.rule_evidence(sorted(same, key=lambda rule: rule.position))[0]


def _joined(*parts: Line, early: bool = False) -> Line:
    """Parts of a wire; beyond what stops it early it is broken."""
    line: list[Span] = []
    for at, part in enumerate(part for part in parts if part):
        if at:
            line.append(
                Span(f" {(BROKEN if early and at > 1 else WHOLE) * 2} ", Tone.DIM if early and at > 1 else Tone.HOP)
            )
        line += part
    return tuple(line)


def _leaving(exit_: Exit, uplinks: Collection[str]) -> tuple[Line, ...]:
    """By what a network's packets leave; the device where it is not one that is drawn."""
    way, other = exit_.path, exit_.path6
    more = (Span(f", and {exit_.others} like it", Tone.DIM),) if exit_.others else ()
    link = way.uplink.name if way.uplink is not None and way.uplink.name not in uplinks else ""
    device = (Span(" by ", Tone.DIM), Span(clean(link, 40), Tone.PLAIN, formatting.link_ref(link))) if link else ()
    if way.nat is not None:
        name = Span(f"{way.leaves.name} ", Tone.PLAIN, ref_of(way.nat))
        own = (Span("as "), _address(way), *((Span(", "), _address(other)) if other is not None else ()), *more)
        place = (Span("  "), Span(clean(way.nat.place, 80), Tone.DIM, ref_of(way.nat)))
        return (
            (name, *own, *place, *device),
            (name, *own, *device),
            (*own, *device),
            (Span("as "), _address(way), *more),
        )
    if way.leaves is Leaves.UNKNOWN:
        return ((Span("not known", Tone.UNKNOWN),),)
    words = _WORDS.get(way.leaves) or way.why
    return ((Span(clean(words, 80), Tone.DIM), *device), (Span(clean(words, 80), Tone.DIM),))


_WORDS = {
    Leaves.HOST: "as this host",
    Leaves.UNTRANSLATED: "with their own address",
}


def _address(way: Outbound) -> Span:
    own = way.leaves_as
    return Span(str(own), Tone.KEY, address_ref(own)) if own is not None else formatting.UNKNOWN


# --- its containers ---------------------------------------------------------------------------------------------------


def _groups(members: Sequence[Member], coarse: bool) -> list[list[Member]]:
    """Those that are drawn alike."""
    found: dict[Hashable, list[Member]] = {}
    for member in members:
        wires = tuple(_alike(wire, coarse) for wire in member.wires)
        one, finding = member.container, member.finding
        cause = finding and (finding.code if coarse else finding.sentence)
        state = one.state if one.running else ""
        found.setdefault((member.mark, cause, wires, state, one.shares_with is None), []).append(member)
    return list(found.values())


def _alike(wire: Wire, coarse: bool) -> Hashable:
    reason = wire.stop and (wire.stop.word if coarse else wire.stop.text)
    return wire.mark, reason, type(wire.by), wire.local, wire.own_socket


def _merged(wires: Sequence[Wire]) -> Wire:
    """Wires of several containers as one."""
    ports = tuple(port for wire in wires for port in wire.ports)
    return replace(wires[0], ports=ports, stop=_common([wire.stop for wire in wires]))


def _common(stops: Sequence[Stop | None]) -> Stop | None:
    """The first, and how many others there are that are not the same."""
    first, others = stops[0], len({stop.text for stop in stops if stop is not None}) - 1
    return replace(first, place=f"{first.place}, and {others} like it") if first is not None and others > 0 else first


def _exits(exits: Sequence[Exit], few: int | None) -> list[Exit]:
    """Where containers are folded, ways out of one kind are too."""
    found: dict[Hashable, list[Exit]] = {}
    for exit_ in exits:
        key: Hashable = (exit_.path.leaves, exit_.mark, exit_.stop and exit_.stop.word)
        found.setdefault(id(exit_) if few is None else key, []).append(exit_)
    return [exit_ for same in found.values() for exit_ in (same if few is None or len(same) <= few else [_one(same)])]


def _one(exits: Sequence[Exit]) -> Exit:
    everybody = {container.id: container for exit_ in exits for container in exit_.containers}
    common = _common([exit_.stop for exit_ in exits])
    return replace(exits[0], containers=tuple(everybody.values()), stop=common, others=len(exits) - 1)


def _container(member: Member) -> Line:
    """The glyph, the name, the address, and what listens or in which state it is."""
    one = member.container
    address = next((str(own.ip) for own in member.end.addresses), "") if member.end is not None else ""
    more = "" if one.state == "running" else one.state
    if one.shares_with:
        more = f"in the network of {clean(one.shares_with, NAMES)}"
    program = next((port.listener for wire in member.wires for port in wire.ports if port.listener), None)
    return (
        marks.lead(member.mark),
        Span(" "),
        Span(clean(one.name, NAMES), Tone.KEY, ref_of(one)),
        *((Span(f"  {address}"),) if address and not one.shares_with else ()),
        *((Span(f"  {more or clean(program or '', 24)}", Tone.DIM),) if more or program else ()),
    )


def _several(group: Sequence[Member], ref: Ref) -> Line:
    glyph = marks.lead(group[0].mark)
    names = [clean(member.container.name, NAMES) for member in group]
    return (
        glyph,
        Span(" "),
        Span(f"{len(group)} containers", Tone.KEY, ref),
        Span(f"  {listed(names, NAMES)}", Tone.DIM),
    )


def _labels(block: Block) -> list[Line]:
    """The name of a network, its counts, subnets and what is not as usual."""
    network = block.network
    name = {Kind.HOST: "host network", Kind.NONE: "no network", Kind.STOPPED: "not running"}.get(block.kind, block.name)
    lines: list[Line] = [(Span(clean(name, NAMES), Tone.KEY, ref_of(network) if network is not None else None),)]
    if network is None:
        return lines
    lines += [(Span(str(net), Tone.DIM),) for net in network.subnets]
    if network.driver != "bridge":
        lines.append((Span(clean(network.driver, 20), Tone.DIM),))
    device = network.bridge or network.parent or ""
    if device and device != network.name:
        lines.append((Span(clean(device, 20), Tone.DIM, formatting.link_ref(device)),))
    flags = formatting.network_flags(network)
    return [*lines, *((Span(flag, Tone.DIM),) for flag in flags.split(", ") if flag)]
