"""argparse as netdash needs it: errors of one line with what was probably meant; options that may stand on both sides
of the command."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from netdash.cli import printing
from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.view.text import safe

if TYPE_CHECKING:
    from pathlib import Path


class Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **{"width": printing.columns() - 2, **options})


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, and what was probably meant. `before_help` completes the help's texts."""

    before_help: Callable[[], None] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": Help, **options})

    def format_help(self) -> str:
        if self.before_help is not None:
            self.before_help()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        raise NetdashError(message, f"see: {self.prog} --help", Exit.USAGE)

    def refuse(self, message: str, word: str, known: Iterable[str]) -> NoReturn:
        raise NetdashError(message, did_you_mean(word, known) or f"see: {self.prog} --help", Exit.USAGE)

    def arguments(self) -> list[argparse.Action]:
        return self._actions

    def commands(self) -> dict[str, Parser]:
        found = next((action.choices for action in self._actions if action.dest == "command"), None)
        return dict(found) if isinstance(found, dict) else {}

    def _check_value(self, action: argparse.Action, value: str) -> None:
        """argparse lists all that may be chosen; of thirty commands that is no help."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if action.dest == "command":
            self.refuse(f"no command {value!r}", value, known)
        name = action.option_strings[-1] if action.option_strings else str(action.metavar)
        raise NetdashError(f"{name}: no {value!r}", did_you_mean(value, known) or ", ".join(known), Exit.USAGE)

    def check_leading(self, argv: Sequence[str]) -> None:
        """Refuses an unknown option before the command: argparse would take what follows for the command."""
        options = {option: action.nargs for action in self._actions for option in action.option_strings}
        words = iter(argv)
        for word in words:
            name, given, _ = word.partition("=")
            if not name.startswith("-"):
                return
            meant = [option for option in options if option.startswith(name)]
            if name.startswith("--") and not meant:
                self.refuse(f"unknown argument {word!r}", name, options)
            if meant and not given and options[meant[0]] is None:
                next(words, None)

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002
        """The help; argparse says nothing of a full disk."""
        printing.write(map(safe, message.splitlines()))


class Once(argparse.Action):
    """Refuses a second one: of two recordings only one would be shown."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        if self.const:
            parser.error(f"{option_string} names one recording, and is given twice")
        self.const.append(values)
        setattr(namespace, self.dest, values)


class Collected(argparse.Action):
    """A list that goes on where the command's own options follow: argparse would begin it anew."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        self.const.append(values)
        setattr(namespace, self.dest, self.const)


def path(text: str) -> Path:
    from pathlib import Path  # most commands name no file

    return Path(text)
