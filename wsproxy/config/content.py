"""Parsers of what is said about contents: files of a static route, and how answers are compressed.

Pure; whether a directory is there is asked where files are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from wsproxy.config.values import Parser, url_path

_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+\-]+/(?:\*|[a-z0-9!#$&^_.+\-]+)|\*/\*|\+[a-z0-9.\-]+", re.IGNORECASE)
_FIELD_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OFF: Final = frozenset({"off", "no", "none"})

CODINGS: Final = ("gzip", "zstd", "br")
_LIBRARIES: Final = {"br": "brotli", "zstd": "zstandard"}

TEXT_TYPES: Final = "text/* +json +xml application/json application/javascript application/xml application/wasm"
"""What gains by a coding; pictures, films, archives and web fonts are compressed already."""


def _words(written: str) -> tuple[str, ...]:
    return tuple(written.replace(",", " ").split())


def _codings(needs_library: bool) -> Callable[[str], tuple[str, ...]]:
    def parse(written: str) -> tuple[str, ...]:
        words = tuple(word.lower() for word in _words(written))
        if len(words) == 1 and words[0] in _OFF:
            return ()
        for word in words:
            if word not in CODINGS:
                raise ValueError(f"'{word}' is not a content coding (write {', '.join(CODINGS)}, or off)")
            library = _LIBRARIES.get(word)
            if needs_library and library is not None and find_spec(library) is None:
                raise ValueError(f"'{word}' needs the library {library} (pip install wsproxy[compression])")
        if len(set(words)) < len(words):
            raise ValueError(f"'{written}' names a coding twice")
        return words

    return parse


def _types(written: str) -> tuple[str, ...]:
    words = tuple(word.lower() for word in _words(written))
    for word in words:
        if _MEDIA_TYPE.fullmatch(word) is None:
            raise ValueError(f"'{word}' is not a media type (write text/html, text/*, or +json)")
    return words


def _file_names(written: str) -> tuple[str, ...]:
    words = _words(written)
    if len(words) == 1 and words[0] in _OFF:
        return ()
    for word in words:
        if "/" in word or word.startswith("."):
            raise ValueError(f"'{word}' is not the name of a file in a directory (write index.html)")
    return words


def _field_value(written: str) -> str:
    if _FIELD_VALUE.fullmatch(written) is None:
        raise ValueError(f"'{written}' cannot stand in a header (visible ASCII and spaces only)")
    return written


CODING_LIST: Final = Parser("gzip, zstd, br | off", _codings(needs_library=True))
FILE_CODINGS: Final = Parser("br, zstd, gzip | off", _codings(needs_library=False))
MEDIA_TYPE_LIST: Final = Parser("text/html, text/*, +json, …", _types, many=True)
INDEX_NAMES: Final = Parser("file names | off", _file_names)
FIELD_VALUE: Final = Parser("text", _field_value)
FALLBACK: Final = Parser("/path", url_path)
