"""The packages and what each may import, as the table in docs/architecture.md states them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "schemas",
    "follow",
    "operators",
    "feature_repo",
    "recommend",
    "streams",
    "training",
    "serving",
    "freshet",
    "bench",
)
MAX_LINES = 300

MAY_IMPORT = {
    "schemas": set(),
    "operators": {"schemas"},
    "follow": {"operators", "schemas"},
    "feature_repo": {"operators", "schemas"},
    "streams": {"feature_repo", "follow", "operators", "schemas"},
    "recommend": {"feature_repo", "operators", "schemas"},
    "training": {"recommend", "feature_repo", "follow", "operators", "schemas"},
    "serving": {"recommend", "feature_repo", "follow", "operators", "schemas"},
    "freshet": set(ROOMS),
    "bench": set(ROOMS),
}

WITHOUT_A_CLOCK = ("operators", "feature_repo", "recommend")
"""packages in which time is an argument"""

LIBRARIES_OF_OPERATORS = {"datasketches", "mmh3", "msgspec", "numpy"}
PURE_STANDARD_LIBRARY = {
    "__future__", "array", "bisect", "collections", "collections.abc", "dataclasses", "difflib", "enum", "functools",
    "heapq", "itertools", "math", "operator", "re", "struct", "typing",
}  # fmt: skip
CLOCKS_AND_IO = {"open", "input", "print", "__import__", "eval", "exec"}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that the file names in an import, at the top or within a function, absolute."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            # `from room import module` names a module as well
            yield from (f"{module}.{alias.name}" for alias in node.names) if module in ROOMS else [module]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph() -> dict[str, set[str]]:
    """Every module of every room and the modules that it imports, at the top, within a function, or for types alone."""
    paths = {module_name(path): path for room in ROOMS for path in modules(room)}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        package, targets = path.relative_to(ROOT).parent.parts, set[str]()
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else ()
                module = ".".join(filter(None, (*base, node.module)))
                inside = {alias.name: f"{module}.{alias.name}" for alias in node.names}
                targets |= {full if full in paths else module for full in inside.values()}
        found[name] = targets & paths.keys() - {name}
    return found


def circles(of: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan, 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(of[module]):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            at = stack.index(module)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for module in sorted(of):
        if module not in index:
            visit(module)
    return found


def breaches(room: str) -> list[str]:
    found = []
    for path in modules(room):
        for name in imports(path):
            target, _, _ = name.partition(".")
            if target not in ROOMS or target == room or target in MAY_IMPORT[room]:
                continue
            found.append(f"{path.relative_to(ROOT)} imports {name}")
    return found


def test_the_rooms_are_the_ones_that_exist() -> None:
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= set(ROOMS)
    assert set(MAY_IMPORT) == set(ROOMS)


def test_the_table_in_the_documentation_says_the_same() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Rooms")[1].split("##")[0]
    said: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3 or not cells[0].startswith("`"):
            continue
        allowed = cells[2].split("(")[0].strip()
        named = set(ROOMS) if allowed == "all" else {name.strip() for name in allowed.split(",")} - {"nothing"}
        for room in re.findall(r"`(\w+)/`", cells[0]):
            said[room] = named
    assert {room: said[room] for room in ROOMS} == MAY_IMPORT


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_one_way(room: str) -> None:
    assert breaches(room) == []


def test_a_circle_is_found_however_long() -> None:
    chain = {f"m{n}": {f"m{n + 1}"} for n in range(50)} | {"m50": {"m7"}, "alone": {"m0"}}
    assert circles(chain) == [sorted(f"m{n}" for n in range(7, 51))]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(graph()) == []


def test_a_class_name_stands_for_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for room in ROOMS:
        for path in modules(room):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert twice == {}


CLOCKS = {
    "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "process_time_ns", "thread_time",
    "time_ns", "now_ms", "utcnow",
}  # fmt: skip
MEASURED = {"recommend/trace.py": {"time.perf_counter"}}
"""how long a stage takes stands in the trace; nothing else of an answer depends on it"""


def clocks(tree: ast.AST) -> set[str]:
    """The clocks that a module reads, or imports to read: by whatever name, and through other modules' attributes."""
    called = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "time":
                found |= {f"time.{name}" for name in names}
            elif node.module == "schemas" and "clock" in names:
                found.add("schemas.clock")
            else:
                found |= names & CLOCKS
        elif isinstance(node, ast.Name) and node.id in CLOCKS:
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            of = ast.unparse(node.value)
            of = called.get(of, of)
            last = of.rpartition(".")[2]
            if last == "time" and node.attr in {*CLOCKS, "time", "localtime", "gmtime"}:
                found.add(f"time.{node.attr}")
            elif node.attr in CLOCKS or (last in {"datetime", "date"} and node.attr in {"now", "today"}):
                found.add(f"{last}.{node.attr}")
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import time\ntime.sleep(1)", set()),
        ("import time\nf = time.monotonic", {"time.monotonic"}),
        ("import time as t\nt.time()", {"time.time"}),
        ("from time import time_ns as n\nn()", {"time.time_ns"}),
        ("from recommend import popular\npopular.time.monotonic()", {"time.monotonic"}),
        ("from datetime import datetime\ndatetime.now()", {"datetime.now"}),
        ("import datetime as d\nd.datetime.now(d.UTC)", {"datetime.now"}),
        ("from datetime import datetime\ndatetime.fromtimestamp(0)", set()),
        ("from schemas.clock import now_ms", {"now_ms"}),
        ("from schemas import clock\nclock.now_ms()", {"schemas.clock", "clock.now_ms"}),
        ("class A:\n def time(self, at): return self.time(at)", set()),
    ],
)
def test_a_clock_is_found_by_whatever_name(source: str, expected: set[str]) -> None:
    assert clocks(ast.parse(source)) == expected


@pytest.mark.parametrize("room", WITHOUT_A_CLOCK)
def test_pure_packages_read_no_clock(room: str) -> None:
    read = {str(path.relative_to(ROOT)): clocks(ast.parse(path.read_text())) for path in modules(room)}
    expected = {name: found for name, found in MEASURED.items() if name.startswith(f"{room}/")}
    assert {name: found for name, found in read.items() if found} == expected


@pytest.mark.parametrize(
    "room", ["schemas", "follow", "operators", "feature_repo", "recommend", "streams", "training", "serving"]
)
def test_nothing_but_tests_imports_tests(room: str) -> None:
    assert [str(p) for p in modules(room) if any(name.split(".")[0] == "tests" for name in imports(p))] == []


def test_the_recommendation_core_does_no_io() -> None:
    """What runs in a request and in a replay imports no web server, no Kafka client, no store and no event loop."""
    forbidden = {"starlette", "uvicorn", "kafka", "confluent_kafka", "redis", "feast", "httpx", "asyncio", "socket"}
    found = {(p.name, name) for p in modules("recommend") for name in imports(p) if name.split(".")[0] in forbidden}
    assert found == set()


def test_the_recommendation_core_follows_no_topic_and_locks_nothing_but_the_index() -> None:
    """What a server does to stay up to date is its own: a replay runs in one thread and reads no topic."""
    forbidden = {"threading", "schemas.topics", "schemas.messages", "schemas.codec"}
    found = {(p.name, name) for p in modules("recommend") for name in imports(p)}
    assert {(file, name) for file, name in found if name in forbidden} == {("index.py", "threading")}


@pytest.mark.parametrize("path", modules("schemas"), ids=lambda p: p.name)
def test_schemas_have_no_sockets_and_no_threads(path: Path) -> None:
    taken = {name.split(".")[0] for name in imports(path)}
    assert not taken & {"asyncio", "concurrent", "httpx", "kafka", "confluent_kafka", "redis", "socket", "threading"}


@pytest.mark.parametrize("path", modules("operators"), ids=lambda p: p.name)
def test_operators_have_no_clock_no_io_and_no_chance(path: Path) -> None:
    outside = {name for name in imports(path) if name.split(".")[0] not in ROOMS}
    standard = {name for name in outside if name.split(".")[0] in sys.stdlib_module_names}
    assert standard <= PURE_STANDARD_LIBRARY
    assert {name.split(".")[0] for name in outside - standard} <= LIBRARIES_OF_OPERATORS
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            assert node.id not in CLOCKS_AND_IO, f"line {node.lineno}"
        if isinstance(node, ast.Attribute):  # numpy has its own dice, clock and files
            assert node.attr not in {"random", "datetime64", "load", "save", "fromfile", "tofile"}, (
                f"line {node.lineno}"
            )


CALLED_FROM_OUTSIDE = {
    "process_element", "extract_timestamp",  # by Flink
    "startup", "matches",  # by uvicorn and Starlette
    "with_fields",  # by definitions of features
}  # fmt: skip


def names_in(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a module mentions, with its line: read, imported, passed by keyword, or as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value, node.lineno


def unused(sources: dict[str, str]) -> set[str]:
    """`file name` of functions, methods and classes that no line but their own mentions. One that a decorator other
    than a property's or a dataclass's registers is used by that."""
    trees = {file: ast.parse(source) for file, source in sources.items()}
    mentions: dict[str, set[tuple[str, int]]] = {}
    for file, tree in trees.items():
        for name, line in names_in(tree):
            mentions.setdefault(name, set()).add((file, line))
    plain = {"property", "cached_property", "classmethod", "staticmethod", "abstractmethod", "dataclass"}
    found = set()
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith(
                "__"
            ):
                continue
            decorators = {ast.unparse(each).partition("(")[0] for each in node.decorator_list}
            own = {(file, line) for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
            if decorators <= plain and not mentions.get(node.name, set()) - own:
                found.add(f"{file} {node.name}")
    return found


def test_what_nothing_uses_is_found() -> None:
    source = """
class Used:
    def asked(self): ...
    def not_asked(self): return self.not_asked()
    @app.command
    def registered(self): ...
def call(): return Used().asked()
"""
    assert unused({"m": source}) == {"m not_asked", "m call"}
    assert unused({"m": source, "n": "from m import call"}) == {"m not_asked"}


def test_nothing_is_there_for_tests_alone() -> None:
    sources = {str(p.relative_to(ROOT)): p.read_text() for room in ROOMS for p in modules(room)}
    assert {each for each in unused(sources) if each.split()[-1] not in CALLED_FROM_OUTSIDE} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_modules_are_small(room: str) -> None:
    sizes = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in modules(room)}
    assert {name: n for name, n in sizes.items() if n > MAX_LINES} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_it_is(room: str) -> None:
    silent = [
        p.name for p in modules(room) if p.read_text().strip() and not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert silent == []


def fixtures_imported(sources: dict[str, str]) -> set[str]:
    """`file name` of fixtures wider than a test that a file imports. Pytest takes an imported fixture for one more of
    the name, and sets up each: the stack that tests share would run twice."""
    trees = {file: ast.parse(source) for file, source in sources.items()}
    wide = {
        (module_name(ROOT / file), node.name)
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).rpartition(".")[2] == "fixture"
        for keyword in decorator.keywords
        if keyword.arg == "scope" and ast.unparse(keyword.value) != "'function'"
    }
    return {
        f"{file} {alias.name}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module, alias.name) in wide or (alias.name == "*" and node.module in {module for module, _ in wide})
    }


def test_a_fixture_that_is_imported_is_found() -> None:
    source = "@pytest.fixture(scope='session')\ndef wide(): ...\n@pytest.fixture\ndef narrow(): ...\ndef plain(): ..."
    for line, found in (
        ("from tests.made import wide as wide", {"tests/test_one.py wide"}),
        ("from tests.made import *", {"tests/test_one.py *"}),
        ("from tests.made import narrow, plain", set()),
    ):
        assert fixtures_imported({"tests/made.py": source, "tests/test_one.py": line}) == found


def test_what_tests_share_is_set_up_once() -> None:
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    assert fixtures_imported(sources) == {"tests/conftest.py live"}
