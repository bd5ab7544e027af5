"""What is wrong with an ini file, and where: every problem at once, never the first alone.

May know: positions. Lines and columns count from 1; a column counts characters, not bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake; its text is what a person reads and an editor jumps to: `proxy.ini:41:9: unknown key …`."""

    source: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A position in the ini file."""

    source: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"

    def problem(self, message: str) -> Problem:
        """A problem at this place."""
        return Problem(self.source, self.line, self.column, message)

    def right(self, columns: int) -> Place:
        """The place so many columns further on the same line."""
        return Place(self.source, self.line, self.column + columns)


class ConfigError(Exception):
    """An ini file that cannot be used; `problems` holds each mistake once, sorted by position."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(set(problems)))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def unreadable(cls, path: str, reason: str) -> ConfigError:
        """The file itself cannot be read."""
        return cls([Problem(path, 1, 1, f"cannot be read: {reason.lower()}")])
