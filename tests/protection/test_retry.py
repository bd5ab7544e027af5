"""Whether a failed exchange is tried again: the whole table of kinds, methods and states."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from wsproxy.errors import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    CLIENT_LEFT,
    INTERNAL,
    NO_BACKEND,
    QUEUE_TIMEOUT,
    STOPPING,
    Failure,
    Retry,
    Side,
    bad_answer,
    bad_body,
    closed_early,
    connect_failed,
    no_answer,
)
from wsproxy.protection.retry import is_safe, may_retry


@dataclass
class Head:
    method: bytes = b"GET"


@dataclass
class Request:
    head: Head = field(default_factory=Head)
    committed: bool = False
    answered: bool = False
    replayable: bool = True


GET, POST = Request(), Request(Head(b"POST"))
ANSWERED, COMMITTED = Request(answered=True), Request(committed=True)
CONSUMED = Request(Head(b"PUT"), replayable=False)

NO = (False, False)
FREE = (True, False)
PAID = (True, True)
UNPAYABLE = (False, True)


@pytest.mark.parametrize(
    ("retry", "request_", "left", "expected"),
    [
        # Nothing was written: anything goes elsewhere, for nothing.
        (Retry.ELSEWHERE, GET, 1, FREE),
        (Retry.ELSEWHERE, GET, 0, FREE),
        (Retry.ELSEWHERE, POST, 0, FREE),
        (Retry.ELSEWHERE, CONSUMED, 1, NO),
        (Retry.ELSEWHERE, ANSWERED, 1, NO),
        (Retry.ELSEWHERE, COMMITTED, 1, NO),
        # A stale connection: once more if that is safe, for nothing.
        (Retry.FRESH, GET, 0, FREE),
        (Retry.FRESH, POST, 1, NO),
        (Retry.FRESH, CONSUMED, 1, NO),
        (Retry.FRESH, COMMITTED, 1, NO),
        # Bytes were written: if that is safe, and costs.
        (Retry.IF_SAFE, GET, 1, PAID),
        (Retry.IF_SAFE, GET, 0, UNPAYABLE),
        (Retry.IF_SAFE, POST, 1, UNPAYABLE),
        (Retry.IF_SAFE, CONSUMED, 1, UNPAYABLE),
        (Retry.IF_SAFE, ANSWERED, 1, UNPAYABLE),
        (Retry.NEVER, GET, 9, NO),
    ],
)
def test_may_retry(retry: Retry, request_: Request, left: int, expected: tuple[bool, bool]) -> None:
    failure = Failure(Side.UPSTREAM, 502, "x", retry)
    assert may_retry(failure, request_, left) == expected


@pytest.mark.parametrize(
    ("method", "safe"),
    [
        (b"GET", True),
        (b"HEAD", True),
        (b"OPTIONS", True),
        (b"TRACE", True),
        (b"PUT", True),
        (b"DELETE", True),
        (b"POST", False),
        (b"PATCH", False),
        (b"get", False),
        (b"BREW", False),
    ],
)
def test_idempotent_methods(method: bytes, safe: bool) -> None:
    assert is_safe(Request(Head(method))) is safe


@pytest.mark.parametrize(
    ("failure", "side", "status", "retry"),
    [
        (connect_failed("x", timed_out=False), Side.UPSTREAM, 502, Retry.ELSEWHERE),
        (connect_failed("x", timed_out=True), Side.UPSTREAM, 504, Retry.ELSEWHERE),
        (closed_early(reused=True), Side.UPSTREAM, 502, Retry.FRESH),
        (closed_early(reused=False), Side.UPSTREAM, 502, Retry.IF_SAFE),
        (no_answer(60.0), Side.UPSTREAM, 504, Retry.IF_SAFE),
        (bad_answer("x"), Side.UPSTREAM, 502, Retry.NEVER),
        (bad_body(400, "x"), Side.CLIENT, 400, Retry.NEVER),
        (CLIENT_LEFT, Side.CLIENT, 499, Retry.NEVER),
        (BODY_TIMEOUT, Side.CLIENT, 408, Retry.NEVER),
        (BODY_TOO_LARGE, Side.CLIENT, 413, Retry.NEVER),
        (NO_BACKEND, Side.UPSTREAM, 503, Retry.NEVER),
        (QUEUE_TIMEOUT, Side.PROXY, 503, Retry.NEVER),
        (STOPPING, Side.PROXY, 503, Retry.NEVER),
        (INTERNAL, Side.PROXY, 500, Retry.NEVER),
    ],
)
def test_each_failure_names_its_side_status_and_retry(failure: Failure, side: Side, status: int, retry: Retry) -> None:
    assert (failure.side, failure.status, failure.retry) == (side, status, retry)
    assert (failure.retry_after_s is not None) is (failure is QUEUE_TIMEOUT)
