"""Who will reach a port that is not published yet, as far as this host's state proves it; else it says what decides."""

from __future__ import annotations

from dataclasses import dataclass

from netdash.core.ledger import scope_of
from netdash.core.model import IP, Host, Ruleset, Scope
from netdash.core.publish.request import Mode


@dataclass(frozen=True, slots=True)
class Reach:
    """`yes` None: cannot be told from here; `why` says what decides."""

    who: str  # this host, its network, outside
    yes: bool | None
    why: str


def reach(host: Host, mode: Mode, ips: tuple[IP, ...]) -> tuple[Reach, ...]:
    """One line each for this host, its network and the world beyond, for a port bound to `ips`."""
    scopes = {scope_of(ip) for ip in ips}
    where = ", ".join("every address" if ip.is_unspecified else str(ip) for ip in ips if not _second(ip, ips))
    here = Reach("this host", True, f"by {'127.0.0.1' if Scope.ALL in scopes else where}")
    if scopes == {Scope.LOOPBACK}:
        closed = "bound to loopback"
        return here, Reach("its network", False, closed), Reach("outside", False, closed)
    yes, why = _filtered(host.ruleset) if mode is Mode.FORWARD else (None, _TRANSLATED)
    beyond = "routers and firewalls before this host decide; " + ("" if yes else why)
    return here, Reach("its network", yes, why), Reach("outside", None, beyond.removesuffix("; "))


def _second(ip: IP, ips: tuple[IP, ...]) -> bool:
    return ip.version == 6 and ip.is_unspecified and len(ips) > 1


_TRANSLATED = "Docker's rules let it in before ufw, firewalld zones and other input rules; DOCKER-USER can stop it"


def _filtered(ruleset: Ruleset | None) -> tuple[bool | None, str]:
    """Whether packets to this host's own sockets pass. Certain only where nothing is hooked there that could stop
    them."""
    if ruleset is None or not ruleset.complete:
        return None, "this host's input rules decide, and could not be read in full"
    hooked = [chain for chain in ruleset.chains if chain.hook in ("input", "prerouting", "ingress")]
    stopping = [one for one in hooked if one.policy == "drop" or (one.rules and _may_stop(one.kind, one.hook))]
    if not stopping:
        return True, "no rule of this host filters what comes in"
    names = ", ".join(dict.fromkeys(f"{one.table}/{one.name}" for one in stopping[:3]))
    return None, f"this host's input rules decide ({names}): ufw and firewalld count here"


def _may_stop(kind: str | None, hook: str | None) -> bool:
    """Translation of addresses does not concern a port that nobody translates: conflicts are looked for before."""
    return not (kind == "nat" and hook == "prerouting")
