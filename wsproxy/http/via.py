"""Via: the proxies that a message has come through, and the request that has come through us before (RFC 9110 7.6.3).

Pure. A name is what the configuration says: a pseudonym, or a host with or without a port.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.messages import field_values

_comment: Final = re.compile(rb"\([^()]*\)")


def via_line(minor_version: int, name: bytes) -> bytes:
    """The line to add to a message that was received as HTTP/1.`minor_version`, behind those of other proxies."""
    return b"Via: 1.%d %b\r\n" % (minor_version, name)


def has_passed(fields: bytes, name: bytes) -> bool:
    """Whether a canonical block of fields says that the request has come through `name` already."""
    wanted = name.lower()
    for value in field_values(fields, b"via"):
        for element in _comment.sub(b"", value).split(b","):
            words = element.split()
            if len(words) > 1 and words[1].lower() == wanted:
                return True
    return False
