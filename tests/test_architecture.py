"""The map of the code, held by its imports: layers, purity, cycles, one door per library, sizes, no hidden state.

Reads the source with `ast` and imports nothing of it. An import under `if TYPE_CHECKING:` counts as any other, but for
the doors of libraries: who can only be described in terms of another knows that one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
SOURCE: Final = ROOT / "wsproxy"

LAYERS: Final = (
    {"config", "http", "ws", "balancing", "protection", "errors"},
    {"net"},
    {"exchange"},
    {"observe"},
    {"backend"},
    {"health", "discovery", "managed", "cache", "limiting", "sharing", "static"},
    {"frontend"},
    {"admin"},
    {"scaler", "finder", "remembering", "caching", "logbook", "check", "administration", "reload_count"},
    {"running"},
    {"groups", "listeners"},
    {"guards"},
    {"routes"},
    {"figures", "relisten", "taps"},
    {"reload", "sessions"},
    {"control", "signals", "by_hand"},
    {"app"},
    {"supervisor"},
    {"cli"},
    {"__main__", "demo"},
)
"""From the bottom. A package imports itself, those below, and SHAPES; those of one line never import each other."""

SHAPES: Final = {
    *("wsproxy", "wsproxy.errors", "wsproxy.http.messages"),
    *("wsproxy.config.model", "wsproxy.config.group_settings", "wsproxy.config.content_settings"),
    "wsproxy.config.watch_settings",
    *("wsproxy.config.budget_settings", "wsproxy.config.cache_settings", "wsproxy.config.discovery_settings"),
}
"""What everyone may know: frozen settings, message heads, failures."""

PURE: Final = {"config", "http", "ws", "balancing", "protection", "errors"}
PURE_MODULES: Final = {
    f"wsproxy.cache.{name}"
    for name in ("asked", "eviction", "freshness", "packed", "replies", "selecting", "store", "stored")
} | {"wsproxy.discovery.endpoint_slices", "wsproxy.discovery.found", "wsproxy.discovery.lingering"}
"""Those of a package that does I/O which decide and do none."""

IMPURE: Final = {
    *("anyio", "asyncio", "uvloop", "socket", "ssl", "select", "selectors", "subprocess", "signal"),
    *("time", "random", "secrets", "logging", "os", "threading", "multiprocessing", "concurrent"),
}

DOORS: Final = {
    "h11": {"wsproxy.http.h11_codec", "wsproxy.demo"},
    "websockets": {"wsproxy.ws", "wsproxy.demo"},
    "prometheus_client": {"wsproxy.observe"},
    "redis": {"wsproxy.net.redis_link", "wsproxy.limiting.shared"},
    "brotli": {"wsproxy.http.coders"},
    "zstandard": {"wsproxy.http.coders"},
    "dns": {"wsproxy.discovery.dns"},
    "httpx": {"wsproxy.discovery.kubernetes_api"},
    "socket": {"wsproxy.net", "wsproxy.supervisor", "wsproxy.demo"},
    "ssl": {"wsproxy.net", "wsproxy.discovery.kubernetes_api"},
    "configparser": set[str](),
}
"""Library -> the modules or packages that may import it. `supervisor` passes listening sockets on."""

LONGEST: Final = 400
"""Lines of a file. Longer means two ideas."""


@dataclass(frozen=True)
class Import:
    """One imported module, and whether only a type checker sees it."""

    target: str
    line: int
    typing_only: bool


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        """The part of its name that the map knows."""
        return self.name.split(".")[1] if "." in self.name else "wsproxy"


def read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8")))


MODULES: Final = {module.name: module for module in map(read, sorted(SOURCE.rglob("*.py")))}


def imports_in(body: list[ast.stmt], typing_only: bool = False) -> Iterator[Import]:
    """Every import below these statements, inside functions too."""
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from imports_in(statement.body, typing_only=True)
            yield from imports_in(statement.orelse, typing_only)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, typing_only)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"relative import in line {node.lineno}"
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield Import(full if full in MODULES else str(node.module), node.lineno, typing_only)


IMPORTS: Final = {name: tuple(imports_in(module.tree.body)) for name, module in MODULES.items()}


def places(found: list[tuple[str, Import]]) -> str:
    return "\n".join(f"{MODULES[name].path.relative_to(ROOT)}:{each.line}: {each.target}" for name, each in found)


def layer(package: str) -> int:
    return next((number for number, packages in enumerate(LAYERS) if package in packages), len(LAYERS))


def test_every_package_is_on_the_map() -> None:
    known = set[str]().union(*LAYERS) | {"wsproxy"}
    assert {module.package for module in MODULES.values()} <= known


def test_imports_run_downward() -> None:
    wrong = []
    for name, module in MODULES.items():
        for each in IMPORTS[name]:
            if not each.target.startswith("wsproxy") or each.target in SHAPES:
                continue
            package = each.target.split(".")[1]
            if package != module.package and layer(package) >= layer(module.package):
                wrong.append((name, each))
    assert not wrong, places(wrong)


def test_shapes_depend_on_shapes_only() -> None:
    wrong = [
        (name, each)
        for name in SHAPES
        for each in IMPORTS[name]
        if each.target.startswith("wsproxy") and each.target not in SHAPES
    ]
    assert not wrong, places(wrong)


def test_pure_packages_have_no_world() -> None:
    wrong = [
        (name, each)
        for name, module in MODULES.items()
        if module.package in PURE or name in PURE_MODULES
        for each in IMPORTS[name]
        if each.target.split(".")[0] in IMPURE
    ]
    assert not wrong, places(wrong)
    assert MODULES.keys() >= PURE_MODULES


def test_each_library_has_its_door() -> None:
    wrong = []
    for name in MODULES:
        for each in IMPORTS[name]:
            doors = DOORS.get(each.target.split(".")[0])
            if doors is None or each.typing_only:
                continue
            if not any(name == door or name.startswith(door + ".") for door in doors):
                wrong.append((name, each))
    assert not wrong, places(wrong)


def test_only_declared_libraries_are_imported() -> None:
    declared = {"wsproxy", "anyio", "h11", "websockets", "uvloop", "prometheus_client", "redis", "brotli", "zstandard"}
    declared |= {"dns", "httpx"}
    wrong = [
        (name, each)
        for name in MODULES
        for each in IMPORTS[name]
        if each.target.split(".")[0] not in declared | set(sys.stdlib_module_names)
    ]
    assert not wrong, places(wrong)


def test_there_are_no_cycles() -> None:
    """Words for a type checker are counted: who can only be described together is one thing in two files."""
    graph = {name: {each.target for each in IMPORTS[name] if each.target in MODULES} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", list(MODULES))
def test_a_file_has_one_idea_and_says_which(name: str) -> None:
    module = MODULES[name]
    lines = module.path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{lines} lines: split it"
    assert ast.get_docstring(module.tree) or name == "wsproxy.__main__", "a file opens with what it is"
    assert not set(name.split(".")) & {"utils", "helpers", "manager", "base", "common", "misc"}


def mutable_globals(tree: ast.Module) -> Iterator[int]:
    """Lines of module-level lists, dicts and sets that nothing declares constant."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            value, annotation, names = statement.value, "", [ast.unparse(target) for target in statement.targets]
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            value, annotation = statement.value, ast.unparse(statement.annotation)
            names = [ast.unparse(statement.target)]
        else:
            continue
        literal = isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)
        built = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in MUTABLE
        constant = annotation.startswith(("Final", "Mapping", "frozenset")) or names == ["__all__"]
        if (literal or built) and not constant:
            yield statement.lineno


MUTABLE: Final = {"list", "dict", "set", "deque", "defaultdict", "Counter", "OrderedDict", "bytearray", "count"}


def test_modules_hold_no_state() -> None:
    found = [
        f"{module.path.relative_to(ROOT)}:{line}"
        for module in MODULES.values()
        for line in mutable_globals(module.tree)
    ]
    assert not found, "\n".join(found)


def test_nothing_rebinds_a_global() -> None:
    found = [
        f"{module.path.relative_to(ROOT)}:{node.lineno}"
        for module in MODULES.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("a = []", [1]),
        ("a: dict[str, int] = {}", [1]),
        ("a = set()", [1]),
        ("a = collections.defaultdict(list)", [1]),
        ("a: Final = {}", []),
        ("a: Mapping[str, int] = {}", []),
        ("a = (1, 2)", []),
        ("__all__ = ['x']", []),
        ("class A:\n    b = []", []),
    ],
)
def test_the_check_for_state_sees_what_it_should(source: str, lines: list[int]) -> None:
    assert list(mutable_globals(ast.parse(source))) == lines


def test_the_check_for_imports_sees_what_it_should() -> None:
    source = (
        "import os.path\nfrom wsproxy.net import stream\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import socket\ndef f():\n    from wsproxy import errors\n"
    )
    found = [(each.target, each.typing_only) for each in imports_in(ast.parse(source).body)]
    assert found == [
        ("os.path", False),
        ("wsproxy.net.stream", False),
        ("typing", False),
        ("socket", True),
        ("wsproxy.errors", False),
    ]
