"""The part of the schema that is about contents: files, and how answers are compressed. Pure, and data alone."""

from __future__ import annotations

from typing import Final

from wsproxy.config.content import (
    CODING_LIST,
    FALLBACK,
    FIELD_VALUE,
    FILE_CODINGS,
    INDEX_NAMES,
    MEDIA_TYPE_LIST,
    TEXT_TYPES,
)
from wsproxy.config.content_settings import CompressionSettings, StaticSettings
from wsproxy.config.keys import Key, Table
from wsproxy.config.values import BOOLEAN, PATH, integer, size

STATIC: Final = Table(
    StaticSettings,
    (
        Key("directory", PATH, None, "the files; path_prefix is not part of their names", needed=True),
        Key("index", INDEX_NAMES, "index.html", "files that stand for a directory; the first that is there"),
        Key("listing", BOOLEAN, "no", "list directories without an index"),
        Key("fallback", FALLBACK, None, "file shown in place of what is not there, for single-page applications"),
        Key("precompressed", FILE_CODINGS, "br, zstd, gzip", "files beside a file (.br, .zst, .gz) sent in its place"),
        Key("cache_control", FIELD_VALUE, None, "Cache-Control of the answers"),
    ),
)

COMPRESSION: Final = Table(
    CompressionSettings,
    (
        Key("compress", CODING_LIST, "off", "codings for answers, the best one first", field="codings"),
        Key("compress_types", MEDIA_TYPE_LIST, TEXT_TYPES, "media types that are compressed", field="types"),
        Key("compress_min_size", size(1), "1k", "smaller answers are left alone", field="min_size_bytes"),
        Key("compress_level", integer(1, 9), "4", "1 is the quickest, 9 the smallest", field="level"),
    ),
)
