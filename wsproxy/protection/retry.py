"""PURE: whether a failed exchange is tried again."""

from __future__ import annotations

from typing import Final

from wsproxy.errors import Failure, Retry

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 section 9.2.2."""


def may_retry(
    failure: Failure, method: bytes, answered: bool, replayable: bool, retries_left: int
) -> tuple[bool, bool]:
    """Return (try again, it costs one of `retries`).

    answered: bytes of a response went to the client; replayable: the body can be sent once more from its beginning.
    """
    if answered or not replayable:
        return False, False
    match failure.retry:
        case Retry.ELSEWHERE:
            return True, False
        case Retry.FRESH:
            return method in IDEMPOTENT, False
        case Retry.IF_SAFE:
            return method in IDEMPOTENT and retries_left > 0, True
        case Retry.NEVER:
            return False, False
