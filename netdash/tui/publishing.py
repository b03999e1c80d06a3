"""The forms of `P` and `R`: a port for a running container, and a new container with ports. The plan below them is the
one of `--dry-run`, made anew in a thread with every change of the form."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from netdash.model.addresses import Spec, parse_spec
from netdash.model.errors import NetdashError
from netdash.model.host import Container, Host, Port
from netdash.model.records import dataclass
from netdash.publish.checks import Preflight
from netdash.publish.journal import Outcome
from netdash.publish.plan import Plan, plan
from netdash.publish.plan_new import fresh_name, plan_new
from netdash.publish.request import Mode, NewContainer, Request, parse_lasting
from netdash.tui.dialog import Dialog, Stage, Told, failure, good
from netdash.tui.form import Field, Form
from netdash.tui.text_field import TextField
from netdash.view import changes as plan_view
from netdash.view import form_choices
from netdash.view.form_choices import Offer
from netdash.view.statements import text
from netdash.view.text import Line, Span, Tone, clean

if TYPE_CHECKING:
    from netdash.tui.host_view import HostView
    from netdash.tui.interfaces import Changes

Asked = TypeVar("Asked", Request, NewContainer)

_PORTS, _ADDRESS, _DURATION = "0123456789-", "0123456789abcdefABCDEF.:", "0123456789smhd"
_PROTOCOLS = (Offer("tcp", "tcp"), Offer("udp", "udp"))
_MODES = (
    Offer("forward", "forward   the container is not touched; until it is unpublished, or a reboot"),
    Offer("recreate", "recreate  the container is made anew with the port, and restarts; for good"),
)
_COST = {Mode.FORWARD: "the container is not touched", Mode.RECREATE: "the container restarts"}
_WITHOUT_END = (Offer("", "without end"), Offer("30m", "30m"), Offer("2h", "2h"), Offer("1d", "1d"))
_CHANGES = (
    Offer("keep", "keep   what it wrote outside its volumes becomes an image, which the new one starts from"),
    Offer("lose", "lose   what it wrote outside its volumes goes with the old container"),
)
_HERE = {True: Span("is here", Tone.GOOD), False: Span("will be pulled", Tone.WARN), None: Span("")}
_FORCE = (Offer("no", "no"), Offer("yes", "yes"))


@dataclass(frozen=True, slots=True)
class Draft(Generic[Asked]):
    """A plan, and what it was made of."""

    asked: Asked
    facts: Preflight
    plan: Plan


class Planning(Dialog, Generic[Asked]):
    """A form whose every state has a plan, or a line that says what is wrong with it."""

    def __init__(self, changes: Changes, title: str, host: Host, fields: Sequence[Field]) -> None:
        self.filled = Form(fields)
        super().__init__(changes, title, self.filled)
        self.host = host
        self.draft: Draft[Asked] | None = None
        self.wrong: NetdashError | None = None
        self._surveys: dict[object, Preflight] = {}
        self._entered = False

    def field(self, name: str) -> Field:
        return next(field for field in self.filled.fields if field.id == f"field-{name}")

    def asked(self) -> Asked:
        """Raises NetdashError(USAGE) for what cannot be read."""
        raise NotImplementedError

    def key(self, asked: Asked) -> object:
        """Requests of one key have their facts in common."""
        raise NotImplementedError

    def made(self, asked: Asked, host: Host, facts: Preflight) -> Plan:
        raise NotImplementedError

    def annotate(self, facts: Preflight | None) -> None:
        """What is said beside the fields."""

    # --- planning -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self.plan_again()

    def update_host(self, host_view: HostView) -> None:
        """A newer host: whoever has taken the port meanwhile is in the plan."""
        self.host = host_view.host
        if self.stage is Stage.ASKING:
            self.plan_again()

    def on_text_field_edited(self, message: Field.Edited) -> None:
        self._entered = False
        self.changed(message.field)
        self.plan_again()

    def changed(self, field: TextField) -> None:
        """What follows from a field that the user changed."""

    def plan_again(self) -> None:
        self.wrong = None
        try:
            asked = self.asked()
        except NetdashError as error:
            self.wrong, self.draft = error, None
            self.background.forget()
            self._refresh(None)
            return
        host, facts = self.host, self._surveys.get(self.key(asked))
        self._refresh(facts)
        self.background.start(lambda: self._plan(asked, host, facts), self._planned)

    def _plan(self, asked: Asked, host: Host, facts: Preflight | None) -> Draft[Asked]:
        known = facts or self.changes.preflight(asked, host)
        return Draft(asked, known, self.made(asked, host, known))

    def _planned(self, draft: Draft[Asked] | NetdashError) -> None:
        if self.stage is not Stage.ASKING:
            return
        if isinstance(draft, NetdashError):
            self.wrong, self.draft = draft, None
        else:
            self.draft = draft
            self._surveys[self.key(draft.asked)] = draft.facts
        self._refresh(self.draft.facts if self.draft else None)
        if self._entered:
            self.action_enter()

    def _refresh(self, facts: Preflight | None) -> None:
        self.annotate(facts)
        self.filled.repaint()
        self.repaint()

    # --- agreeing and doing -------------------------------------------------------------------------------------------

    def plan_lines(self) -> Sequence[Line]:
        if self.wrong is not None:
            return failure(self.wrong, self.wide)
        if self.draft is None:
            return ((Span(" asking the engine…", Tone.DIM),),)
        return plan_view.styled(self.draft.plan, self.wide)

    def ready(self) -> bool:
        self._entered = self.wrong is None and self.background.busy  # it goes on when the plan is there
        if self._entered:
            self.repaint("making the plan…")
            return False
        if self.draft is None or self.draft.plan.refusals:
            self.repaint("it cannot be done: see above" if self.draft is None else "refused: see above")
            return False
        return True

    def caution(self) -> str:
        warnings = len(self.draft.plan.warnings) if self.draft else 0
        return f" ({warnings} warning{'s' * (warnings != 1)} above)" if warnings else ""

    def remakes(self) -> str:
        made = self.draft.plan if self.draft else None
        return made.container if made is not None and made.mode is not Mode.FORWARD else ""

    def work(self, key: str) -> Told:  # noqa: ARG002
        draft = self.draft
        if draft is None:
            raise NetdashError("there is no plan")
        found = self.changes.act(draft.asked, draft.plan, draft.facts, self.step, self.count)
        return partial(_became, draft.plan, found)


def _became(made: Plan, found: Outcome, wide: int) -> Sequence[Line]:
    """What was done, how long it took, what a real connection said, how to take it back."""
    down = plan_view.measured_downtime(made, found)
    took = plan_view.hanging([Span(clean(down))], wide) if down else ()
    back: list[Line] = []
    for command in made.undo:
        back += plan_view.hanging([Span("undo: u here, or ", Tone.DIM), Span(text(command))], wide)
    return (*good(text(made.title), wide), *took, *plan_view.proofs(found.proofs, wide), *back)


# --- P ----------------------------------------------------------------------------------------------------------------


class Publish(Planning[Request]):
    def __init__(self, changes: Changes, host: Host, container: Container, port: Port | None, user: str = "") -> None:
        """`user`: the container that was meant, where it uses the network of `container`."""
        inside = form_choices.container_ports(container)
        first = inside[0] if inside else Offer("", "", "tcp")
        if port is not None and port.container_port is not None:
            first = Offer(str(port.container_port), "", port.proto)
        self.container = container
        self.always = (
            Field("port", "container port", first.text, inside, "type it: 80, 8000-8002", only=_PORTS),
            Field("host_port", "host port", "", (), "of netdash's choice", only=_PORTS),
            Field("bind", "address", "", form_choices.addresses(host), "every address", only=_ADDRESS),
            Field("proto", "protocol", first.proto, _PROTOCOLS, typed=False),
            Field("mode", "mode", "forward", _MODES, typed=False, tall=True),
        )
        self.lasting = Field("for", "for", "", _WITHOUT_END, "without end", only=_DURATION)
        self.keeping = Field("changes", "changes", "keep", _CHANGES, typed=False, tall=True)
        self.forcing = Field("force", "force", "no", _FORCE, typed=False)
        whose = f"{container.name}, whose network {user} uses" if user else container.name
        fields = (*self.always, self.lasting, self.keeping, self.forcing)
        super().__init__(changes, f"publish a port of {whose}", host, fields)
        self._follow_port()

    @property
    def mode(self) -> Mode:
        return Mode(self.field("mode").text)

    def spec(self) -> Spec:
        inner, outer, proto = (self.field(name).text for name in ("port", "host_port", "proto"))
        if not inner:
            raise NetdashError("which port of the container? type it, or choose one with ← →")
        spec = parse_spec(inner, proto, self.field("bind").text or None)
        return parse_spec(f"{outer}:{inner}", proto, self.field("bind").text or None) if outer else spec

    def asked(self) -> Request:
        mode, lasting = self.mode, self.lasting.text
        return Request(
            container_id=self.container.id,
            spec=self.spec(),
            mode=mode,
            seconds=parse_lasting(lasting) if lasting and mode is Mode.FORWARD else None,
            discard=mode is Mode.RECREATE and self.keeping.text == "lose",
            force=self.forcing.text == "yes",
        )

    def key(self, asked: Request) -> object:
        return asked.mode

    def made(self, asked: Request, host: Host, facts: Preflight) -> Plan:
        return plan(asked, host, facts)

    def changed(self, field: TextField) -> None:
        port, proto = self.field("port"), self.field("proto")
        if field is port and port.at >= 0:
            proto.put(port.offers[port.at].proto)
        if field in (port, proto):
            self._follow_port()

    def _follow_port(self) -> None:
        """The host's port and address follow the container's port until they are typed."""
        field = self.field("host_port")
        try:
            spec = parse_spec(self.field("port").text, self.field("proto").text)
        except NetdashError:
            return
        field.offers = form_choices.host_ports(self.host, spec.proto, tuple(port.container_port for port in spec.ports))
        field.fill(field.offers[0].text if field.offers else "")
        self.field("bind").fill("127.0.0.1" if form_choices.database_or_queue(self.container.image, spec) else "")

    def annotate(self, facts: Preflight | None) -> None:
        self.field("mode").note = Span(_COST[self.mode], Tone.DIM)
        refusals = self.draft.plan.refusals if self.draft else ()
        self.lasting.display, self.keeping.display = self.mode is Mode.FORWARD, self.mode is Mode.RECREATE
        self.forcing.display = self.forcing.text == "yes" or any(refusal.forceable for refusal in refusals)
        port, host_port, bind = (self.field(name) for name in ("port", "host_port", "bind"))
        try:
            spec = self.spec()
        except NetdashError:
            port.note = host_port.note = bind.note = Span("")
            return
        port.note = form_choices.inside_note(self.container, spec)
        host_port.note = form_choices.host_note(self.host, spec, facts, self.mode, self.forcing.text == "yes")
        database = form_choices.database_or_queue(self.container.image, spec)
        bind.note = form_choices.address_note(self.host, spec.bind, self.mode, database)

    def update_host(self, host_view: HostView) -> None:
        self.container = host_view.container(self.container.id) or self.container
        if self.stage is Stage.ASKING:
            self.host = host_view.host
            self._offer_again()
        super().update_host(host_view)

    def _offer_again(self) -> None:
        """What was read since the form opened is offered, and fills what is empty and was not typed in."""
        port, proto = self.field("port"), self.field("proto")
        port.offers = form_choices.container_ports(self.container)
        self.field("bind").offers = form_choices.addresses(self.host)
        if port.offers and not port.text:
            port.fill(port.offers[0].text)
            proto.fill(port.offers[0].proto)
        if not self.field("host_port").text:
            self._follow_port()


# --- R ----------------------------------------------------------------------------------------------------------------


class Run(Planning[NewContainer]):
    def __init__(self, changes: Changes, host: Host) -> None:
        images = sorted({container.image for container in host.containers or () if container.image})[
            : form_choices.MOST
        ]
        self._token = secrets.token_hex(2)
        fields = (
            Field("image", "image", "", tuple(Offer(image, image) for image in images), "type it: nginx:1.27"),
            Field("name", "name", "", (), "of netdash's choice"),
            Field("ports", "ports", "", (), "8080:80 127.0.0.1:53:53/udp …"),
        )
        super().__init__(changes, "run a new container", host, fields)

    def asked(self) -> NewContainer:
        image, name, ports = (self.field(field).text.strip() for field in ("image", "name", "ports"))
        if not image:
            raise NetdashError("which image? type its name, or choose one with ← →")
        words = ports.replace(",", " ").split()
        return NewContainer(image, name or fresh_name(image, self._token), tuple(map(parse_spec, words)))

    def key(self, asked: NewContainer) -> object:
        return asked.image

    def made(self, asked: NewContainer, host: Host, facts: Preflight) -> Plan:
        return plan_new(asked.image, asked.name, asked.specs, host, facts)

    def annotate(self, facts: Preflight | None) -> None:
        image, name = self.field("image"), self.field("name")
        image.note = _HERE[facts.image_here if facts else None]
        taken = any(container.name == name.text for container in self.host.containers or ())
        name.note = Span("✗ there is one already", Tone.BAD) if name.text and taken else Span("")
        self.field("ports").note = self._exposed()

    def _exposed(self) -> Span:
        """A warning where a database would be open to everybody."""
        try:
            asked = self.asked()
        except NetdashError:
            return Span("")
        why = next(
            (
                why
                for spec in asked.specs
                if spec.bind is None and (why := form_choices.database_or_queue(asked.image, spec))
            ),
            "",
        )
        return Span(f"for this host only: 127.0.0.1:…, as {why}", Tone.WARN) if why else Span("")
