"""What the keys do: every action of the dashboard, and where following a link leads. What only a key needs is imported
when it is pressed: the first paint waits for it otherwise."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.events import Key
from textual.widget import Widget

from netdash.model.host import Ref, Rule, Verb
from netdash.tui import hints, keys
from netdash.tui.change_interface import KEYS as CHANGING
from netdash.tui.change_interface import why_not
from netdash.tui.grid import Grid
from netdash.tui.history import Place
from netdash.tui.host_view import BY_NAME
from netdash.tui.lines import Box
from netdash.tui.panes import Panes
from netdash.tui.prompt import Prompt
from netdash.view.table import View
from netdash.view.text import Line, Tone, clean, safe
from netdash.view.views import VIEWS

FILTER_HINT = "words   !without   key:value      Enter keeps it, Esc clears it"
NEAREST = 100  # linked rows that are looked at for the best one
COMMAND_HINT = "rules   ports   free 8080   go NAME   help   q      Tab completes"


def _leads_in(thing: object) -> bool:
    """Of a container's rules, the one that is looked for: its port's."""
    return isinstance(thing, Rule) and thing.target.verb is Verb.DNAT


class Dashboard(Panes):
    BINDINGS: ClassVar = [
        *(Binding(key.keys, key.action, key.help, id=key.id, show=False, priority=True) for key in keys.KEYS),
        *(
            Binding(view.digit, f"view('{view.name}')", show=False, id=f"view_{view.digit}", priority=True)
            for view in VIEWS
        ),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Keys are the dashboard's before they are a pane's, which saves the way up; a text field has them all."""
        return not self.has_class("-asking")

    # --- moving -------------------------------------------------------------------------------------------------------

    def action_cursor(self, step: int) -> None:
        pane = self.focused
        if isinstance(pane, Grid):
            pane.move(pane.cursor + step)
        elif isinstance(pane, Box):
            pane.move(step)

    def action_page(self, step: int) -> None:
        pane = self.focused
        if isinstance(pane, Grid):
            pane.move(pane.cursor + step * pane.page)
        elif isinstance(pane, Box):
            pane.scroll(step * max(1, pane.size.height - 2))

    def action_edge(self, side: int) -> None:
        pane = self.focused
        if isinstance(pane, Grid):
            pane.move(0 if side < 0 else len(pane.listing or ()) - 1)
        elif isinstance(pane, Box):
            pane.hop(side * len(pane.links))

    def action_hop(self, step: int) -> None:
        pane = self.focused
        if isinstance(pane, (Grid, Box)):
            pane.hop(step)

    def action_pane(self, step: int) -> None:
        """The panes in a ring, without those that have nothing to stand on."""
        beside = [grid for grid in self.beside.grids if grid.listing] if self.linked_shown else []
        ring: list[Widget] = [self.grid, self.card, *beside]
        at = ring.index(self.focused) if self.focused in ring else 0
        self.focus_on(ring[(at + step) % len(ring)])

    def focus_on(self, pane: Widget) -> None:
        self.set_focus(pane)
        self.mark()
        self.write_footer()

    def on_grid_moved(self, message: Grid.Moved) -> None:
        self.hush()
        if message.grid is self.grid:
            self.awaited = None
            self.leave_gone()
            self.follow_later()
        else:
            self.mark()

    # --- going --------------------------------------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        """Another view, its cursor on what belongs to the selection."""
        view = BY_NAME[name]
        if view is not self.places.view:
            self.go(view, self.counterpart(view))
        self.focus_on(self.grid)

    def counterpart(self, view: View) -> Ref | None:
        """The row of another view that stands for the selection: where its cursor was, if that still belongs; else
        one that belongs to the same containers only; else the first that belongs."""
        sheet, here = self.sheet, self.grid.row
        if sheet is None or here is None:
            return None
        linked = sheet.belonging(view, here.ref)
        rows = sheet.rows(view)
        refs = [rows.ref(place) for place in linked]
        if not refs or self.places.of(view).ref in refs:
            return None
        owners = sheet.containers(here.ref)
        own = [place for place in linked[:NEAREST] if sheet.containers(rows.ref(place)) == owners] or linked
        return rows.ref(next((place for place in own if _leads_in(rows.things[place])), own[0]))

    def go(self, view: View, ref: Ref | None = None, text: str | None = None) -> None:
        """Shows a view, the cursor on `ref`; a filter that would hide it is taken away."""
        place = self.places.of(view)
        ask = place.ask
        if ref is not None or text is not None:
            ask = type(ask)(view, text or "", ask.sort, ask.down)
        self.places.put(Place(ask, ref or place.ref, place.at, -1 if ref else place.cell))
        self.places.view = view
        self.grid.show(None, 0)
        self.rearrange()
        self.write_header()

    def on_grid_followed(self, message: Grid.Followed) -> None:
        self.follow(message.ref)

    def on_box_followed(self, message: Box.Followed) -> None:
        if message.ref.kind == "view":
            self.action_view(message.ref.key)
        else:
            self.follow(message.ref)

    def action_follow(self) -> None:
        """The link under the cursor; on a row itself, its containers, and on a container its path card."""
        if self.lost():
            return
        pane = self.focused
        target = pane.target if isinstance(pane, (Grid, Box)) else None
        if target is None:
            return
        if pane is self.grid and self.grid.row and target == self.grid.row.ref:
            if target.kind == "container":
                self.focus_on(self.card)
                return
            owners = self.sheet.containers(target) if self.sheet else ()
            if not owners:
                known = self.sheet is not None and self.sheet.host.containers is not None
                self.say("belongs to no container" if known else "which containers there are is not known", Tone.DIM)
                return
            target = Ref("container", owners[0])
        self.follow(target)

    def follow(self, ref: Ref) -> None:
        """Goes to what `ref` names, and remembers where it came from."""
        sheet = self.sheet
        if sheet is None:
            return
        if ref.kind == "chain":
            _, _, table, chain = (*ref.key.split(" ", 3), "", "", "")[:4]
            self.places.remember()
            self.go(BY_NAME["rules"], None, f"chain:{chain} table:{table}")
            self.focus_on(self.grid)
            return
        found = sheet.find(ref)
        if found is None:
            self.say(f"{clean(ref.key, 60)}: not a thing of this host", Tone.WARN)
            return
        view, place = found
        here = self.grid.row
        if here is not None and here.ref == sheet.rows(view).ref(place):
            self.say(f"{clean(ref.key, 60)} is what is selected", Tone.DIM)
            return
        self.places.remember()
        self.go(view, sheet.rows(view).ref(place))
        self.focus_on(self.grid)

    def action_back(self) -> None:
        if self.places.back():
            self.grid.show(None, 0)
            self.rearrange()
            self.focus_on(self.grid)
        else:
            self.say("this is where you began", Tone.DIM)

    def action_escape(self) -> None:
        """One level back: the message, the pane, the marks, the filter, the narrowing, the way here. Never out."""
        ask = self.places.here.ask
        if self.focused is not self.grid:
            self.focus_on(self.grid)
        elif self.picked:
            self.picked = ()
            self.mark()
            self.write_footer()
        elif ask.text or ask.within:
            self.narrow(text="") if ask.text else self.narrow(within=None)
        elif self.places.back():
            self.grid.show(None, 0)
            self.rearrange()
        else:
            self.say(f"{keys.first('quit', self.netdash.options.keys)} quits", Tone.DIM)

    # --- looking ------------------------------------------------------------------------------------------------------

    def narrow(self, **values: object) -> None:
        """Another filter or order of the same view."""
        self.places.change(**values)
        self.rearrange()
        self.write_header()

    def action_sort(self) -> None:
        """The next column, and after the last the view's own order."""
        ask = self.places.here.ask
        shown = [index for index, size in enumerate(self.grid.sizes()) if size]
        after = [index for index in shown if ask.sort is None or index > ask.sort]
        self.narrow(sort=after[0] if after else None, down=False)

    def action_reverse(self) -> None:
        self.narrow(down=not self.places.here.ask.down)

    def action_linked(self) -> None:
        """In the containers, and in a linked pane, it is the linked panes that show all; elsewhere the list does."""
        if not self.works("linked"):
            return
        if self.focused is not self.grid or self.places.view.kind == "container":
            self.everything = not self.everything
            self.selected()
        else:
            row, ask = self.grid.row, self.places.here.ask
            self.narrow(within=None if ask.within else row and row.ref)
        self.write_footer()

    def action_pause(self) -> None:
        if self.works("pause"):
            self.netdash.paused = not self.netdash.paused
            self.write_header()

    def action_refresh(self) -> None:
        if self.works("refresh"):
            self.netdash.feed.refresh()
            self.say("reading everything again…", Tone.DIM)

    # --- several hosts ------------------------------------------------------------------------------------------------

    def action_hosts(self) -> None:
        from netdash.tui import hosts_view

        hosts_view.choose(self)

    def action_everywhere(self) -> None:
        from netdash.tui import hosts_view

        hosts_view.everywhere(self)

    def action_reach(self) -> None:
        from netdash.tui import reach_view

        reach_view.show(self)

    # --- asking -------------------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        self.ask("/", self.places.here.ask.text, FILTER_HINT)

    def action_command(self) -> None:
        self.ask(":", "", COMMAND_HINT)

    def ask(self, sign: str, text: str, hint: str) -> None:
        self.set_class(True, "-asking")
        if sign == ":":
            from netdash.tui import commands

            self.prompt.open(sign, text, hint, commands.completer(self))
        else:
            self.prompt.open(sign, text, hint)

    def on_key(self, event: Key) -> None:
        """A text field that is open has every key, before it has the focus as well."""
        if self.has_class("-asking") and self.focused is not self.prompt:
            self.prompt.on_key(event)

    def on_prompt_typed(self, message: Prompt.Typed) -> None:
        if self.prompt.sign == "/":
            self.narrow(text=message.text)

    def on_prompt_entered(self, message: Prompt.Entered) -> None:
        self.set_class(False, "-asking")
        self.focus_on(self.grid)
        if self.prompt.sign == "/":
            if message.text is None:
                self.narrow(text="")
            else:
                self.rearrange()
        elif message.text:
            from netdash.tui import commands

            commands.execute(self, message.text)

    def action_palette(self) -> None:
        self.app.action_command_palette()

    def action_help(self) -> None:
        from netdash.tui.popup import Popup, help_lines

        works = [key.id for key in keys.KEYS if self.works(key.id)]
        lines = help_lines(works, self.netdash.options.keys, self.extent.width, why_not(self.netdash))
        self.app.push_screen(Popup("Keys that work here", lines))

    def action_copy(self) -> None:
        if self.lost():
            return
        pane = self.focused
        target = pane.target if isinstance(pane, (Grid, Box)) else None
        row = self.grid.row
        ref = target or (row.ref if row else None)
        found = self.sheet.find(ref) if self.sheet and ref else None
        if self.sheet is None or ref is None or found is None:
            self.say("nothing to copy here", Tone.DIM)
            return
        view, place = found
        from netdash.tui.copy import choices
        from netdash.tui.popup import Popup

        offers = choices(self.sheet.host, view, self.sheet.rows(view).things[place], self.netdash.there)
        if ref.kind == "address":
            offers = (("address", ref.key), *(offer for offer in offers if offer[1] != ref.key))
        self.app.push_screen(Popup("Copy", offers=offers), self.copied)

    def copied(self, text: str | None) -> None:
        if text is not None:
            from netdash.tui import clipboard

            clipboard.put(self, safe(text), self.say)

    def action_pick(self) -> None:
        """The newest two stay picked."""
        if self.grid.row is not None and not self.lost():
            ref = self.grid.row.ref
            kept = tuple(one for one in self.picked if one != ref)
            self.picked = kept if ref in self.picked else (*kept, ref)[-2:]
            self.mark()
            self.write_footer()

    def action_trace(self) -> None:
        if self.lost() and len(self.picked) < 2:
            return
        from netdash.tui import tracing

        tracing.ask(self)

    def action_change(self, what: str) -> None:
        if what == "publish" and self.lost():
            return
        from netdash.tui import changing

        changing.begin(self, what)

    async def action_quit(self) -> None:
        await self.netdash.action_quit()

    # --- what works ---------------------------------------------------------------------------------------------------

    def works(self, identity: str) -> bool:
        """Whether the key does something here and now."""
        if identity in ("pause", "refresh"):
            return self.netdash.feed.live
        if identity == "linked":
            here = self.grid.row is not None or self.places.here.ask.within is not None
            listed = self.places.view.kind != "container" and self.focused is self.grid
            return here and (self.linked_shown or listed)
        if identity in ("hosts", "everywhere"):
            return self.netdash.fleet is not None
        if identity in CHANGING:
            return not why_not(self.netdash)
        if identity == "reverse":
            return self.places.here.ask.sort is not None
        if identity in ("sort", "filter"):
            return self.sheet is not None
        if identity in ("follow", "copy", "trace", "mark"):
            return self.grid.row is not None and not self.grid.on_struck
        return True

    def hints(self) -> Line:
        return hints.line(self)
