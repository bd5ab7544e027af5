"""PURE: whether a failed exchange is tried again."""

from __future__ import annotations

from typing import Final, Protocol

from wsproxy.errors import Failure, Retry

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 section 9.2.2."""


class Request(Protocol):
    """What the rule asks of an exchange.

    committed, answered: an interim or a final response began to go to the client, which knows of this attempt then.
    replayable: the body can be sent once more from its beginning.
    """

    committed: bool
    answered: bool

    @property
    def head(self) -> Head: ...
    @property
    def replayable(self) -> bool: ...


class Head(Protocol):
    """What the rule asks of a request head."""

    method: bytes


def is_safe(request: Request) -> bool:
    """Whether sending the request twice has the effect of sending it once."""
    return _is_possible(request) and request.head.method in IDEMPOTENT


def may_retry(failure: Failure, request: Request, retries_left: int) -> tuple[bool, bool]:
    """Return (try again, it costs one of `retries`)."""
    match failure.retry:
        case Retry.ELSEWHERE:
            return _is_possible(request), False
        case Retry.FRESH:
            return is_safe(request), False
        case Retry.IF_SAFE:
            return retries_left > 0 and is_safe(request), True
        case _:  # NEVER
            return False, False


def _is_possible(request: Request) -> bool:
    return not request.answered and not request.committed and request.replayable
