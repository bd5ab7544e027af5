"""What was counted under names that are not there now, so that whoever takes a name again goes on from there.

Counters of one name must never go back, or the rates that Prometheus makes of them are wrong.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

MOST_NAMES: Final = 256
"""Names remembered: servers that are found may have a new one at each start. About 1 KiB each."""

T = TypeVar("T")


class Past(Generic[T]):
    """Counters by name; those not asked for in the longest time are forgotten."""

    def __init__(self) -> None:
        self._by_name: dict[str, T] = {}

    def note(self, name: str, counted: T) -> None:
        """Whoever had the name is gone, or counts no more."""
        self._by_name.pop(name, None)
        self._by_name[name] = counted
        if len(self._by_name) > MOST_NAMES:
            del self._by_name[next(iter(self._by_name))]

    def get(self, name: str) -> T | None:
        """What was counted under a name, None where nothing is known."""
        return self._by_name.get(name)

    def take(self, name: str) -> T | None:
        """The same, for somebody who goes on from there."""
        return self._by_name.pop(name, None)

    def add(self, other: Past[T]) -> None:
        """Remember what another did as well."""
        for name, counted in other._by_name.items():
            self.note(name, counted)
