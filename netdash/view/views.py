"""The list views in the order of their digits: each one is a pane, a command and a golden test. Pure: Host -> rows."""

from __future__ import annotations

from netdash.view.columns_drift import DRIFT
from netdash.view.columns_engine import CONTAINERS, NETWORKS
from netdash.view.columns_kernel import LINKS, ROUTES
from netdash.view.columns_ports import PORTS, PROXIES, RULES
from netdash.view.table import View

VIEWS: tuple[View, ...] = (CONTAINERS, PORTS, NETWORKS, RULES, ROUTES, PROXIES, LINKS, DRIFT)

BY_NAME: dict[str, View] = {view.name: view for view in VIEWS}
