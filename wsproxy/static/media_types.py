"""What a file is, by its name's ending. Knows the standard library's table and what that lacks, and no file."""

from __future__ import annotations

from functools import lru_cache
from mimetypes import MimeTypes
from typing import Final

DEFAULT_TYPE: Final = b"application/octet-stream"

_MORE: Final = {
    ".7z": "application/x-7z-compressed",
    ".avif": "image/avif",
    ".bz2": "application/x-bzip2",
    ".cjs": "text/javascript",
    ".flac": "audio/flac",
    ".gz": "application/gzip",
    ".ico": "image/x-icon",
    ".jsonld": "application/ld+json",
    ".m4a": "audio/mp4",
    ".map": "application/json",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".otf": "font/otf",
    ".rar": "application/vnd.rar",
    ".tgz": "application/gzip",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}
"""The standard library takes these from files of the system, if it has any: here a name means the same everywhere."""
_CORRECTIONS: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".xml": "application/xml"}
_MORE_TEXT: Final = frozenset({"application/javascript", "application/xml"})


def _make_table() -> MimeTypes:
    table = MimeTypes()  # the built-in types alone, without those of the system
    for suffix, name in (_MORE | _CORRECTIONS).items():
        table.add_type(name, suffix)
    return table


_TABLE: Final = _make_table()


@lru_cache(maxsize=256)  # by suffix: a site has a dozen
def _of_suffix(suffix: str) -> bytes:
    name = _TABLE.types_map[True].get(suffix)
    if name is None:
        return DEFAULT_TYPE
    is_text = name.startswith("text/") or name in _MORE_TEXT
    return f"{name}; charset=utf-8".encode("ascii") if is_text else name.encode("ascii")


def media_type(name: bytes) -> bytes:
    """The Content-Type of a file of this name; text is taken to be UTF-8."""
    stem, dot, suffix = name.rpartition(b".")
    if not dot or not stem or b"/" in suffix or len(suffix) > 16:  # no known ending is longer
        return DEFAULT_TYPE
    return _of_suffix("." + suffix.decode("latin-1").lower())
