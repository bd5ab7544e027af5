"""No pattern that sees what clients or servers send takes a time that grows with the square of its length.

One head of 16 KiB would hold the event loop, and with it everybody, for a second. Every compiled pattern of the modules
that read such text is tried with runs of what makes patterns go back: a new one is covered as soon as it is written.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import pytest

import wsproxy
from tests.yardstick import cost_s

PACKAGES = (
    *("admin", "balancing", "cache", "frontend", "health", "http"),
    *("limiting", "observe", "protection", "static", "ws"),
)
SIZE = 16_000
LIMIT_S = 0.2
"""Of CPU: those that go through their text once take less than a fifth of it, those that do not more than a second."""

REPEATED_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9,]+\})\+")
CHARACTERS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")

RUNS = tuple(b' |,|;|"|=|a|0|a,|a=b;|"\\|/|.|:|-|a |; |A: b\r\n'.split(b"|"))
BEFORE = (b"", b"a", b"a: ", b'a="', b"GET / HTTP/1.1\r\nA: ")
BEHIND = (b"", b"!", b"\r\n\r\n")

Pattern = re.Pattern[str] | re.Pattern[bytes]
Try = Callable[[bytes], object]


def patterns() -> Iterator[tuple[str, Pattern, str]]:
    """Each module-level pattern, or method of one: its name, itself, and the method's name."""
    for package in PACKAGES:
        for found in pkgutil.iter_modules([f"{wsproxy.__path__[0]}/{package}"], f"wsproxy.{package}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                pattern = value if isinstance(value, re.Pattern) else getattr(value, "__self__", None)
                if isinstance(pattern, re.Pattern):
                    yield f"{found.name}.{name}", pattern, getattr(value, "__name__", "search")


EACH = [pytest.param(*each, id=each[0]) for each in patterns()]


def attempt(pattern: Pattern, method: str) -> Try:
    """It as something that is called with text."""
    is_text = isinstance(pattern.pattern, str)

    def run(data: bytes) -> object:
        text = data.decode("latin-1") if is_text else data
        empty = "" if is_text else b""
        arguments = (empty, text) if method in ("sub", "subn") else (text,)
        result = getattr(pattern, method)(*arguments)
        return list(result) if method == "finditer" else result

    return run


def worst_of(run: Try, rounds: int = 3) -> tuple[float, bytes]:
    """The longest that any of the texts takes at best, in seconds of CPU, and how that text begins."""
    worst = (0.0, b"")
    for before, part, behind in product(BEFORE, RUNS, BEHIND):
        text = before + part * (SIZE // len(part)) + behind
        worst = max(worst, (cost_s(partial(run, text), LIMIT_S, rounds), text[:40]))
        if worst[0] > LIMIT_S:
            break
    return worst


@pytest.mark.parametrize(("name", "pattern", "method"), EACH)
def test_patterns_go_through_their_text_once(name: str, pattern: Pattern, method: str) -> None:
    seconds, text = worst_of(attempt(pattern, method))
    assert seconds < LIMIT_S, f"{name} takes {seconds:.2f} s for {SIZE} bytes that begin with {text!r}"


@pytest.mark.parametrize("pattern", [rb"0*([0-9]*)", rb"[ \t]*a[ \t]*(?:;b)?[ \t]*"])
def test_one_that_does_not_would_be_found(pattern: bytes) -> None:
    assert worst_of(re.compile(pattern).fullmatch, rounds=1)[0] > LIMIT_S


@pytest.mark.parametrize(("name", "pattern", "method"), EACH)
def test_no_group_is_repeated_possessively(name: str, pattern: Pattern, method: str) -> None:
    """Python before 3.11.5 takes half of such a group for a whole one; an atomic group says the same."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    assert not REPEATED_GROUP.search(CHARACTERS.sub("x", text)), f"{name}: write (?>(?:…)*) for (?:…)*+"


def test_such_a_group_would_be_found() -> None:
    assert REPEATED_GROUP.search(CHARACTERS.sub("x", r"(?:a[()*+]b?)*+"))
    assert not REPEATED_GROUP.search(CHARACTERS.sub("x", r"\(?:a[()*+]b?)*\)++"))
