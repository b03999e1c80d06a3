"""The packet filter's rules as nft, iptables-save and iptables-legacy-save print them. Changes and parses nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from netdash.collect.answer_store import more_rights
from netdash.collect.command import find, run
from netdash.collect.netlink import generation
from netdash.model.host import Failure, FailureKind
from netdash.model.records import dataclass, field
from netdash.model.source import BY_PATH, COUNTING, Source, needs_root, not_installed, whole_failure
from netdash.parse.netfilter import is_xtables, nft_tables

NFT = "rules/nft.json"
_SLOW = 3  # nft is asked at every third poll where only it knows counters
_NEVER_CHANGED = 1  # base_seq of a namespace in which no nftables rule was ever made: nf_tables_init_net()
_NO_RULES = '{"nftables": []}'


@dataclass(frozen=True, slots=True)
class RuleFamily:
    """One IP version's tools and files."""

    tool: str
    legacy_names: Path
    name: str  # nft's word for it

    @property
    def answer(self) -> str:
        return f"rules/{self.tool}-save.txt"

    @property
    def legacy_answer(self) -> str:
        return f"rules/{self.tool}-legacy-save.txt"


_FAMILIES = (
    RuleFamily("iptables", Path("/proc/net/ip_tables_names"), "ip"),
    RuleFamily("ip6tables", Path("/proc/net/ip6_tables_names"), "ip6"),
)


@dataclass(slots=True)
class RuleReader:
    """`limit` in seconds for each tool. Keeps nft's answer while the kernel's generation of rules is the same, so that
    a poll costs only what has counters."""

    limit: float = 5.0
    find: Callable[[str], str | None] = find
    generation: Callable[[], int | None] = field(default_factory=lambda: generation)
    families: tuple[RuleFamily, ...] = _FAMILIES
    every_counter: bool = False  # also those of nft's own rules at every poll
    _answers: dict[str, object] = field(default_factory=dict)
    _failures: dict[str, Failure] = field(default_factory=dict)
    _tables: frozenset[tuple[str, str]] = frozenset()  # nft's: (family, name)
    _known: int | None = None
    _polls: int = 0

    def read(self) -> tuple[Mapping[str, object], Mapping[str, Failure]]:
        """Answers by bundle path, the same objects where nothing changed, and failures by source: "rules" when nothing
        could be read, "rules: TOOL" for a part."""
        self._failures = {}
        now = self.generation()
        self._polls += 1
        slow = self.every_counter or (self._polls % _SLOW == 0 and self._native)
        if NFT not in self._answers or now is None or now != self._known or slow:
            self._nft()
        # Asked for before the tools ran: a change in between is seen as a new generation by the next poll.
        self._known = now
        for family in self.families:
            self._saved(family)
        if not self._answers and self._failures:
            self._failures = {Source.RULES: whole_failure(Source.RULES, self._failures.values())}
        return dict(self._answers), dict(self._failures)

    def _nft(self) -> None:
        before = self._answers.get(NFT)
        if self.find("nft") is None and self.generation() == _NEVER_CHANGED:
            self._put(NFT, _NO_RULES)
            return
        self._keep(NFT, *BY_PATH[NFT].command)
        answer = self._answers.get(NFT)
        if isinstance(answer, str) and answer != before:
            self._tables = nft_tables(answer)

    @property
    def _native(self) -> bool:
        """Whether there are tables, and so counters, that only nft shows: those of Docker 29, netavark, firewalld."""
        return not all(map(is_xtables, self._tables))

    def _saved(self, family: RuleFamily) -> None:
        legacy = _legacy_tables(family.legacy_names)
        if legacy:
            self._keep(family.legacy_answer, f"{family.tool}-legacy-save", "-c")
        else:
            self._answers.pop(family.legacy_answer, None)
        if legacy is None:
            source = f"rules: {family.tool}-legacy"
            reason = f"only root can see whether {source[7:]} has rules"
            self._failures[source] = Failure(source, reason, more_rights(), FailureKind.NO_RIGHT)
        if NFT in self._answers and not any(is_xtables(table, (family.name,)) for table in self._tables):
            self._put(family.answer, "")  # there is no table that iptables-nft could show
            return
        explicit = f"{family.tool}-nft-save"
        if self.find(explicit):
            self._keep(family.answer, explicit, "-c")
        elif not (legacy and family.legacy_answer in self._answers):
            self._either(family)

    def _either(self, family: RuleFamily) -> None:
        """iptables-save without a variant in its name: its first line tells which one it is."""
        output = self._run(f"{family.tool}-save", "-c")
        if output is None:
            self._answers.pop(family.answer, None)
        elif "(nf_tables)" in output.partition("\n")[0]:
            self._put(family.answer, output)
        elif _legacy_tables(family.legacy_names) is not None:
            self._put(family.legacy_answer, output)

    def _keep(self, path: str, tool: str, *options: str) -> None:
        output = self._run(tool, *options)
        if output is None:
            self._answers.pop(path, None)
        else:
            self._put(path, output)

    def _put(self, path: str, text: str) -> None:
        if path in COUNTING or self._answers.get(path) != text:
            self._answers[path] = text

    def _run(self, tool: str, *options: str) -> str | None:
        source = f"rules: {tool.removesuffix('-save')}"
        path = self.find(tool)
        if path is None:
            self._failures[source] = not_installed(source, tool)
            return None
        output = run((path, *options), self.limit)
        if not output.problem:
            return output.text
        if needs_root(output.errors):
            self._failures[source] = Failure(source, _refused(), more_rights(), FailureKind.NO_RIGHT)
        else:
            self._failures[source] = Failure(source, f"{tool}: {output.problem}")
        return None


def _refused() -> str:
    return "rules need root" if os.geteuid() else "rules need CAP_NET_ADMIN"


def _legacy_tables(names: Path) -> tuple[str, ...] | None:
    """The registered tables of iptables-legacy; none where its module is not loaded. Reading this file is the only way
    to ask that registers none; None where that needs another right (CAP_NET_ADMIN is not enough)."""
    try:
        return tuple(names.read_text("ascii", "replace").split())
    except FileNotFoundError:
        return ()
    except OSError:
        return None
