"""Commands that a user pastes into a shell, mostly as root: one line, which does what it says and no more."""

from __future__ import annotations

import re
import shlex

from netdash.view.text import SafeText, clean, safe

_OF_NFT = re.compile(r"[A-Za-z_.][A-Za-z0-9_./\\-]*")  # nft reads its arguments as one text of its own language


def command(template: str, *names: str) -> SafeText:
    """The template with a quoted name for each {}. A name that cannot be put there as it is gives a comment that says
    so: an escape in its place would name another thing, and a name that begins with - would be an option."""
    for name in names:
        if not name or name.startswith("-") or clean(name) != name:
            return _impossible(name)
    return safe(template.format(*map(shlex.quote, names)))


def nft_command(template: str, *names: str) -> SafeText:
    """The same for nft, where quotes of the shell do not keep a name from being syntax."""
    return next((_impossible(name) for name in names if not _OF_NFT.fullmatch(name)), None) or command(template, *names)


def _impossible(name: str) -> SafeText:
    return safe(f"# no safe command: the name {clean(repr(name), 60)} cannot be written in one")
