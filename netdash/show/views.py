"""The list views in the order of their digits: each one is a pane, a command and a golden test. Pure: Host -> rows."""

from __future__ import annotations

from netdash.show.table import View
from netdash.show.views_drift import DRIFT
from netdash.show.views_engine import CONTAINERS, NETWORKS
from netdash.show.views_kernel import LINKS, ROUTES
from netdash.show.views_ports import PORTS, PROXIES, RULES

VIEWS: tuple[View, ...] = (CONTAINERS, PORTS, NETWORKS, RULES, ROUTES, PROXIES, LINKS, DRIFT)

BY_NAME: dict[str, View] = {view.name: view for view in VIEWS}
