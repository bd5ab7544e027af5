"""What is declared is enough: the product without its extras, and the tests with theirs.

A machine of a developer has every library, and hides what only a fresh installation would show.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]
DISTRIBUTIONS: Final = packages_distributions()

OF_THIS_REPOSITORY: Final = {"wsproxy", "tests", "loadtests"}
NOT_INSTALLED_HERE: Final = {"atheris"}
"""Wanted by the endless fuzzing alone, which says so where it is missing."""

WITHOUT_EXTRAS: Final = """
import importlib, pkgutil, sys

class Without:
    # a finder that does not see some libraries

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
import wsproxy.cli, wsproxy.config
for module in pkgutil.walk_packages(wsproxy.config.__path__, "wsproxy.config."):
    importlib.import_module(module.name)
sys.exit(wsproxy.cli.main(["--check", {file!r}]))
"""


def names(requirements: list[str]) -> set[str]:
    """The distributions that are required, as packages are compared: lower case, with dashes."""
    found = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {re.sub(r"[_.]", "-", match[0]).lower() for match in found if match is not None}


CORE: Final = names(PROJECT["dependencies"])


def libraries(folder: str) -> Iterator[tuple[str, str]]:
    """What the files of a folder import of others, and where."""
    own = OF_THIS_REPOSITORY | NOT_INSTALLED_HERE | set(sys.stdlib_module_names)
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                targets = [str(node.module)]
            else:
                continue
            for top in {target.partition(".")[0] for target in targets} - own:
                yield top, f"{path.relative_to(ROOT)}:{node.lineno}"


@pytest.mark.parametrize(("folder", "extras"), [("tests", ["test"]), ("loadtests", ["load", "test"])])
def test_every_library_that_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    """`test` brings what the tests import, by its own name: not what happens to come along with something else."""
    declared = CORE.union(*(names(EXTRAS[extra]) for extra in extras))
    lacking = [
        f"{place}: {library} is in no extra of {extras}"
        for library, place in libraries(folder)
        if not names(DISTRIBUTIONS.get(library, [library])) & declared
    ]
    assert not lacking, "\n".join(lacking)


def test_the_tests_have_every_extra_of_the_product() -> None:
    """What a user may install is tested with it."""
    for extra in EXTRAS.keys() - {"test", "fuzz", "load"}:
        assert names(EXTRAS[extra]) <= names(EXTRAS["test"]), extra


def optional_modules() -> list[str]:
    """What to import of everything that only extras bring."""
    optional = set[str]().union(*(names(requirements) for requirements in EXTRAS.values())) - CORE
    return sorted(module for module, found in DISTRIBUTIONS.items() if names(found) & optional)


def check(file: str) -> subprocess.CompletedProcess[str]:
    """What `wsproxy --check` says of a file where no extra is installed, with every module of config imported first."""
    program = WITHOUT_EXTRAS.format(blocked=optional_modules(), file=file)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("file", ["proxy.ini", "docker/compose.ini"])
def test_the_product_reads_its_file_without_any_extra(file: str) -> None:
    assert {"redis", "brotli", "zstandard", "dns", "httpx", "aiohttp"} <= set(optional_modules())
    done = check(file)
    assert (done.returncode, done.stderr) == (0, "")
    assert ": ok (" in done.stdout


def test_what_needs_an_extra_says_which(tmp_path: Path) -> None:
    file = tmp_path / "proxy.ini"
    file.write_text(
        "[frontend]\nport = 8080\n[http]\nserver1 = a:1\ncache = yes\ncompress = br\n"
        "[http:found]\npath_prefix = /found\ndiscover = dns://site.example:80\n"
    )
    done = check(str(file))
    assert done.returncode == 2
    assert f"{file}:6:" in done.stderr
    assert f"{file}:9:" in done.stderr
    assert "(pip install wsproxy[compression])" in done.stderr
    assert "(pip install wsproxy[discovery])" in done.stderr
    file.write_text(
        "[frontend]\nport = 8080\n[http]\nserver1 = a:1\ncache = yes\n"
        "[cache]\nstore = redis\nredis_url = redis://127.0.0.1:6379/0\n"
    )
    done = check(str(file))
    assert done.returncode == 2
    assert f"{file}:8:13: 'store = redis' needs the Redis client (pip install 'wsproxy[redis]')" in done.stderr
    assert "Traceback" not in done.stderr
