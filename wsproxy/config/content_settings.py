"""The part of the model that is about contents: files, and how answers are compressed.

May know: value shapes, as `model` does, whose rules hold here too.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CompressionSettings:
    """Which answers are compressed for clients that accept it, and how."""

    codings: tuple[str, ...] = ()  # as Content-Encoding names them, the one we like best first; none: off
    types: tuple[str, ...] = (
        *("text/*", "+json", "+xml", "application/json", "application/javascript", "application/xml"),
        "application/wasm",
    )
    min_size_bytes: int = 1024
    level: int = 4  # 1, fast, to 9, small


@dataclass(frozen=True, slots=True)
class StaticSettings:
    """The files of a `[static:NAME]` section."""

    directory: str
    index: tuple[str, ...] = ("index.html",)  # what stands for a directory; the first that is there
    listing: bool = False
    fallback: str | None = None  # a path below the directory, shown in place of what is not there
    precompressed: tuple[str, ...] = ("br", "zstd", "gzip")  # whose siblings (`.br`, `.zst`, `.gz`) are looked for
    cache_control: str | None = None
    place: str = field(default="", compare=False)  # of the directory in the ini file, for one that cannot be read
