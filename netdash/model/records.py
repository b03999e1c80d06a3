"""Records: dataclasses that cost little until they are used. The standard library compiles six methods a class when a
module is loaded, two thirds of what netdash's start would take: here `__init__` is compiled for the first record of a
class, and the other methods are the same functions for all classes. `replace` copies a record."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn


class Field:
    """As `dataclasses.field`, without what netdash does not use."""

    __slots__ = ("compare", "default", "default_factory", "repr")

    def __init__(
        self,
        default: object = ...,  # ...: it has none
        default_factory: Callable[[], object] | None = None,
        compare: bool = True,
        repr: bool = True,  # noqa: A002
    ) -> None:
        self.default, self.default_factory, self.compare, self.repr = default, default_factory, compare, repr


if TYPE_CHECKING:
    from dataclasses import dataclass, field, replace
else:
    field = Field

    def dataclass(*, frozen: bool = False, slots: bool = False, eq: bool = True, init: bool = True) -> Any:
        """As `dataclasses.dataclass`, for classes whose annotations are not evaluated."""
        return lambda kind: _completed(kind, frozen, slots, eq, init)

    def replace(record: Any, **changes: Any) -> Any:
        """A copy with some fields changed, much faster than that of `dataclasses`: a trace makes a hundred. Of a class
        with slots and without __post_init__."""
        kind = type(record)
        made = _copier(kind)(record)
        try:
            for name, value in changes.items():
                setattr(made, name, value)
        except AttributeError:
            raise TypeError(f"{kind.__name__} has no {name}") from None
        made.__class__ = kind
        return made


__all__ = ["dataclass", "field", "replace"]


_UNWANTED = ("__dict__", "__weakref__")  # of a class with slots
_OFTEN = 20  # records of a class; for fewer it is not worth while to compile what makes them


def _completed(kind: Any, frozen: bool, slots: bool, eq: bool, init: bool) -> Any:
    """A class with slots is made anew, at once with all its methods: to set one afterwards costs as much as many."""
    given, own = (
        kind.__dict__,
        [name for name, value in kind.__annotations__.items() if not value.startswith("ClassVar")],
    )
    fields = dict(getattr(kind, "_fields", {}))
    for name in own:
        value = given.get(name, ...)
        fields[name] = value if isinstance(value, Field) else Field(value)
    methods: dict[str, Any] = {"__match_args__": tuple(fields), "__dataclass_fields__": _Fields(), "__repr__": _repr}
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
        if slots and not any(base.__dictoffset__ for base in kind.__bases__):
            methods["__reduce__"] = _reduced
    if eq:
        read = _reader([name for name, value in fields.items() if value.compare])
        methods["__eq__"] = _equal(read)
        if given.get("__hash__") is None:
            methods["__hash__"] = _hash(read) if frozen else None
    if slots:
        rest = {name: value for name, value in given.items() if name not in own and name not in _UNWANTED}
        named = {"__qualname__": kind.__qualname__, "__slots__": tuple(own), "_fields": fields}
        hashes = {"__hash__": methods["__hash__"]} if "__hash__" in methods else {}
        kind = type(kind)(kind.__name__, kind.__bases__, {**methods, **rest, **hashes, **named})
    else:
        kind._fields = fields
        for name, method in methods.items():
            if name not in given or name == "__hash__":
                setattr(kind, name, method)
    if init and "__init__" not in given:
        kind.__init__ = _first_init(kind, frozen)
    return kind


def _reader(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _first_init(kind: Any, frozen: bool) -> Callable[..., None]:
    """Makes the first records of a class without compiling anything. What is wrong is told by what is compiled."""
    names, made = tuple(kind._fields), 0

    def init(self: Any, *args: Any, **given: Any) -> None:
        nonlocal made
        made += 1
        if made > _OFTEN or not _is_made(self, kind._fields, names, args, given):
            kind.__init__ = _compiled(kind, frozen)
            kind.__init__(self, *args, **given)
        elif hasattr(kind, "__post_init__"):
            self.__post_init__()

    return init


def _is_made(
    record: Any, fields: dict[str, Field], names: tuple[str, ...], args: tuple[Any, ...], given: dict[str, Any]
) -> bool:
    """Whether the arguments are right, and the record has them."""
    values = dict(zip(names, args, strict=False))
    for name in names[len(args) :]:
        single = fields[name]
        if name in given:
            values[name] = given[name]
        elif single.default_factory:
            values[name] = single.default_factory()
        elif single.default is ...:
            return False
        else:
            values[name] = single.default
    if len(args) > len(names) or any(name not in fields or name in names[: len(args)] for name in given):
        return False
    for name, value in values.items():
        object.__setattr__(record, name, value)
    return True


def _compiled(kind: Any, frozen: bool) -> Callable[..., None]:
    scope: dict[str, Any] = {"_set": object.__setattr__, "_made": ...}
    parameters, body = ["self"], []
    for name, item in kind._fields.items():
        scope[f"_of_{name}"] = item.default_factory or item.default
        default = " = _made" if item.default_factory else "" if item.default is ... else f" = _of_{name}"
        parameters.append(f"{name}{default}")
        value = f"_of_{name}() if {name} is _made else {name}" if item.default_factory else name
        body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    body += ["self.__post_init__()"] if hasattr(kind, "__post_init__") else []
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body or ["pass"]), scope)  # noqa: S102
    made: Callable[..., None] = scope["__init__"]
    made.__qualname__ = f"{kind.__qualname__}.__init__"
    return made


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, value in self._fields.items() if value.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _equal(read: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, Any], bool]:
    return lambda self, other: read(self) == read(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(read: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    return lambda self: hash(read(self))


def _refuse(self: Any, name: str, value: object = None) -> NoReturn:  # noqa: ARG001
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change {name!r}")


def _reduced(self: Any) -> tuple[Any, ...]:
    """How it is pickled: what is restored is written past `_refuse`."""
    kind: Any = type(self)
    return _restored, (kind, kind.__match_args__, *[getattr(self, name) for name in kind._fields])


def _restored(kind: Any, names: tuple[str, ...], *values: Any) -> Any:
    """`names`: the fields where it was pickled. A netdash that was upgraded meanwhile may have others."""
    if names != kind.__match_args__:
        raise TypeError(f"{kind.__qualname__} has other fields here")
    made = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


@cache
def _copier(kind: Any) -> Callable[[Any], Any]:
    """Copies a record, as one of a class with the same fields whose records may be changed: to write past `_refuse`
    takes twice as long."""
    given = ((name, kind.__dict__.get(name)) for name in ("__slots__", "__orig_bases__"))  # the latter of a generic one
    named = {"__setattr__": object.__setattr__, **{name: value for name, value in given if value is not None}}
    scope: dict[str, Any] = {"new": object.__new__, "kind": type(kind)(kind.__name__, kind.__bases__, named)}
    body = [f"made.{name} = record.{name}" for name in kind._fields]
    exec("\n ".join(("def copied(record):", "made = new(kind)", *body, "return made")), scope)  # noqa: S102
    copied: Callable[[Any], Any] = scope["copied"]
    return copied


class _Fields:
    """What `dataclasses.asdict` and the like know a dataclass by, made when it is asked for: the names only."""

    def __get__(self, record: object, kind: Any) -> Any:
        import dataclasses

        made: Any = dataclasses.make_dataclass(kind.__name__, kind._fields)
        kind._like = made  # a class is a cycle of objects: dropped, it would be garbage that waits for the collector
        kind.__dataclass_fields__ = made.__dataclass_fields__
        return kind.__dataclass_fields__
