"""The door to the libraries that compress: zlib, and brotli and zstandard where they are installed.

Pure. One object a body; what it holds is bounded by its window (gzip about 300 KiB, br and zstd a few MiB at most).
"""

from __future__ import annotations

import zlib
from typing import Final, Protocol

BROTLI: Final = "br"
ZSTD: Final = "zstd"
"""As Content-Encoding names them."""

_GZIP_WINDOW: Final = 31  # zlib's largest window, 15, and 16 more for a gzip header in front
_BROTLI_WINDOW: Final = 19  # half a MiB: a quarter of the memory of the default, for about one percent of the size


class Coder(Protocol):
    """A body on its way into a coding."""

    def compress(self, data: bytes) -> bytes:
        """What can be sent so far, maybe b""."""
        ...

    def flush(self) -> bytes:
        """What makes all that came so far readable."""
        ...

    def finish(self) -> bytes:
        """The end."""
        ...


def make_coder(coding: str, level: int) -> Coder:
    """A coder for one body; level: 1, fast, to 9, small."""
    if coding == BROTLI:
        return _Brotli(level)
    if coding == ZSTD:
        return _Zstd(level)
    return _Gzip(level)


class _Gzip:
    def __init__(self, level: int) -> None:
        self._coder = zlib.compressobj(level, zlib.DEFLATED, _GZIP_WINDOW)

    def compress(self, data: bytes) -> bytes:
        return self._coder.compress(data)

    def flush(self) -> bytes:
        return self._coder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._coder.flush(zlib.Z_FINISH)


class _Brotli:
    def __init__(self, level: int) -> None:
        import brotli

        self._coder = brotli.Compressor(quality=level, lgwin=_BROTLI_WINDOW)

    def compress(self, data: bytes) -> bytes:
        return bytes(self._coder.process(data))

    def flush(self) -> bytes:
        return bytes(self._coder.flush())

    def finish(self) -> bytes:
        return bytes(self._coder.finish())


class _Zstd:
    def __init__(self, level: int) -> None:
        import zstandard

        self._block_end = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        self._coder = zstandard.ZstdCompressor(level=level).compressobj()

    def compress(self, data: bytes) -> bytes:
        return self._coder.compress(data)

    def flush(self) -> bytes:
        return self._coder.flush(self._block_end)

    def finish(self) -> bytes:
        return self._coder.flush()
