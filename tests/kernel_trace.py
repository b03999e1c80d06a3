"""What `nft monitor trace` printed while a packet passed: the first packet of each flow, by the rules that it met.

`python -m tests.kernel_trace FOLDER` compares every recorded host below FOLDER that has a kernel-trace.txt."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.trace.model import Origin, Question, Trace
from netdash.trace.tracer import trace

Met = tuple[str, str, str, bool, str, str | None]
"""family, table, chain, whether it is the policy, verdict, chain of a jump"""

_LINE = re.compile(r"trace id (\w+) (\w+) (\S+) (\S+) (packet:|rule|policy)(.*)$")
_VERDICT = re.compile(r"\(verdict (\w+)(?: (\S+))?\)$")
_FIELD = re.compile(r'(iif|oif|saddr|daddr|sport|dport) "?([^\s"]+)')


@dataclass(slots=True)
class Seen:
    """The first packet of one flow."""

    header: dict[str, str]  # as it came to the first hook
    met: list[Met] = field(default_factory=list)
    places: set[tuple[str, ...]] = field(default_factory=set)  # base chains it came to


def packets(path: Path) -> list[Seen]:
    """Flows in the order of their first packets. A retransmission, that comes to the same base chain again, is left
    out; br_netfilter gives one packet two trace ids, so ports and addresses tell the flow."""
    flows: dict[tuple[str, str], Seen] = {}
    here: dict[str, Seen | None] = {}
    for line in path.read_text("utf-8").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        number, family, table, chain, kind, rest = found.groups()
        if kind == "packet:":
            header = dict(_FIELD.findall(rest))
            flow = flows.setdefault((header["saddr"], header["sport"]), Seen(header))
            again = (family, table, chain) in flow.places
            flow.places.add((family, table, chain))
            here[number] = None if again else flow
            continue
        seen = here.get(number)
        if seen is None:
            continue
        verdict = _VERDICT.search(rest)
        word, to = (verdict[1], verdict[2]) if verdict else (rest.strip(), None)
        seen.met.append((family, table, chain, kind == "policy", word, to))
    return list(flows.values())


def asked(host: Host, header: dict[str, str]) -> Question:
    """The question that this packet answers: from a container where one has its source, else from outside."""
    src, dst = ip_address(header["saddr"]), ip_address(header["daddr"])
    owner = next(
        (one.id for one in host.containers or () for end in one.endpoints if src in {a.ip for a in end.addresses}), None
    )
    ports = {"sport": int(header["sport"]), "dport": int(header["dport"])}
    if owner:
        return Question(Origin.CONTAINER, dst, "tcp", container=owner, **ports)
    return Question(Origin.OUTSIDE, dst, "tcp", src=src, iif=header["iif"], **ports)


def said(answer: Trace) -> list[Met]:
    """The same of a prediction; nft's trace does not see the chains of iptables-legacy."""
    return [
        (step.family, step.table, step.chain, step.rule is None, step.verdict, step.to)
        for step in answer.steps
        if step.backend != "iptables-legacy" and step.sure and not step.inside
    ]


def agrees(host: Host, seen: Seen) -> bool:
    """Whether a prediction is what the kernel did, from the sender's own choice of a source to the last rule."""
    answer = trace(host, asked(host, seen.header))
    return said(answer) == seen.met and str(answer.steps[0].packet.src) == seen.header["saddr"]


def main() -> int:
    total = agreed = 0
    for path in sorted(Path(sys.argv[1]).glob("*/kernel-trace.txt")):
        host = Builder().build(load(path.parent))
        answers = [agrees(host, seen) for seen in packets(path)]
        total, agreed = total + len(answers), agreed + sum(answers)
        if not all(answers):
            print(f"{path.parent.name}: differs")
    print(f"{agreed} of {total} packets as the kernel traced them")
    return 0 if agreed == total else 1


if __name__ == "__main__":
    sys.exit(main())
