"""One request and its response in flight: the baton between the client's side and the upstream's.

Knows the two sides only as streams; does no I/O of its own. The session makes an exchange and waits for it; whoever
holds it in between (queue, worker) is the only one who uses the client's stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

from wsproxy.errors import CLIENT_LEFT, Failure

if TYPE_CHECKING:
    from wsproxy.balancing.affinity import Preference
    from wsproxy.config.model import RouteSettings
    from wsproxy.http.messages import RequestHead, ResponseHead
    from wsproxy.http.variables import Variables
    from wsproxy.net.stream import Stream


QUEUE: Final = 0
CONNECT: Final = 1
HEAD: Final = 2
BODY: Final = 3
"""The stages of an exchange: it waits for a worker; for a connection; for the head of the answer; for its rest."""


class RequestBody(Protocol):
    """The body of a request as the worker pulls it from the client.

    complete: nothing is left to be read, from the client or of what was kept for replay.
    drained: the client's stream stands behind the body.
    replayable: nothing was read yet, or all that was read is still kept.
    read_bytes: how much of it the client has sent so far, without chunk framing.
    kept_bytes: how much is kept for replay.
    trailers: once it is complete, the trailer fields that came behind it, as a canonical block.
    """

    @property
    def complete(self) -> bool: ...

    @property
    def drained(self) -> bool: ...

    @property
    def replayable(self) -> bool: ...

    @property
    def trailers(self) -> bytes: ...

    @property
    def read_bytes(self) -> int: ...

    @property
    def kept_bytes(self) -> int: ...

    def take_buffered(self) -> bytes:
        """What of the body is there already, maybe b"". Never waits. Raises BodyError."""
        ...

    async def read(self) -> bytes:
        """The next piece, b"" at the end. Raises BodyError, EndOfStream, BrokenResourceError (the client left)."""
        ...

    def rewind(self) -> None:
        """Begin anew with what was kept, for another attempt."""
        ...


class Holder(Protocol):
    """Who has an exchange now: the queue it waits in, or the connection it is on."""

    def let_go(self, exchange: Exchange) -> None:
        """It was abandoned. A queue fails the exchange, a connection ends and leaves that to its worker."""
        ...


class ResponseFilter(Protocol):
    """What changes the body of a final answer on its way to the client, or keeps a copy of it.

    Used for one answer; an attempt that is begun anew begins it anew.
    """

    def begin(self, response: ResponseHead) -> ResponseHead | None:
        """The head that goes to the client: `response` itself or a copy, whose length is that of what is returned for
        the body (CHUNKED when that is not known); None when nothing goes there and the body is only fed."""
        ...

    def feed(self, data: bytes) -> bytes:
        """A piece of the body without its framing, never empty; what is to be sent for it, maybe b""."""
        ...

    def end(self) -> bytes:
        """The body has ended as it should; what is still to be sent."""
        ...

    def abort(self) -> None:
        """It has broken off, or the client has left."""
        ...


class BodyError(Exception):
    """The request's body cannot be forwarded; `failure` says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StageClock:
    """Where the time of an exchange goes. stage: where it is. spent_s: seconds in each so far, over all attempts."""

    __slots__ = ("_entered_at", "spent_s", "stage")

    def __init__(self, now: float) -> None:
        self.stage = QUEUE
        self.spent_s = [0.0, 0.0, 0.0, 0.0]
        self._entered_at = now  # perf_counter

    def enter(self, stage: int) -> None:
        """A stage begins, and the one before has ended."""
        now = perf_counter()
        self.spent_s[self.stage] += now - self._entered_at
        self._entered_at = now
        self.stage = stage

    def stop(self, ended_at: float) -> None:
        """The exchange was over at that time (perf_counter): count the last of its stages up to then."""
        self.spent_s[self.stage] += max(ended_at - self._entered_at, 0.0)


class Exchange:
    """A request on its way to an upstream server and back.

    sent: the head that servers get: `head`, unless the route changes it on its way.
    identity: ready-made lines that go behind the request's own fields (X-Forwarded-For …).
    variables: what the route's templates say of the request, where it has some.
    edits: what changes the head of the final response, first to last.
    filter: what changes or copies its body.
    cache_result: what the cache did with it, see `cache.outcomes`, or "" where there is none.
    preference: which backend it belongs to, where its route asks for that.
    keep_alive: whether the client's connection may be used again; the worker clears it when its answer rules that out.
    committed: an interim response went to the client, so nothing can be retried.
    answered: bytes of the final one did, so nothing can be replaced either.
    failure: why there was no answer; None once it was answered whole.
    abandoned: why nobody waits for the answer any more (the client left, request_timeout is over), else None.
    holder: who is told so; None on the way from one to the next.
    on_end: called at the end of an attempt, where a callback goes on with it.
    stages: where its time goes, while somebody wants to know.
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
        "cache_result",
        "client",
        "committed",
        "edits",
        "ended_at",
        "failure",
        "filter",
        "first_byte_at",
        "give_up_at",
        "head",
        "holder",
        "identity",
        "keep_alive",
        "offered_at",
        "on_end",
        "preference",
        "request_id",
        "response",
        "route",
        "sent",
        "stages",
        "started_at",
        "tried",
        "upstream",
        "variables",
    )

    def __init__(
        self, head: RequestHead, body: RequestBody | None, client: Stream, route: RouteSettings, identity: bytes
    ) -> None:
        self.head = self.sent = head
        self.body = body
        self.client = client
        self.route = route
        self.identity = identity
        self.keep_alive = head.keep_alive
        self.edits: tuple[HeadEdit, ...] = ()
        self.filter: ResponseFilter | None = None
        self.answered = False
        self.committed = False
        self.answered_bytes = 0
        self.abandoned: Failure | None = None
        self.attempts = 0
        self.backend_name = self.cache_result = ""
        self.failure: Failure | None = None
        self.first_byte_at = 0.0  # perf_counter; not set for an answer that is sent in one piece
        self.offered_at = self.give_up_at = 0.0
        self.holder: Holder | None = None
        self.on_end: Callable[[], None] | None = None
        self.preference: Preference | None = None
        self.response: ResponseHead | None = None
        self.request_id = b""
        self.stages: StageClock | None = None
        self.started_at = self.ended_at = 0.0  # perf_counter: its head had been read; nothing is left to be done
        self.tried: tuple[str, ...] = ()
        self.upstream: Stream | None = None
        self.variables: Variables | None = None
        self._done: asyncio.Future[None] | None = None

    @property
    def replayable(self) -> bool:
        """Whether the request can be sent once more from its beginning."""
        return self.body is None or self.body.replayable

    @property
    def cookie(self) -> bytes:
        """The line that binds the client to the backend that answers, or b""."""
        preference = self.preference
        return b"" if preference is None or preference.cookie is None else preference.cookie(self.backend_name)

    def edited(self, response: ResponseHead) -> ResponseHead:
        """The final response's head as the client gets it: a copy where something is edited."""
        for edit in self.edits:
            response = edit(response, self)
        return response

    def rewind(self) -> None:
        """Have the request ready to be sent once more."""
        if self.body is not None:
            self.body.rewind()

    def start_clock(self, now: float) -> None:
        """The first wait for a backend: from now on `queue_timeout` runs until a worker takes the exchange."""
        if self.offered_at == 0.0:
            self.offered_at = now
            self.give_up_at = now + self.route.queue_timeout_s

    @property
    def was_begun(self) -> bool:
        """Whether there has been an attempt, or is one."""
        return self._done is not None

    def begin(self) -> asyncio.Future[None]:
        """Start an attempt; the future is done when it has ended, well or not."""
        self.failure = None
        self._done = done = self.client.loop.create_future()  # get_running_loop() makes a system call: 0.6 us
        return done

    def finish(self) -> None:
        """The attempt has ended: tell the session."""
        done = self._done
        if done is not None and not done.done():
            done.set_result(None)
            if self.on_end is not None:
                self.on_end()

    def fail(self, failure: Failure) -> None:
        """The attempt has ended without a (whole) answer."""
        self.failure = failure
        self.finish()

    def abandon(self, why: Failure = CLIENT_LEFT) -> None:
        """Nobody waits for the answer: whoever holds the exchange lets go of it, and it fails with `why`.

        Safe to call twice: the first reason stands. One that was answered whole stays so, though the session may not
        have seen it yet: a client that closes at once has left nothing undone.
        """
        has_ended = self.ended_at > 0 or (self._done is not None and self._done.done())
        if self.abandoned is not None or (has_ended and self.failure is None):
            return
        self.abandoned = why
        if (holder := self.holder) is not None:
            self.holder = None
            holder.let_go(self)
        else:
            self.fail(why)


HeadEdit = Callable[["ResponseHead", Exchange], "ResponseHead"]
"""Changes the head of a final answer: returns a copy, as heads are remembered, or the head itself."""
