from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import ClassVar, Generic, TypeVar

import pytest

from netdash.model.packet import Packet
from netdash.model.records import dataclass, field, replace

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Ours:
    KIND: ClassVar[str] = "kind"
    name: str
    ports: tuple[int, ...] = ()
    notes: dict[str, str] = field(default_factory=dict, compare=False)
    hidden: int = field(default=7, compare=False, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    KIND: ClassVar[str] = "kind"
    name: str
    ports: tuple[int, ...] = ()
    notes: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)
    hidden: int = dataclasses.field(default=7, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class More(Ours):
    last: int = 3


@dataclass(frozen=True, slots=True)
class Holding(Generic[Kind]):
    held: Kind


@dataclass(slots=True)
class Changing:
    single: object


@dataclass(frozen=True, slots=True)
class Own:
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and self.name[:1] == other.name[:1]

    def __hash__(self) -> int:
        return 1


def test_a_record_is_what_the_standard_library_makes() -> None:
    for arguments in (("a",), ("a", (1, 2)), ("a", (1,), {"b": "c"}, 9)):
        ours, theirs = Ours(*arguments), Theirs(*arguments)
        assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
        assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
        assert hash(ours) == hash(theirs)
        assert ours == Ours(*arguments)
        assert ours != theirs
    assert Ours.__match_args__ == Theirs.__match_args__
    assert Ours.KIND == "kind"
    assert not hasattr(Ours("a"), "__dict__")


def test_what_is_not_compared_does_not_count() -> None:
    assert Ours("a", notes={"b": "c"}, hidden=1) == Ours("a")
    assert Ours("a", (1,)) != Ours("a")


def test_each_record_has_its_own_default() -> None:
    first, second = Ours("a"), Ours("a")
    first.notes["b"] = "c"
    assert second.notes == {}


def test_a_frozen_record_cannot_be_changed_and_another_can() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Ours("a").name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Ours("a").name
    changing = Changing(1)
    changing.single = 2
    assert changing == Changing(2)
    with pytest.raises(TypeError):
        hash(changing)


def test_a_wrong_argument_is_an_error_at_the_first_record_and_later() -> None:
    for _ in range(2):
        with pytest.raises(TypeError):
            Changing()  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            Changing(1, other=2)  # type: ignore[call-arg]


def test_fields_are_inherited_and_own_methods_stay() -> None:
    assert More("a", last=4) == More("a", (), {}, 7, 4) != More("a")
    assert repr(More("a")) == "More(name='a', ports=(), notes={}, last=3)"
    assert Own("ab") == Own("ac")
    assert len({Own("ab"), Own("b")}) == 2


def test_a_copy_is_what_dataclasses_make() -> None:
    packet = Packet(4, "tcp", sport=1, mark=7)
    assert replace(packet, dport=80, mark=0) == dataclasses.replace(packet, dport=80, mark=0)
    assert replace(packet) == packet
    assert replace(Changing(1), single=2) == Changing(2)
    assert replace(Ours("a"), ports=(1,)) == dataclasses.replace(Ours("a"), ports=(1,))
    assert replace(More("a", last=4), name="b") == More("b", last=4)
    assert replace(Holding(1), held=2) == Holding(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(Holding(1)).held = 3  # type: ignore[misc]


def test_a_field_that_is_not_there_is_refused() -> None:
    for record in (Packet(4), Ours("a")):
        with pytest.raises(TypeError):
            replace(record, colour="red")  # type: ignore[call-arg]


def test_a_record_with_other_fields_is_not_restored() -> None:
    text = pickle.dumps(More("web", (80,), {"a": "b"}, 5, 9))
    with pytest.raises(TypeError, match="other fields"):
        pickle.loads(text.replace(b"hidden", b"hiding"))


def test_a_record_that_cannot_be_changed_is_pickled_and_copied() -> None:
    record = More("web", (80,), {"a": "b"}, 5, 9)
    for made in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
        assert made == record
        assert (made.notes, made.hidden, made.last) == ({"a": "b"}, 5, 9)
        with pytest.raises(dataclasses.FrozenInstanceError):
            made.last = 1
