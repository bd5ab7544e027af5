"""The access line of a connection that was relayed byte for byte.

Knows what is over and done with, in numbers; see `entries` for what a line can say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsproxy.observe.entries import Values, milliseconds
from wsproxy.observe.sheet import Sheet


@dataclass(frozen=True, slots=True)
class TcpEnd:
    """How a connection of a `[tcp:NAME]` section ended. Times in seconds.

    result: `client` or `upstream`, which ended first, with `_lost` for a reset; `idle`; `cut` by the proxy; `no_server`
    where none was healthy, `refused` where none of them took it, `overload` where the proxy had no room. connect_s:
    None where none was asked.
    """

    listener: str
    backend: str
    result: str
    attempts: int
    connect_s: float | None
    total_s: float
    client_bytes: int = 0
    upstream_bytes: int = 0


_TCP_TERMINATIONS: Final = {
    "client": "--",
    "upstream": "--",
    "client_lost": "CD",
    "upstream_lost": "SD",
    "idle": "cD",
    "cut": "PD",
    "no_server": "PQ",
    "refused": "SC",
    "overload": "PR",
}
"""As requests have them: who ended it (in lower case: a time ran out), and in which stage."""

_REASONS: Final = frozenset({"no_server", "refused", "overload", "idle"})
"""Results that say more than who ended it."""


def tcp_values(sheet: Sheet, client: str, end: TcpEnd) -> Values:
    """A connection that was relayed byte for byte, and is over."""
    no_text, no_number = sheet.no_text, sheet.no_number
    side = end.result.partition("_")[0]
    connect = no_number if end.connect_s is None else milliseconds(end.connect_s)
    reason = end.result if end.result in _REASONS else no_text
    return (
        *(sheet.time, sheet.time_iso, "tcp", client),
        *(no_text, no_text, no_text, no_text, no_text, no_text, no_text),
        *(no_number, end.upstream_bytes, no_number, end.listener, end.backend or no_text, end.attempts),
        *(_TCP_TERMINATIONS[end.result], no_number, connect, no_number, milliseconds(end.total_s)),
        *(no_text, no_text, no_text, reason),
        *(no_number, end.client_bytes, no_number, end.upstream_bytes),
        *(side if side in {"client", "upstream"} else "proxy", no_number, no_number, no_number),
    )
