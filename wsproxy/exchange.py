"""One request and its response in flight: the baton between the client's side and the upstream's.

Knows the two sides only as streams; does no I/O of its own. The session makes an exchange and waits for it; whoever holds
it in between (queue, worker) is the only one who uses the client's stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from wsproxy.errors import CLIENT_LEFT, Failure

if TYPE_CHECKING:
    from wsproxy.config.model import RouteSettings
    from wsproxy.http.messages import RequestHead, ResponseHead
    from wsproxy.net.stream import Stream


class RequestBody(Protocol):
    """The body of a request as the worker pulls it from the client.

    complete: the whole body has been read, from the client or from what was kept for replay.
    replayable: nothing was read yet, or all that was read is still kept.
    """

    complete: bool

    @property
    def replayable(self) -> bool: ...

    def take_buffered(self) -> bytes:
        """What of the body is there already, maybe b"". Never waits. Raises BodyError."""
        ...

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises BodyError, EndOfStream, BrokenResourceError (the client left)."""
        ...

    def rewind(self) -> None:
        """Begin anew with what was kept, for another attempt."""
        ...


class BodyError(Exception):
    """The request's body cannot be forwarded; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Exchange:
    """A request on its way to an upstream server and back.

    identity: ready-made lines that go behind the request's own fields (X-Forwarded-For …).
    keep_alive: whether the client's connection may be used again; the worker clears it when its answer rules that out.
    answered: bytes of the response went to the client, so nothing can be retried or replaced.
    failure: why there was no answer; None once it was answered whole.
    abandoned: the client left.
    upstream: after a 101, the detached upstream connection, with what it sent behind its head still buffered.
    """

    __slots__ = (
        "_done",
        "abandoned",
        "answered",
        "answered_bytes",
        "attempts",
        "backend_name",
        "body",
        "client",
        "failure",
        "head",
        "identity",
        "keep_alive",
        "offered_at",
        "on_abandon",
        "response",
        "route",
        "tried",
        "upstream",
    )

    def __init__(
        self, head: RequestHead, body: RequestBody | None, client: Stream, route: RouteSettings, identity: bytes
    ) -> None:
        self.head = head
        self.body = body
        self.client = client
        self.route = route
        self.identity = identity
        self.keep_alive = head.keep_alive
        self.answered = False
        self.answered_bytes = 0
        self.abandoned = False
        self.attempts = 0
        self.backend_name = ""
        self.failure: Failure | None = None
        self.offered_at = 0.0
        self.on_abandon: Callable[[], None] | None = None
        self.response: ResponseHead | None = None
        self.tried: tuple[str, ...] = ()
        self.upstream: Stream | None = None
        self._done: asyncio.Future[None] | None = None

    def begin(self, done: asyncio.Future[None]) -> None:
        """Start an attempt: `done` is set when it has ended, well or not."""
        self._done = done
        self.failure = None

    def finish(self) -> None:
        """The attempt has ended: wake the session."""
        done = self._done
        if done is not None and not done.done():
            done.set_result(None)

    def fail(self, failure: Failure) -> None:
        """The attempt has ended without a (whole) answer."""
        self.failure = failure
        self.finish()

    def abandon(self) -> None:
        """The client left: whoever holds the exchange lets go of it. Safe to call twice."""
        if self.abandoned:
            return
        self.abandoned = True
        if (on_abandon := self.on_abandon) is not None:
            self.on_abandon = None
            on_abandon()
        else:
            self.fail(CLIENT_LEFT)
