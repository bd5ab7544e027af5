"""The cases that wsproxy is known to fail, by test name, each with what it does instead.

Each is an expected failure, and a strict one: a case that passes has to leave this list.
"""

from __future__ import annotations

HALF_CLOSED = "a half-close right behind a Close ends both sides at once, the other side's answer is dropped"
MENDED = "the Connection that the upstream left out is set anew, the client does not learn that it was missing"
OLD = "a 101 with a status line of HTTP/1.0 is taken for a good one"

KNOWN: dict[str, str] = {
    "test_close_and_end_of_tcp_in_one_go[by client]": HALF_CLOSED,
    "test_close_and_end_of_tcp_in_one_go[by upstream]": HALF_CLOSED,
    "test_bad_switch_is_502[no Connection]": MENDED,
    "test_bad_switch_is_502[another Connection]": MENDED,
    "test_switch_in_http_1_0_is_502": OLD,
}
