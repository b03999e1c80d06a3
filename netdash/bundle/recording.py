"""A recording: the raw answers of every source, by their paths in a bundle, and why the others are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from netdash.model.errors import NetdashError
from netdash.model.host import Failure
from netdash.model.source import CONTAINER_FILES
from netdash.parse.json_values import load_json

_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")

Answer = object
"""Decoded JSON (of a .json file) or text."""


@dataclass(frozen=True, slots=True)
class Recording:
    """`answers` by bundle path ("rules/nft.json"). A .json answer may be held as its text: `json()` decodes it."""

    answers: Mapping[str, Answer]
    failures: Mapping[str, Failure] = field(default_factory=dict)  # by source
    pending: frozenset[str] = frozenset()  # those of AWAITED whose first answer has not come yet
    taken: float | None = None
    hostname: str | None = None
    live: bool = False
    privileged: bool | None = None
    heard: float | None = None  # when a live engine last answered, or sent an event

    def text(self, path: str) -> str | None:
        """The answer as text; None when it was not read."""
        answer = self.answers.get(path)
        return answer if isinstance(answer, str) else None

    def json(self, path: str) -> Answer | None:
        """The answer decoded; None when it was not read or is empty. Raises NetdashError when it is not JSON."""
        answer = self.answers.get(path)
        if not isinstance(answer, str):
            return answer
        if not answer.strip():
            return None
        try:
            return load_json(answer)
        except ValueError as error:
            raise NetdashError(f"{path} is not JSON: {error}", "the recording may be cut off") from error

    def container_answers(self, name: str) -> Mapping[str, Answer]:
        """The answers from inside one container's network namespace, by file name."""
        prefix = f"containers/{name}/"
        found = ((file, self.answers.get(prefix + file)) for file in CONTAINER_FILES)
        return {file: answer for file, answer in found if answer is not None}


def container_path(name: str, file: str) -> str | None:
    """Where a container's answer lies in a bundle; None for a name that Docker would not allow."""
    return f"containers/{name}/{file}" if _CONTAINER_NAME.fullmatch(name) and ".." not in name else None
