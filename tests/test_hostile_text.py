"""No pattern that sees what clients or servers send takes a time that grows with the square of its length.

One head of 16 KiB would hold the event loop, and with it everybody, for a second. Every compiled pattern of the modules
that read such text is tried with runs of what makes patterns go back: a new one is covered as soon as it is written.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from itertools import product

import pytest

import wsproxy

PACKAGES = (
    *("admin", "balancing", "cache", "frontend", "health", "http"),
    *("limiting", "observe", "protection", "static", "ws"),
)
SIZE = 16_000
LIMIT_S = 0.2
"""Of CPU: those that go through their text once take less than a fifth of it, those that do not more than a second."""

RUNS = tuple(b" |,|;|\"|=|a|0|a,|a=b;|\"\\|/|.|:|-|a |; |A: b\r\n".split(b"|"))
BEFORE = (b"", b"a", b"a: ", b'a="', b"GET / HTTP/1.1\r\nA: ")
BEHIND = (b"", b"!", b"\r\n\r\n")

Try = Callable[[bytes], object]


def patterns() -> Iterator[tuple[str, Try]]:
    """Each module-level pattern, or method of one, as something that is called with text."""
    for package in PACKAGES:
        for found in pkgutil.iter_modules([f"{wsproxy.__path__[0]}/{package}"], f"wsproxy.{package}."):
            for name, value in vars(importlib.import_module(found.name)).items():
                pattern = value if isinstance(value, re.Pattern) else getattr(value, "__self__", None)
                if isinstance(pattern, re.Pattern):
                    yield f"{found.name}.{name}", attempt(pattern, getattr(value, "__name__", "search"))


def attempt(pattern: re.Pattern[str] | re.Pattern[bytes], method: str) -> Try:
    is_text = isinstance(pattern.pattern, str)

    def run(data: bytes) -> object:
        text = data.decode("latin-1") if is_text else data
        empty = "" if is_text else b""
        arguments = (empty, text) if method in ("sub", "subn") else (text,)
        result = getattr(pattern, method)(*arguments)
        return list(result) if method == "finditer" else result

    return run


def worst_of(run: Try) -> tuple[float, bytes]:
    """The longest that any of the texts takes, in seconds of CPU, and how that text begins."""
    worst = (0.0, b"")
    for before, part, behind in product(BEFORE, RUNS, BEHIND):
        text = before + part * (SIZE // len(part)) + behind
        began_at = time.process_time()
        run(text)
        worst = max(worst, (time.process_time() - began_at, text[:40]))
        if worst[0] > LIMIT_S:
            break
    return worst


@pytest.mark.parametrize(("name", "run"), [pytest.param(*each, id=each[0]) for each in patterns()])
def test_patterns_go_through_their_text_once(name: str, run: Try) -> None:
    seconds, text = worst_of(run)
    assert seconds < LIMIT_S, f"{name} takes {seconds:.2f} s for {SIZE} bytes that begin with {text!r}"


@pytest.mark.parametrize("pattern", [rb"0*([0-9]*)", rb"[ \t]*a[ \t]*(?:;b)?[ \t]*"])
def test_one_that_does_not_would_be_found(pattern: bytes) -> None:
    assert worst_of(re.compile(pattern).fullmatch)[0] > LIMIT_S
