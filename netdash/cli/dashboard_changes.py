"""What the dashboard may change on this host, handed to it by the command line. The first paint waits for what
this loads: it loads `apply` when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netdash.model.host import Host
    from netdash.publish.checks import Preflight
    from netdash.publish.journal import Outage, Outcome
    from netdash.publish.plan import Plan
    from netdash.publish.request import NewContainer, Request
    from netdash.publish.undo import Choice, Course, Damaged, Pending, Recovery, Taken, Unreadable
    from netdash.tui.interfaces import Told


class LocalChanges:
    """The engine of this machine; `docker_host` as for the feed."""

    def __init__(self, docker_host: str | None) -> None:
        self._docker_host = docker_host

    def _address(self) -> str:
        from netdash.engine.context import locate

        return locate(self._docker_host).address

    def preflight(self, asked: Request | NewContainer, host: Host) -> Preflight:
        from netdash.apply.preflight import preflight
        from netdash.publish.request import Mode, Request

        if isinstance(asked, Request):
            return preflight(self._address(), host, asked.container_id, asked.mode is Mode.RECREATE)
        return preflight(self._address(), host, None, details=False, image=asked.image)

    def act(
        self, asked: Request | NewContainer, made: Plan, facts: Preflight, tell: Told, count: Callable[[str], None]
    ) -> Outcome:
        from netdash.apply import publication
        from netdash.publish.request import Request

        if isinstance(asked, Request):
            return publication.publish(made, asked, self._address(), facts, tell)
        return publication.start(made, asked.image, self._address(), facts, tell, count)

    def pending(self) -> Pending:
        """Asked once at every start, where there mostly is nothing."""
        from netdash.apply import state_directory
        from netdash.publish.undo import Pending

        if state_directory.empty():
            return Pending()
        from netdash.apply import publication

        return publication.pending()

    def take_back(self, one: Taken, tell: Told) -> Outage | None:
        from netdash.apply import publication

        return publication.take_back(one, tell)

    def course(self, one: Taken) -> Course:
        from netdash.apply import publication

        return publication.course(one)

    def recoveries(self) -> Sequence[Recovery | Damaged]:
        from netdash.apply import publication

        return publication.recoveries(self._address())

    def recover(self, one: Taken | Unreadable, choice: Choice, tell: Told) -> None:
        from netdash.apply import publication

        publication.recover(one, choice, tell)
