"""Which file below a directory the path of a request means: the one spelling that is looked up, or none at all.

Knows text and bytes, no file. Every path comes in as routes see it (`normal_path`: dot segments resolved); whatever
still hides in escapes is decoded once, here, and judged afterwards.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_WELL_KNOWN: Final = b".well-known"
"""The one directory with a dot that is there to be seen (RFC 8615): certificates are renewed through it."""
_SAFE: Final = "/!$&'()*+,;=:@~"  # RFC 3986 section 3.3: what a path may hold as it is


def relative_path(path: str, prefix: str) -> bytes | None:
    """The name below the directory of what `path` asks for behind the route's `prefix`, without a slash in front.

    One slash at its end is kept, as only a directory has one; more in a row count as one. None for what is never
    served: names with a slash, backslash or NUL in them, dot segments, and files and directories that a dot hides.
    """
    rest = path.encode("latin-1")[len(prefix) :]
    segments = rest.split(b"/")
    if b"%" in rest:
        segments = [unquote_to_bytes(segment) for segment in segments]
    kept = [segment for segment in segments if segment]
    for position, segment in enumerate(kept):
        if b"/" in segment or b"\\" in segment or b"\0" in segment:
            return None
        if segment.startswith(b".") and not (position == 0 and segment == _WELL_KNOWN):
            return None
    joined = b"/".join(kept)
    return joined + b"/" if joined and not segments[-1] else joined


def directory_location(path: str, target: bytes) -> bytes:
    """Where a directory is that was asked for without its slash: the same path with it, and the same query.

    Begins with one slash, never with two: `//host` would be another site.
    """
    _, mark, query = target.partition(b"?")
    name = unquote_to_bytes(path.encode("latin-1")).strip(b"/")
    return b"/%b/%b%b" % (quoted(name).encode("ascii"), mark, query)


def quoted(name: bytes) -> str:
    """A path as a link holds it."""
    return quote_from_bytes(name, safe=_SAFE)
