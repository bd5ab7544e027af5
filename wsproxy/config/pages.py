"""Parsers of what a frontend says of its own answers: error pages, and the name it has in Via.

Pure: whether a page can be read is asked where files are read.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from wsproxy.config.values import Parser, joined

MEDIA_TYPES: Final = {".html": "text/html", ".htm": "text/html", ".txt": "text/plain", ".json": "application/json"}
"""What a page's suffix makes of it: a client that asks for another of these forms gets our own answer in that."""

_STATUS: Final = re.compile(r"[45][0-9]{2}")
_NEVER_SENT: Final = frozenset({499})  # nobody is left to read it
# RFC 9110 section 7.6.3: a pseudonym (a token), or a host with or without a port.
_VIA_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")

Pages = tuple[tuple[tuple[int, ...], str], ...]


def _error_page(written: str) -> Pages:
    statuses, equals, path = (part.strip() for part in written.partition("="))
    if not equals or not statuses or not path:
        raise ValueError(f"'{written}' is not an error page (write '404 = not_found.html', or '502 503 = down.html')")
    numbers = []
    for status in statuses.replace(",", " ").split():
        if _STATUS.fullmatch(status) is None or int(status) in _NEVER_SENT:
            raise ValueError(f"'{status}' is not a status that an error page can have (400 to 599)")
        numbers.append(int(status))
    if posixpath.splitext(path)[1].lower() not in MEDIA_TYPES:
        raise ValueError(f"'{path}' has no suffix that says what it is (write {', '.join(MEDIA_TYPES)})")
    return ((tuple(numbers), path),)


def _resolve(pages: Pages, directory: str) -> Pages:
    return tuple((statuses, joined(path, directory)) for statuses, path in pages)


def media_type(path: str) -> str:
    """What a page is, by its suffix."""
    return MEDIA_TYPES[posixpath.splitext(path)[1].lower()]


def _via_name(written: str) -> str:
    if _VIA_NAME.fullmatch(written) is None:
        raise ValueError(f"'{written}' is not a name for Via (write a word, or a host name: gateway.example)")
    return written


ERROR_PAGES: Final = Parser("STATUS… = path, one page a line", _error_page, many=True, resolve=_resolve)
VIA_NAME: Final = Parser("NAME", _via_name)
