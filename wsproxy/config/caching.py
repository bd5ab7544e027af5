"""Parsers of what concerns the cache: what is kept, and what a route says of its answers.

Pure; the parsers of single values that every section has in common are in `values`.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.config.values import Parser, url_path

_METHOD: Final = re.compile(r"[A-Z][A-Z\-]*")
_CACHED: Final = ("GET", "HEAD")
_DIRECTIVE: Final = re.compile(r"[A-Za-z0-9\-]+(?:=(?:[0-9]+|\"[A-Za-z0-9\-, ]+\"))?")
_COMMA: Final = re.compile(r"\s*,\s*(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)")


def _words(written: str) -> list[str]:
    return written.replace(",", " ").split()


def _cached_methods(written: str) -> tuple[str, ...]:
    methods = tuple(dict.fromkeys(word.upper() for word in _words(written)))
    for method in methods:
        if method not in _CACHED:
            raise ValueError(f"answers to '{method}' are never kept (write GET, or GET HEAD)")
    return methods


def _ignored(written: str) -> tuple[str, ...]:
    for word in (words := _words(written)):
        if word.startswith("/"):
            url_path(word)
        elif _METHOD.fullmatch(word) is None:
            raise ValueError(f"'{word}' is neither a path nor a method (write /account or HEAD)")
    return tuple(words)


def _cache_control(written: str) -> str:
    for directive in _COMMA.split(written):
        if _DIRECTIVE.fullmatch(directive) is None:
            raise ValueError(f"'{directive}' is not a directive of Cache-Control (write public, max-age=60)")
    return written


CACHED_METHODS: Final = Parser("GET | GET HEAD", _cached_methods)
IGNORED: Final = Parser("/path or METHOD, separated by spaces", _ignored, many=True)
CACHE_CONTROL: Final = Parser("directives", _cache_control)
