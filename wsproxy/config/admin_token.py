"""How the token of `[admin]` is written, and which hosts only this machine can connect to, so that none is needed.

Pure.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from wsproxy.config.values import Parser

SHORTEST_TOKEN: Final = 16
"""So many random letters and digits are beyond guessing."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]+")  # what a header field carries without quoting


def _token(written: str) -> str:
    if _TOKEN.fullmatch(written) is None:
        raise ValueError("a token is visible ASCII without spaces (write token = ${ADMIN_TOKEN}, say)")
    if len(written) < SHORTEST_TOKEN:
        raise ValueError(f"the token has {len(written)} characters, of which {SHORTEST_TOKEN} at least are needed")
    return written


TOKEN: Final = Parser(f"{SHORTEST_TOKEN} characters or more", _token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a host as the file names it."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
