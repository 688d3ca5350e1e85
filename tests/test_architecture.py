"""The house rules that a machine can check: who imports whom, what is installed, what is written where."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Which rooms a room may import (itself always), and which libraries. Imports point towards the pure rooms.
PURE = {"msgspec", "orjson"}
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "translators": (set(), PURE),
    "gateway.secret": (set(), set()),
    "gateway.keypool": ({"translators"}, set()),
    "gateway.service": ({"translators", "gateway.keypool"}, PURE),
    "gateway.upstream": ({"translators", "gateway.service", "gateway.secret"}, {"httpx2", "httptools"}),
    "gateway.telemetry": (set(), {"orjson"}),
    "gateway.telemetry.traces": (
        {"translators", "gateway.edge", "gateway.service", "gateway.telemetry"},
        {"msgspec", "opentelemetry", "starlette"},
    ),
    "gateway.private_files": ({"gateway.secret"}, set()),
    "gateway.alerts": (
        {
            "translators",
            *(
                f"gateway.{room}"
                for room in (
                    "accounts.rules",
                    "accounts.rules.rule",
                    "config",
                    "keypool",
                    "ledger",
                    "secret",
                    "service",
                    "telemetry",
                    "upstream",
                )
            ),
        },
        {"httpx2", *PURE},
    ),
    "gateway.telemetry.metrics": ({"translators", "gateway.keypool", "gateway.service"}, {"prometheus_client", *PURE}),
    "gateway.telemetry.metrics.papers": ({"gateway.telemetry.metrics"}, {"orjson", "yaml"}),
    "gateway.telemetry.requests": ({"translators", "gateway.service"}, PURE),
    "gateway.kept_turns": (
        {"gateway.config", "gateway.private_files", "gateway.secret", "gateway.service", "gateway.telemetry"},
        {"cryptography", "redis"},
    ),
    "gateway.ledger": (
        {
            "translators",
            "gateway.config",
            "gateway.private_files",
            "gateway.secret",
            "gateway.service",
            "gateway.telemetry",
        },
        {"msgspec"},
    ),
    "gateway.edge": (
        {"translators", "gateway.http", "gateway.telemetry"},
        # Zstandard: of the standard library from Python 3.14 on.
        {"starlette", "orjson", "msgspec", "backports", "compression"},
    ),
    # A rule as it is written, which the configuration and the table share.
    "gateway.accounts.rules.definition": (set(), {"msgspec"}),
    "gateway.accounts.rules.rule": (set(), {"msgspec"}),
    "gateway.accounts.rules.reading": (
        {"gateway.accounts.rules.definition", "gateway.accounts.rules.rule"},
        {"msgspec"},
    ),
    "gateway.accounts.rules": (
        {
            "translators",
            "gateway.accounts.rules.definition",
            "gateway.accounts.rules.rule",
            "gateway.accounts.rules.reading",
            "gateway.config",
            "gateway.service",
            "gateway.telemetry",
        },
        {"msgspec"},
    ),
    "gateway.accounts": (
        {
            "translators",
            "gateway.accounts.rules",
            "gateway.config",
            "gateway.accounts.rules.definition",
            "gateway.accounts.rules.reading",
            "gateway.accounts.rules.rule",
            "gateway.edge",
            "gateway.ledger",
            "gateway.private_files",
            "gateway.secret",
            "gateway.service",
            "gateway.telemetry",
        },
        {"starlette", "msgspec"},
    ),
    "gateway.doors": (
        {
            "translators",
            "gateway.accounts",
            "gateway.edge",
            "gateway.secret",
            "gateway.service",
            "gateway.telemetry",
        },
        {"starlette", "msgspec"},
    ),
    "gateway.pages": (
        {
            "translators",
            "gateway.accounts",
            "gateway.accounts.rules.definition",
            "gateway.edge",
            "gateway.ledger",
            "gateway.pages.overviews",
            "gateway.secret",
            "gateway.service",
            "gateway.telemetry.metrics",
            "gateway.telemetry.requests",
            "gateway.workers.views",
        },
        {"starlette", "msgspec", "orjson"},
    ),
    "gateway.pages.overviews": (
        {"gateway.accounts.rules", "gateway.keypool", "gateway.kept_turns", "gateway.service", "gateway.workers.views"},
        {"msgspec"},
    ),
    "gateway.http": (set(), {"httptools", "starlette", "uvicorn"}),
    "gateway.demo": (set(), {"starlette", "uvicorn", *PURE}),
    "gateway.config": (
        {"gateway.secret", "gateway.accounts.rules.definition", "gateway.accounts.rules.reading"},
        {"yaml", "msgspec"},
    ),
    "gateway.process.certificates": ({"gateway.config", "gateway.telemetry"}, set()),
    "gateway.process.rotation": ({"gateway.config", "gateway.secret", "gateway.telemetry"}, set()),
    "gateway.cli.table": (set(), set()),
    "gateway.cli.findings": ({"translators", "gateway.service", "gateway.cli.table", "gateway.upstream"}, {"orjson"}),
    "gateway.cli.timeline": ({"gateway.cli.table", "gateway.telemetry.requests"}, set()),
    "gateway.cli.overview": (
        {"translators", "gateway.keypool", "gateway.service", "gateway.cli.table", "gateway.upstream"},
        {"msgspec"},
    ),
    "gateway.workers.load": (set(), set()),
    "gateway.workers.channel": ({"gateway.workers.load"}, set()),
    "gateway.workers.assignment": ({"gateway.config", "gateway.secret"}, {"msgspec"}),
    "gateway.workers.tallies": (set(), set()),
    "gateway.workers.views": ({"gateway.workers.tallies"}, {"msgspec"}),
    "gateway.workers.talk": ({"gateway.telemetry"}, {"msgspec"}),
    "gateway.workers.process": (
        {f"gateway.workers.{module}" for module in ("load", "channel", "assignment", "talk")},
        set(),
    ),
    "gateway.workers.gathering": (
        {f"gateway.workers.{module}" for module in ("process", "talk", "tallies", "views")},
        {"msgspec"},
    ),
    "gateway.workers.quotas": (
        {
            *("gateway.accounts.rules", "gateway.accounts.rules.rule", "gateway.telemetry"),
            *("gateway.workers.process", "gateway.workers.talk"),
        },
        {"msgspec"},
    ),
    "gateway.workers.acceptor": ({"gateway.telemetry", "gateway.workers.process"}, set()),
    "gateway.workers.supervisor": (
        {
            "gateway.accounts.rules",
            "gateway.config",
            "gateway.telemetry",
            *(f"gateway.workers.{module}" for module in ("load", "channel", "assignment", "process", "acceptor")),
            *(f"gateway.workers.{module}" for module in ("gathering", "quotas", "talk")),
        },
        set(),
    ),
}
# These put the rooms together and may import everything; only each other import them.
TOP = (
    "gateway.app",
    "gateway.doors.table",
    "gateway.cli.banner",
    "gateway.process.metrics_port",
    "gateway.process.observing",
    "gateway.process.parts",
    "gateway.process.reloading",
    "gateway.process.serving",
    "gateway.workers.worker",
    "gateway.cli",
    "gateway.__main__",
)
# The root of gateway/ holds folders, and these.
ROOT_FILES = {"__init__.py", "__main__.py", "app.py", "py.typed"}
# What would make the pure rooms impure, from the standard library.
IMPURE = {"asyncio", "logging", "os", "random", "socket", "subprocess", "threading", "time", "uuid"}
PURE_ROOMS = ("translators", "gateway.keypool")

FILES = sorted(path for folder in ("gateway", "translators") for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = frozenset(map(module_of, FILES))


def room_of(module: str) -> str:
    """The innermost room that a module belongs to; `gateway` itself is one that holds nothing."""
    rooms = (room for room in (*ROOMS, *TOP) if module == room or module.startswith(f"{room}."))
    return max(rooms, key=len, default=module)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module or ""


def forbidden_in(path: Path) -> Iterator[str]:
    """What a module imports and must not."""
    room = room_of(module_of(path))
    if room in ("gateway", "gateway.process", "gateway.workers", *TOP):
        return
    rooms, libraries = ROOMS[room]
    for imported in imports_of(path):
        top = imported.partition(".")[0]
        if top in ("gateway", "translators"):
            if room_of(imported) not in rooms | {room}:
                yield imported
        elif top not in sys.stdlib_module_names and top not in libraries:
            yield imported


def test_imports_point_towards_the_pure_rooms() -> None:
    assert [(module_of(path), imported) for path in FILES for imported in forbidden_in(path)] == []


def test_pure_rooms_have_no_clock_no_network_and_no_log() -> None:
    pure = [path for path in FILES if room_of(module_of(path)) in PURE_ROOMS]
    impure = {module_of(path): {name.partition(".")[0] for name in imports_of(path)} & IMPURE for path in pure}

    assert len(pure) > 50
    assert {module: names for module, names in impure.items() if names} == {}


# Each door reads to an intent by itself, and what stands behind an intent knows no door.
DOORS = ("chat", "completions", "responses", "native")
BEHIND_THE_INTENT = ("intent", "messages", "answers", "kept", "prefixes", "beginnings")


def test_what_stands_behind_an_intent_knows_no_door() -> None:
    doors = tuple(f"translators.{door}" for door in DOORS)
    behind = tuple(f"translators.{room}" for room in BEHIND_THE_INTENT)
    found = [
        (module_of(path), imported)
        for path in FILES
        if module_of(path).startswith(behind)
        for imported in imports_of(path)
        if imported.startswith((*doors, "translators.wire.chat.", "translators.wire.completions"))
        or imported == "translators.wire.chat"
    ]

    assert found == []


def test_only_the_door_of_chat_completions_knows_its_requests() -> None:
    knows = {module_of(path) for path in FILES if "translators.wire.chat" in imports_of(path)}

    assert knows == {"translators.chat.intent", "translators.chat.read", "translators.chat.unknown"}


def test_the_root_holds_rooms() -> None:
    assert {path.name for path in (ROOT / "gateway").iterdir() if path.is_file()} == ROOT_FILES


def test_nobody_knows_the_top() -> None:
    for path in FILES:
        if room_of(module_of(path)) not in TOP:
            assert {room_of(imported) for imported in imports_of(path)} & set(TOP) == set()


def test_no_file_imports_itself_by_way_of_others() -> None:
    imports = {module_of(path): run_imports_of(path) for path in FILES}

    assert circles_of(imports) == []


def test_circles_of_imports_are_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}, "f": {"a", "e"}}

    assert sorted(map(sorted, circles_of(imports))) == [["b", "c"], ["e"]]


def run_imports_of(path: Path) -> set[str]:
    """The project's files that have to be run before this one; nothing that a function or a type checker imports."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree_of(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names
            # Names that are no modules stand in the package's own file.
            found |= {node.module or ""} if names - MODULES else set()
        else:
            waiting += ast.iter_child_nodes(node)
    return found & MODULES


def circles_of(imports: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that each import all others of their group, directly or not."""
    reached = {module: reachable_from(module, imports) for module in imports}
    groups = {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in imports
        if module in reached[module]
    }
    return [set(group) for group in groups]


def reachable_from(module: str, imports: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [*imports[module]]
    while waiting:
        if (other := waiting.pop()) not in reached:
            reached.add(other)
            waiting += imports[other]
    return reached


# There is no list of exceptions: what becomes longer is split by subject.
LONGEST_FILE = 350
LONGEST_FUNCTION = 45


def test_files_are_short() -> None:
    assert {path: lines for path in FILES if (lines := lines_of(path)) > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    functions = [function for path in FILES for function in functions_of(path)]

    assert len(functions) > len(FILES)
    assert {name: lines for name, lines in functions if lines > LONGEST_FUNCTION} == {}


def lines_of(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Each function by the names of its module, its class and its own, with its length."""
    waiting: list[tuple[str, ast.AST]] = [(module_of(path), tree_of(path))]
    while waiting:
        within, node = waiting.pop()
        for child in ast.iter_child_nodes(node):
            name = within
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                name = f"{within}.{child.name}"
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, (child.end_lineno or 0) - child.lineno + 1
            waiting.append((name, child))


def test_no_code_asks_for_a_models_name() -> None:
    for path in (ROOT / "translators").rglob("*.py"):
        assert not re.search(r"startswith\(\s*[\"']claude|[\"']claude-[a-z]+-\d", path.read_text("utf-8")), path


def test_there_are_at_most_ten_dependencies_and_no_provider_sdk_among_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[<>=;\[ ]", requirement)[0].lower() for requirement in project["dependencies"]}

    assert len(names) <= 10
    assert names.isdisjoint({"openai", "anthropic", "pydantic", "fastapi", "litellm", "tiktoken", "sqlalchemy"})


def test_the_running_gateway_loads_neither_a_provider_sdk_nor_pydantic() -> None:
    check = "import sys, gateway.cli; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert "'gateway'" in loaded
    assert not re.search(r"'(openai|anthropic|pydantic|fastapi|litellm)'", loaded)
    # What only some configurations need costs others nothing.
    assert not re.search(r"'(cryptography|redis|sqlite3|prometheus_client|opentelemetry)'", loaded)


# Not every function: a docstring that only repeats the name says nothing.
def test_every_module_says_what_it_owns() -> None:
    trees = {module_of(path): tree_of(path) for path in FILES}

    assert [module for module, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []
