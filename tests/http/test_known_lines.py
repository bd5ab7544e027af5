"""http/known_lines.py: a line that was judged once is not judged again, and what is remembered has a limit."""

from __future__ import annotations

import pytest

from wsproxy.http.known_lines import KEPT_LINE_BYTES, DoubtError, KnownLines, Meaning

LIMIT = 4


class Lines:
    """Known lines whose judge notes what it is asked: `x…` is doubtful, `v…` varies, `d…` has to be decided."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.known = KnownLines(LIMIT, lambda line: line.startswith(b"v"), self._judge)

    def _judge(self, line: bytes) -> Meaning:
        self.asked.append(line)
        if line.startswith(b"x"):
            raise DoubtError
        return (1, line[1:], 0, line) if line.startswith(b"d") else None


def test_a_line_is_judged_once() -> None:
    lines = Lines()
    for _ in range(3):
        assert lines.known[b"d7"] == (1, b"7", 0, b"d7")
        assert lines.known[b"plain"] is None
    assert lines.asked == [b"d7", b"plain"]


def test_doubt_is_not_remembered() -> None:
    lines = Lines()
    for _ in range(2):
        with pytest.raises(DoubtError):
            lines.known[b"x"]
    assert lines.asked == [b"x", b"x"]
    assert not lines.known


def test_what_varies_and_what_is_long_is_not_remembered() -> None:
    lines = Lines()
    assert lines.known[b"v1"] is None
    long = b"d" * (KEPT_LINE_BYTES + 1)
    assert lines.known[long] == (1, long[1:], 0, long)
    assert lines.known[long[1:]] == (1, long[2:], 0, long[1:])
    assert list(lines.known) == [long[1:]]


def test_it_never_holds_more_than_its_limit() -> None:
    lines = Lines()
    for number in range(10 * LIMIT):
        line = b"d%d" % number
        assert lines.known[line] == (1, line[1:], 0, line)
        assert len(lines.known) <= LIMIT
        assert line in lines.known
