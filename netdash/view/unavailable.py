"""What could not be read, why, and how to get it: the failures that concern a view or a card, in words."""

from __future__ import annotations

from collections.abc import Iterable

from netdash.model.engine_state import Place
from netdash.model.host import Container, Failure, Host
from netdash.model.source import Source
from netdash.view.text import clean

SILENT = 20.0  # seconds; an engine without events is asked every 10
_NAMES: dict[str, str] = {
    Source.INSIDE: "network namespaces of the containers",
    "netns": "numbers of network namespaces",
}
_PARTS = {
    "docker": ("docker", "engine", "containers", "networks", "events"),
    "links": ("links", "netns"),
    "routes": ("routes", "policy"),
}


def name(source: str) -> str:
    """What a source is called on screen."""
    return _NAMES.get(source, source)


def missing(host: Host, sources: Iterable[str]) -> list[Failure]:
    """Failures of these sources, and of their parts ("rules: nft" belongs to rules), each once."""
    wanted = {part for source in sources for part in _PARTS.get(source, (source,))}
    found = [failure for failure in host.failures.values() if failure.source.partition(":")[0] in wanted]
    if Source.FLOWS in wanted and host.flows is None and Source.FLOWS not in host.failures:
        found.append(Failure(Source.FLOWS, "not read" if host.live else "not in this recording"))
    if Source.INSIDE in wanted and Source.INSIDE not in host.failures and not all(map(_entered, host.containers or ())):
        found.append(Failure(Source.INSIDE, "not read" if host.live else "not in this recording"))
    if Source.DROPS in wanted and Source.DROPS not in host.failures:
        from netdash.join.drops import unread_parts

        names = {failure.source for failure in found}
        parts = [(part, why) for part, why in unread_parts(host) if part not in names and part != Source.RULES]
        found += [Failure(part, why) for part, why in parts]
    return found


def _entered(container: Container) -> bool:
    """Whether it is known who listens inside, or that is the host's own namespace, or another container's."""
    own = container.running and container.network_mode != "host" and not container.shares_with
    return not own or container.listeners is not None


def failures(host: Host, sources: Iterable[str]) -> list[Failure]:
    """The same for people: a host that cannot be reached is told once, not for each of its sources."""
    lost = host.failures.get("host")
    return [lost] if lost else missing(host, sources)


def waiting(host: Host) -> str:
    """Which sources have not answered yet; "" where all have."""
    sources = sorted(name(source) for source in host.pending)
    return f"reading {', '.join(sources)}…" if sources else ""


def reason(host: Host, source: str) -> str:
    """Why a value of this source is not known."""
    if source in host.pending:
        return "reading…"
    found = missing(host, (source,))
    return clean(found[0].reason, 120) if found else "not known"


def parts_unread(host: Host) -> list[str]:
    """What of the engine's answers is missing, or is no longer current, while the engine as a whole answers."""
    parts = _PARTS["docker"][1:]
    return [part.removeprefix("docker: ") for part in host.failures if part in parts or part.startswith("docker: ")]


def silent(host: Host) -> float | None:
    """For how many seconds the engine has neither answered nor sent an event, where that is longer than it should be;
    None where it was heard, or where nobody counts."""
    if not host.live or host.heard is None or host.taken is None:
        return None
    age = host.taken - host.heard
    return age if age > SILENT else None


def namespace(host: Host) -> str:
    """Whose network namespace the kernel's answers are of, where that is not the one netdash runs in; else ""."""
    process = host.process
    if process is None or process.place is not Place.ENTERED:
        return ""
    return f"devices, routes, rules and proxies are those of the network namespace of {clean(process.title, 80)}"


def sentence(failure: Failure) -> str:
    """One line: what, why · the remedy."""
    text = clean(f"{name(failure.source)}: {failure.reason}", 300)
    return f"{text} · {clean(failure.remedy, 200)}" if failure.remedy else text
