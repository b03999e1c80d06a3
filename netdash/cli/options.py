"""argparse as netdash needs it: errors of one line with what was probably meant; options that may stand on both sides
of the command."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import NoReturn

from netdash.cli import printing
from netdash.model.errors import Exit, NetdashError, did_you_mean
from netdash.view.text import safe


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, and what was probably meant."""

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
        if action.dest == "command" and action.choices is not None and value not in action.choices:
            self.refuse(f"no command {value!r}", value, map(str, action.choices))
        super()._check_value(action, value)

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
