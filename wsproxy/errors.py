"""What can go wrong with an exchange: whose fault, which status, and whether it may be tried again.

The place that fails says all three; the attempt loop only reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Side(Enum):
    """Whose fault a failure is."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    PROXY = "proxy"


class Retry(Enum):
    """Whether a failed exchange may be tried again."""

    NEVER = "never"
    ELSEWHERE = "elsewhere"
    """Nothing was written: any method may go to another backend, at no cost."""
    FRESH = "fresh"
    """A reused connection was closed by the server before it answered: once more, at no cost, if that is safe."""
    IF_SAFE = "if safe"
    """Bytes were written: again only if the method is idempotent and the body can be replayed; costs a retry."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an exchange got no answer from upstream, or none that is not an error."""

    side: Side
    status: int
    message: str  # for the client: says nothing about the inside
    retry: Retry = Retry.NEVER
    detail: str = ""  # for the log
    retry_after_s: int | None = None  # what Retry-After says
    fields: bytes = b""  # more lines for the answer
    is_answer: bool = False  # the backend's own, which nobody was given

    @property
    def is_of_connection(self) -> bool:
        """The backend could not be reached, or was lost before it answered: what a probe would meet as well."""
        return self.retry is Retry.ELSEWHERE or (
            self.retry is Retry.IF_SAFE and self.status == 502 and not self.is_answer
        )


CLIENT_LEFT = Failure(Side.CLIENT, 499, "the client closed the connection")
NO_BACKEND = Failure(Side.UPSTREAM, 503, "no healthy backend")
QUEUE_TIMEOUT = Failure(Side.PROXY, 503, "all backends are busy", retry_after_s=1)
INTERNAL = Failure(Side.PROXY, 500, "internal error")
BODY_TIMEOUT = Failure(Side.CLIENT, 408, "the request body did not come in time")
REQUEST_TIMEOUT = Failure(Side.UPSTREAM, 504, "the answer did not come in time", detail="longer than request_timeout")
BODY_TOO_LARGE = Failure(Side.CLIENT, 413, "the request body is too large")
NO_DESCRIPTORS = Failure(
    Side.PROXY,
    503,
    "the proxy is overloaded",
    detail="no file descriptor for a connection (ulimit -n)",
    retry_after_s=1,
)
UNREACHABLE = Failure(
    Side.UPSTREAM, 503, "the backend cannot be reached", Retry.ELSEWHERE, "no connection for long", retry_after_s=1
)
STOPPING = Failure(Side.PROXY, 503, "the proxy is stopping")


def connect_failed(detail: str, timed_out: bool) -> Failure:
    """No connection to the backend: nothing was written."""
    message = "the backend did not accept a connection in time" if timed_out else "the backend refused the connection"
    return Failure(Side.UPSTREAM, 504 if timed_out else 502, message, Retry.ELSEWHERE, detail)


def bad_answer(detail: str) -> Failure:
    """The backend answered what is no HTTP, or stopped inside its answer."""
    return Failure(Side.UPSTREAM, 502, "the backend sent an invalid answer", Retry.NEVER, detail)


def refused_answer(status: int) -> Failure:
    """The backend answered with an error that another one may make up for."""
    return Failure(Side.UPSTREAM, status, "the backend answered with an error", Retry.IF_SAFE, is_answer=True)


def closed_early(reused: bool) -> Failure:
    """The backend closed the connection before it answered."""
    retry = Retry.FRESH if reused else Retry.IF_SAFE
    return Failure(Side.UPSTREAM, 502, "the backend closed the connection", retry, "closed before an answer")


def no_answer(timeout_s: float) -> Failure:
    """The backend was silent past `response_timeout`."""
    return Failure(
        Side.UPSTREAM, 504, "the backend did not answer in time", Retry.IF_SAFE, f"silent for {timeout_s:g} s"
    )


def bad_body(status: int, message: str) -> Failure:
    """The client's request body is malformed or too large."""
    return Failure(Side.CLIENT, status, message)
