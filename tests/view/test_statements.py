"""What plans and running changes say: every kind has words, and whoever says it gives the values that these need."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from string import Formatter

import pytest

from netdash.publish.statement import Kind, say
from netdash.view.statements import WORDS, refusal, text
from tests.conftest import ROOT


def _said() -> Iterator[tuple[Kind, set[str], bool]]:
    """(kind, names of its values, whether these are all) of every call of `say` that names its kind."""
    for folder in ("publish", "apply", "tui"):
        for path in sorted((ROOT / "netdash" / folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("say", "_say"):
                    kind = node.args[0] if node.args else None
                    if isinstance(kind, ast.Attribute) and node.func.id == "say":
                        names = {keyword.arg for keyword in node.keywords if keyword.arg}
                        yield Kind[kind.attr], names, len(names) == len(node.keywords)


def _needed(words: str | Callable[..., str]) -> set[str] | None:
    """None: any."""
    if isinstance(words, str):
        return {name for _, name, _, _ in Formatter().parse(words) if name}
    parameters = inspect.signature(words).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def test_every_kind_has_words() -> None:
    assert set(WORDS) == set(Kind)


def test_who_says_it_gives_the_values_of_its_words() -> None:
    said = list(_said())
    assert len(said) > 60
    wrong = [
        f"{kind}: {sorted(names)} for the words of {sorted(needed)}"
        for kind, names, whole in said
        if (needed := _needed(WORDS[kind])) is not None and (names != needed if whole else not names <= needed)
    ]
    assert not wrong


def test_braces_in_a_foreign_value_stay_as_they_are() -> None:
    assert text(say(Kind.STOP, container="{0}{container.__class__}")) == "stop {0}{container.__class__}"


@pytest.mark.parametrize(
    ("kind", "values", "forced"),
    [
        (Kind.LINKED, {"container": "web", "user": "db"}, True),
        (Kind.PORT_RESERVED, {"proto": "tcp", "at": "*:80", "container": None}, True),
        (Kind.AUTO_REMOVE, {"container": "web"}, False),
    ],
)
def test_only_what_may_be_forced_says_so(kind: Kind, values: dict[str, str], forced: bool) -> None:
    assert refusal(say(kind, **values)).endswith("(--force does it all the same)") is forced
