"""What may import what, and how large a module may grow: over the syntax tree; what a command loads: in a process."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "netdash"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 400
MAX_FUNCTION = 60

BUILT_ON_DOCKER = PACKAGE / "engine" / "unix_socket.py"  # itself imported within functions only

PURE = (
    "model",
    "parse",
    "bundle",
    "rules",
    "kernel",
    "trace",
    "drift",
    "join",
    "change",
    "publish",
    "doctor",
    "capture",
)
"""The layers that compute, lowest first: each may import itself and those before it."""

MAY_IMPORT = {
    **{layer: {*PURE[: at + 1]} for at, layer in enumerate(PURE)},
    "engine": {"engine", *PURE},
    "collect": {"collect", "engine", *PURE},
    "apply": {"apply", "engine", *PURE},
    "view": {"view", *PURE},
    "tui": {"tui", "view", *PURE},
}
"""Layer -> the layers that it may import. `cli`, and what starts it, may import all of them."""

TOUCHES_THE_WORLD = {"subprocess", "socket", "threading", "multiprocessing", "asyncio", "time", "select", "signal"}
PACKAGE_OF = {"docker": "engine", "requests": "engine", "urllib3": "engine", "pyroute2": "collect", "dpkt": "collect"}
"""Package -> the one layer that may import it."""


def _layer(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a module, itself first."""
    return tuple(ast.walk(_tree(path)))


def _imports(path: Path) -> Iterator[str]:
    """Every imported module's full name, also inside functions; relative imports are an error by themselves."""
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""
            if (node.module or "").startswith("netdash"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _of_netdash(path: Path) -> set[str]:
    """The layers that a module imports."""
    return {name.split(".")[1] for name in _imports(path) if name.startswith("netdash.")}


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_layers_import_only_those_below_them(layer: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports netdash.{name}"
        for path in SOURCES
        if _layer(path) == layer
        for name in _of_netdash(path) - MAY_IMPORT[layer] - {"__version__"}
    }
    assert not wrong


def test_every_folder_is_a_layer() -> None:
    assert {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))} == {*MAY_IMPORT, "cli"}


@pytest.mark.parametrize("layer", [*PURE, "view"])
def test_pure_layers_use_the_standard_library_and_touch_nothing(layer: str) -> None:
    allowed = (sys.stdlib_module_names | {"netdash"}) - TOUCHES_THE_WORLD
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if _layer(path) == layer
        for name in _imports(path)
        if name.split(".")[0] not in allowed
    }
    assert not wrong


def test_each_package_that_asks_has_one_layer() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        for name in _imports(path)
        if PACKAGE_OF.get(name.split(".")[0], _layer(path)) != _layer(path)
    }
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports within functions and for types count too: whoever reads the one has to read the other."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES}
    left = {name: _modules_imported(path, names.keys()) - {name} for name, path in names.items()}
    while lowest := {name for name, others in left.items() if not others}:
        left = {name: others - lowest for name, others in left.items() if name not in lowest}
    while highest := left.keys() - {other for others in left.values() for other in others}:
        left = {name: others for name, others in left.items() if name not in highest}
    assert not left


def _modules_imported(path: Path, modules: Set[str]) -> set[str]:
    """`from netdash.tui import header` imports the module netdash.tui.header alone."""
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found & modules


def test_the_dashboard_is_handed_its_feed() -> None:
    """cli starts reading before it imports Textual: nothing outside the layer of the dashboard may load it early, nor
    the docker package, which takes longer than the engine to answer."""
    early = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if _layer(path) != "tui" and path != BUILT_ON_DOCKER
        for name in _at_module_level(path)
        if name.split(".")[0] in PACKAGE_OF.keys() | {"textual", "rich"}
        or name.startswith(("netdash.tui", "netdash.engine.unix_socket"))
    }
    assert not early


def _at_module_level(path: Path) -> set[str]:
    found = set()
    for node in _tree(path).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_files_and_functions_stay_small() -> None:
    long = set()
    for path in SOURCES:
        text = path.read_text("utf-8")
        if len(text.splitlines()) >= MAX_LINES:
            long.add(f"{path.relative_to(ROOT)} has {len(text.splitlines())} lines")
        for node in _nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines >= MAX_FUNCTION:
                    long.add(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not long


def test_every_module_says_what_it_owns() -> None:
    silent = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text("utf-8").strip() and not ast.get_docstring(_tree(path))
    }
    assert not silent


def test_the_way_to_the_first_frame_loads_only_what_it_needs() -> None:
    """Each module that is loaded there is a part of a millisecond until something is seen."""
    program = (
        "import sys; before = set(sys.modules)\n"
        "import netdash.__main__, netdash.cli.feeds, netdash.engine.first_answer, netdash.tui.first_frame\n"
        "from netdash.tui.config import load_config; load_config()\n"
        "loaded = set(sys.modules) - before; print(*({name.partition('.')[0] for name in loaded} | loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"},
    )
    late = "argparse ctypes dataclasses datetime difflib docker email http inspect logging pathlib requests rich shlex"
    late += " shutil socket string subprocess tempfile textual tomllib urllib netdash.rules netdash.trace.path"
    assert not set(late.split()) & set(done.stdout.split())


@pytest.mark.parametrize(
    "command", [["ports", "--json"], ["show", "web", "--json"], ["containers"], ["rules", "--json"]], ids=" ".join
)
def test_a_command_on_a_recording_loads_only_what_it_needs(command: list[str]) -> None:
    bundle = ROOT / "tests" / "recordings" / "docker20.10-legacy"
    program = (
        "import sys; from netdash.cli.main import main\n"
        "try: code = main(sys.argv[1:])\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'textual', 'rich', 'docker', 'requests'} & set(sys.modules)\n"
        "print(code or 0, sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--from", str(bundle), *command],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout
    assert done.stderr.splitlines()[-1:] == ["0 []"], done.stderr


# --- who writes, and who reads addresses ------------------------------------------------------------------------------


def _calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call with the name of what is called, without what stands before its last dot."""
    for node in _nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield (node.func.id if isinstance(node.func, ast.Name) else node.func.attr), node


ONLY_IN = {
    "SafeText": {"view/text.py", "view/terminal.py"},
    "Segment": {"tui/theme.py"},
    "Text": {"tui/theme.py"},
    "print": set(),
    "notify": set(),  # Textual's, of an application; conditions of threads have `notify_all`
    "copy_to_clipboard": set(),
}
"""What makes text for a terminal -> the modules that may call it; others have `safe`, `clean`, `Span`, `printing`."""


def test_text_reaches_a_terminal_only_through_what_makes_it_safe() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}:{call.lineno} calls {name}"
        for path in SOURCES
        for name, call in _calls(path)
        if path.relative_to(PACKAGE).as_posix() not in ONLY_IN.get(name, {path.relative_to(PACKAGE).as_posix()})
        and not _is_of_a_thread(name, call)
    }
    assert not wrong


def _is_of_a_thread(name: str, call: ast.Call) -> bool:
    """`Condition.notify` takes no text."""
    return name == "notify" and not call.args


STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
HAVE_STREAMS = {"cli/printing.py", "collect/once.py"}
"""The second is a child, whose answer its parent reads."""
WIDGETS = {"Static", "Label", "Markdown", "MarkdownViewer", "Log", "RichLog", "Pretty", "Digits", "Header", "Footer"}


def test_only_printing_writes_to_the_standard_streams() -> None:
    wrong = set()
    for path in SOURCES:
        if path.relative_to(PACKAGE).as_posix() in HAVE_STREAMS:
            continue
        asked = set(map(id, filter(None, map(_only_asked, _nodes(path)))))
        wrong |= {
            f"{path.relative_to(ROOT)}:{node.lineno} uses sys.{node.attr}"
            for node in _nodes(path)
            if isinstance(node, ast.Attribute) and node.attr in STREAMS and id(node) not in asked
            if isinstance(node.value, ast.Name) and node.value.id == "sys"
        }
    assert not wrong


def _only_asked(node: ast.AST) -> ast.AST | None:
    """The stream that is asked what it is, or whether there is one."""
    if isinstance(node, ast.Attribute) and node.attr in ("isatty", "fileno", "flush", "encoding", "errors"):
        return node.value
    return node.operand if isinstance(node, ast.UnaryOp) else None


def test_no_widget_that_draws_text_of_its_own() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {alias.name}"
        for path in SOURCES
        for node in _nodes(path)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual.widgets")
        for alias in node.names
        if alias.name in WIDGETS
    }
    assert not wrong


IPADDRESS = {f"{of}{what}" for of in ("IPv4", "IPv6") for what in ("Address", "Interface", "Network")}
IPADDRESS |= {"ip_address", "ip_interface", "ip_network"}


def test_one_module_reads_addresses_in_foreign_text() -> None:
    wrong = {
        f"{path.relative_to(ROOT)}:{call.lineno} calls {name}"
        for path in SOURCES
        if path != PACKAGE / "model" / "addresses.py"
        for name, call in _calls(path)
        if name in IPADDRESS and not all(isinstance(argument, ast.Constant) for argument in call.args)
    }
    assert not wrong


def test_tests_lie_in_the_folder_of_what_they_test() -> None:
    tests = ROOT / "tests"
    folders = {path.parent.relative_to(tests).as_posix() for path in tests.rglob("test_*.py")}
    assert folders <= {".", "live", *(path.parent.relative_to(PACKAGE).as_posix() for path in SOURCES)}
    programs = {path.name for path in tests.glob("*.py")}
    tested = {path.name.removeprefix("test_") for path in tests.glob("test_*.py")} - {"architecture.py", "packages.py"}
    assert tested <= programs, "beside the architecture and the packages only the programs of tests/ are tested there"
    assert [path.name for path in tests.rglob("*.py") if path.read_text("utf-8").count("\n") > MAX_LINES] == []
