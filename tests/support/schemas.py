"""The published schema of the JSON that netdash prints: every document that a test reads is held against it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/schemas/netdash.schema.json").read_text("utf-8"))


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def valid(name: str, document: Any) -> Any:
    """The document itself. Raises AssertionError where it is not what the schema promises of `name`."""
    wrong = [f"{error.json_path}: {error.message[:300]}" for error in _validator(name).iter_errors(document)]
    assert not wrong, (name, wrong[:5])
    return document


def loads(name: str, text: str) -> Any:
    return valid(name, json.loads(text))
