"""Recorded hosts with few or many containers, well or broken, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from netdash.doctor.examine import examine
from netdash.join.host import Builder
from netdash.model.finding import Health, Mark, Standing
from netdash.model.host import Failure, Host
from tests.bench.many import many
from tests.support.tui_hosts import crowd

_OF_ITS_OWN = 2  # containers of the recording: c1 and web
_FEW = 30  # containers of the fleet whose findings a larger one has too
_TAKEN = 1_795_430_000.0  # on the day of the recording
_RULES = "rules/iptables-legacy-save.txt"
_PROJECTS = ("shop", "blog", "mail", None)
_BROKEN = "".join(f"[4:240] -A DOCKER-USER -d {ip}/32 -j DROP\n" for ip in ("172.17.0.2", "172.17.1.2"))


@cache
def fleet(count: int, broken: bool = False, root: bool = True) -> Host:
    """`broken`: two rules cut off web and job1; not `root`: without what only root can read."""
    if not count:
        return crowd(0)
    recorded = many(count - _OF_ITS_OWN)
    answers, failures = dict(recorded.answers), dict(recorded.failures)
    if broken:
        rules = str(answers[_RULES])
        end = rules.index("-A DOCKER-USER")
        start = rules.rindex("\n", 0, end) + 1
        answers[_RULES] = rules[:start] + _BROKEN + rules[start:]
    if not root:
        answers = {path: each for path, each in answers.items() if not path.startswith(("rules/", "containers/"))}
        failures["rules"] = Failure("rules", "rules need root", "run with sudo")
    made = replace(recorded, answers=answers, failures=failures, taken=_TAKEN, hostname="box3", privileged=root)
    host = Builder().build(made)
    grouped = (replace(one, compose=_PROJECTS[at // 3 % 4]) for at, one in enumerate(host.containers or ()))
    return replace(host, containers=tuple(grouped), live=True)


@cache
def health(count: int, broken: bool = False, root: bool = True) -> Health:
    """What is wrong with such a fleet: of a large one as of a smaller one, where the others are well."""
    some = examine(fleet(min(count, _FEW), broken, root))
    ids = [one.id for one in fleet(count, broken, root).containers or ()]
    return replace(some, standings={one: some.standings.get(one, Standing(Mark.OK, Mark.OK)) for one in ids})
