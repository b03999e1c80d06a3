"""The table of docs/privileges.md, cell by cell: netdash is run as each kind of user, beside root, on a live host."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lab import HOST_IP, ROOT, Lab, until
from users import ask

PUBLISHED, QUIET = "rights-web", "rights-quiet"
UNKNOWN = "`?`"
Bundle = Mapping[str, str]


def table() -> dict[str, dict[str, str]]:
    """{row: {user: cell}}."""
    section = (ROOT / "docs" / "privileges.md").read_text("utf-8")
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows}


USERS = list(next(iter(table().values())))


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[Lab]:
    lab.httpd(PUBLISHED, "-p", "8095:80")
    lab.httpd(QUIET)
    assert lab.fetch(f"http://{HOST_IP}:8095/") == PUBLISHED  # there are neighbours now
    assert until(lambda: "tentative" not in lab.on_host("ip", "addr"))
    folder = lab.folder / "records"
    folder.mkdir()
    folder.chmod(0o777)
    yield lab
    lab.remove_containers()


@pytest.fixture(scope="module")
def bundles(host: Lab) -> dict[str, Bundle]:
    found = {}
    for user in USERS:
        target = host.folder / "records" / user.replace(" ", "-")
        done = ask(host, user, "record", str(target))
        assert done.returncode == 0, (user, done.stderr)
        found[user] = {path.relative_to(target).as_posix(): path.read_text() for path in files(target)}
    return found


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def legacy_is_known(bundle: Bundle) -> bool:
    return "rules: iptables-legacy" not in bundle["netdash.json"] and '"rules":' not in bundle["netdash.json"]


# --- what each row of the table promises ------------------------------------------------------------------------------


def same(mine: Bundle, roots: Bundle, *names: str) -> str:
    if all(name not in mine for name in names):
        return UNKNOWN
    wrong = [name for name in names if unordered(mine[name]) != unordered(roots[name])]
    return f"something else: {wrong}" if wrong else "✓"


def unordered(text: str) -> object:
    """The engine tells its networks in any order."""
    answer = json.loads(text) if text.startswith("[") else text
    return sorted(map(json.dumps, answer)) if isinstance(answer, list) else answer


def counters_apart(text: str) -> str:
    return "\n".join(line.rpartition("] ")[2] for line in text.splitlines() if not line.startswith("#"))


def rules(mine: Bundle, roots: Bundle) -> str:
    names = ("rules/iptables-save.txt", "rules/ip6tables-save.txt")
    if "rules/nft.json" not in mine:
        return same(mine, roots, *names)
    wrong = [name for name in names if counters_apart(mine[name]) != counters_apart(roots[name])]
    if wrong or "--dport 8095" not in mine[names[0]]:
        return f"something else: {wrong}"
    return "✓"


def kernel(mine: Bundle, roots: Bundle) -> str:
    names = ("ip/addr.json", "ip/route4.json", "ip/route6.json", "ip/rule4.json", "ip/rule6.json")
    if not json.loads(mine["ip/neigh.json"]) or not mine["host/sysctl.txt"]:
        return "something else: no neighbours or sysctls"
    return same(mine, roots, *names)


def listeners(mine: Bundle, roots: Bundle) -> str:
    name = "host/listeners.txt"
    if len(mine[name].splitlines()) != len(roots[name].splitlines()):
        return "something else"
    return "✓" if "users:((" in mine[name] else "✓ without their processes"


def inside(mine: Bundle, _: Bundle) -> str:
    if f"containers/{QUIET}/listeners.txt" in mine:
        return "✓"
    files = [name for name in mine if name.startswith("containers/") and "proc-net" in name]
    return "✓ for published ports" if files == [f"containers/{PUBLISHED}/proc-net.txt"] else UNKNOWN


ROWS: dict[str, Callable[[Bundle, Bundle], str]] = {
    "containers, networks, published ports": lambda mine, roots: same(
        mine, roots, "docker/networks.json", "docker/inspect.json"
    ),
    "addresses, routes, policy rules, neighbours, sysctls": kernel,
    "docker-proxy processes and their targets": lambda mine, roots: same(mine, roots, "host/docker-proxy.txt"),
    "host listeners": listeners,
    "veth ↔ container": lambda mine, roots: same(mine, roots, "ip/netns.json"),
    "who listens inside containers": inside,
    "rules, counters, MASQUERADE and DNAT": rules,
    "whether iptables-legacy has rules too": lambda mine, _: "✓" if legacy_is_known(mine) else UNKNOWN,
}


def test_every_row_is_tested() -> None:
    assert list(ROWS) == list(table())


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("row", table())
def test_a_cell_is_true(bundles: dict[str, Bundle], row: str, user: str) -> None:
    assert ROWS[row](bundles[user], bundles["root"]) == table()[row][user]


# --- what the commands then say ---------------------------------------------------------------------------------------

NAMED = {"containers": "docker", "networks": "docker", "rules": "rules", "routes": "routes", "links": "links"}


def honest(mine: Any, roots: Any, where: str = "") -> Iterator[str]:
    """Where the one is neither unknown nor what root sees; counters, ages and the clock apart."""
    if mine is None or where.endswith((".packets", ".bytes", ".rate", ".age", ".taken", ".state", ".unknown")):
        return
    if isinstance(mine, dict) and isinstance(roots, dict):
        for key, value in mine.items():
            yield from honest(value, roots.get(key), f"{where}.{key}")
    elif isinstance(mine, list) and isinstance(roots, list) and len(mine) == len(roots):
        for at, (one, other) in enumerate(zip(mine, roots, strict=True)):
            yield from honest(one, other, f"{where}.{at}")
    elif mine != roots:
        yield f"{where}: {mine!r} where root sees {roots!r}"


@pytest.mark.parametrize("user", USERS[1:])
@pytest.mark.parametrize("view", NAMED)
def test_a_view_says_what_root_sees_or_that_it_is_unknown(host: Lab, view: str, user: str) -> None:
    done = ask(host, user, view, "--json")
    mine: Any = json.loads(done.stdout)
    roots: Any = host.json(view)
    for answer in (mine, roots):
        if view == "networks" and answer[view]:
            answer[view].sort(key=json.dumps)
    assert list(honest(mine, roots)) == []
    if mine[view] is None:
        assert done.returncode == 3
        assert NAMED[view] in mine["unknown"]
        shown = ask(host, user, view)
        assert shown.stdout == ""
        assert "no permission" in shown.stderr or "root" in shown.stderr


@pytest.mark.parametrize("user", USERS[1:])
def test_no_rule_is_said_to_be_absent_that_was_not_looked_for(host: Lab, user: str) -> None:
    mine: Any = json.loads(ask(host, user, "ports", "--json").stdout)
    (port,) = [one for one in mine["ports"] if one["host_port"] == 8095 and one["host_ip"] == "0.0.0.0"]
    line = next(one for one in ask(host, user, "ports").stdout.splitlines() if " 8095 " in f" {one} ")
    rules_read = table()["rules, counters, MASQUERADE and DNAT"][user] == "✓"
    assert (port["dnat"] is not None) == rules_read
    if not rules_read:
        assert "?" in line.split()
        assert "rules" in mine["unknown"]
    if "docker" in mine["unknown"]:
        assert port["container"] is None


def test_a_member_of_the_docker_group_sees_the_ways_without_their_rules(host: Lab) -> None:
    done = ask(host, "docker group", "show", PUBLISHED, "--json")
    shown, roots = json.loads(done.stdout), host.json("show", PUBLISHED)
    assert shown["addresses"] == roots["addresses"]
    (published,) = [one for one in shown["published"] if one["host_ip"] == "0.0.0.0"]
    assert (published["dnat"], published["listening"]) == (None, True)
    assert [one["leaves_as"] for one in shown["outbound"]] == [None]
    assert "rules need root · run with sudo" in ask(host, "docker group", "show", PUBLISHED).stdout
