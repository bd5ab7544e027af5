"""What a source of servers says: full sets, or that it could not be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

MOST_SERVERS: Final = 1000
"""Of one set that is used: each takes a pool and probes; more is a mistake of whoever says so."""


@dataclass(frozen=True, slots=True)
class Found:
    """One server. address: as one writes it in `serverN`. name: "" for its address.

    takes_new: False for one that is about to go and may finish what it has, WebSockets among it.
    """

    address: str
    name: str = ""
    weight: int = 1
    backup: bool = False
    takes_new: bool = True


class FoundSink(Protocol):
    """Who is told."""

    async def found(self, servers: Sequence[Found]) -> None:
        """These are all there are now. Told again when nothing has changed, which costs nothing."""

    def not_found(self, reason: str) -> None:
        """The source did not answer, or not so that one could believe it: what it said last stays."""
