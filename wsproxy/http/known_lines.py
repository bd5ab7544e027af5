"""Field lines of heads that were judged before: what one means is looked up instead of being read again.

Pure. Most lines of most heads have been seen: browsers, libraries and servers send the same Accept, User-Agent and
Cache-Control all day. Looking one up takes a tenth of judging it, and a browser's head has twelve. HPACK (RFC 7541)
rests on the same habit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

KEPT_LINE_BYTES: Final = 192
"""The longest that is remembered: the longest User-Agents and policies are, and a thousand take below half a MiB."""

Meaning = tuple[int, bytes, int, bytes] | None
"""What has to be decided because of a line: the number of its field, its value, that as a number where it is one, and
the line itself. None where there is nothing to decide: it is forwarded as it stands."""


class DoubtError(Exception):
    """A line that the judge of whole heads has to see."""


class KnownLines(dict[bytes, Meaning]):
    """The meaning of each line, which includes its CR, but not the LF. A look-up raises DoubtError.

    limit: so many are remembered; for one more, all are forgotten. is_varying: whether a line means nothing and is not
    worth remembering. judge: reads any other that is not known.
    """

    __slots__ = ("_is_varying", "_judge", "_limit")

    def __init__(self, limit: int, is_varying: Callable[[bytes], object], judge: Callable[[bytes], Meaning]) -> None:
        super().__init__()
        self._limit = limit
        self._is_varying = is_varying
        self._judge = judge

    def __missing__(self, line: bytes) -> Meaning:
        """`self[line]` of a line that is not known."""
        if self._is_varying(line):
            return None
        meaning = self._judge(line)
        if len(line) <= KEPT_LINE_BYTES:
            if len(self) >= self._limit:
                self.clear()
            self[line] = meaning
        return meaning
