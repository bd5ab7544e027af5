"""The two ends of a WebSocket after the 101, and what the proxy itself tells them: pings, a Close, the end of TCP.

Knows both streams and the clock of the service that the client came to; which Close is due when is `ws.relay`'s to say.
When a session is too old, too idle or too silent is looked at in the sweeps of `relays`.
"""

from __future__ import annotations

import asyncio
import os
from functools import partial
from time import monotonic  # that of the loop, which uvloop rounds to milliseconds
from typing import Final, Protocol

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.backend import Backend
from wsproxy.frontend.access import AccessRecorder
from wsproxy.frontend.terms import RelayTerms
from wsproxy.net.deadlines import NEVER, Deadlines
from wsproxy.net.stream import Stream
from wsproxy.ws.control import GOING_AWAY, SERVICE_RESTART, TOO_BIG, TRY_LATER
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.keepalive import IdleState, KeepaliveState, Verdict
from wsproxy.ws.relay import RelayState

CLOSE_TIMEOUT_S: Final = 10.0
"""How long the echo of a Close is waited for (the value browsers and most libraries use), and what a server has to say
next to a client that ended its own side.
"""

DEAD_AFTER_S: Final = 150.0
"""A host that lives answers the probes of a full window, which are 120 s apart at most (Linux's TCP_RTO_MAX); one that
does not would be noticed after a quarter of an hour. TCP_USER_TIMEOUT would end both: it does not look at the answers.
"""

END_TIMEOUT_S: Final = 1.0
"""How long the server may take to end TCP after both Closes (RFC 6455 section 7.1.1), or after its own to no client."""

_mask: Final = partial(os.urandom, 4)


class Home(Protocol):
    """Where a WebSocket came in. access: who writes its lines, if anybody does."""

    @property
    def deadlines(self) -> Deadlines: ...

    @property
    def access(self) -> AccessRecorder | None: ...

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken there."""
        ...

    @property
    def parting_code(self) -> int:
        """What its clients are told where it goes: 1001, or 1012 where another serves in its place."""
        ...


class WebSocketPair:
    """A client and its upstream.

    home: where the client came in. state: the pure half, with the counters. backend: whose lease the pair holds.
    opened_at, ends_at: loop time of its beginning, and when it is too old. deadline: of a closing handshake, watched
    only while one is under way.
    """

    __slots__ = (
        *("_client", "_client_life", "_heard", "_idle", "_nap", "_stalled_since", "_stalls", "_terms"),
        *("_upstream", "_upstream_life", "backend", "deadline", "ends_at", "home", "opened_at", "state"),
    )

    def __init__(
        self, client: Stream, upstream: Stream, backend: Backend | None, terms: RelayTerms, home: Home
    ) -> None:
        now = home.deadlines.now
        self._client = client
        self._upstream = upstream
        self._terms = terms
        self.backend = backend
        self.home = home
        sizes = (terms.totals.client_sizes, terms.totals.upstream_sizes)
        self.state = RelayState(_mask, terms.settings.max_message_size_bytes, *sizes)
        self.opened_at = now
        self.ends_at = terms.end_of_life(now)
        self.deadline = NEVER
        self._idle = IdleState(now)
        self._client_life = KeepaliveState(terms.keepalive, terms.marker, now)
        self._upstream_life = KeepaliveState(terms.keepalive, terms.marker, now)
        self._stalls = 0  # directions that wait for a peer to read
        self._stalled_since = 0.0
        self._heard: int | None = None  # what the server had said at the last look, to a client that ended its side
        self._nap: asyncio.Future[None] | None = None  # a client over its rate is not read until then

    @property
    def is_closing(self) -> bool:
        """Whether a Close has been sent or seen."""
        return self.state.closed_by is not None

    @property
    def idle_since(self) -> float:
        """When the last data was seen to pass, to the precision of a sweep."""
        return self._idle.since

    @property
    def round_trip_s(self) -> float | None:
        """Of the client's last answered ping of ours."""
        return self._client_life.round_trip_s

    @property
    def buffered_bytes(self) -> int:
        """What is held for both sides."""
        return self._client.buffered_bytes + self._upstream.buffered_bytes

    # How it ends.

    def begin_close(self, client_code: int, upstream_code: int = GOING_AWAY, reason: str = "") -> None:
        """Close both sides from here, at the next message boundary of each."""
        self._send(*self.state.begin_close(client_code, upstream_code, reason))
        self._settle()

    def drain(self, client_code: int) -> None:
        """Somebody empties the route, the backend or the proxy: close with this code."""
        self.begin_close(client_code)

    def abort(self) -> None:
        """End both sides: with the home's Close where one may still stand, else with the end of TCP alone."""
        self._send(*self.state.begin_close(self.home.parting_code, GOING_AWAY))
        self._cut_off()

    def expire(self) -> None:
        """The closing handshake, or a lost side's last words, have taken too long."""
        self.deadline = NEVER
        if self._is_heard():
            self._expire_in(CLOSE_TIMEOUT_S)
        else:
            self._cut_off()

    def _is_heard(self) -> bool:
        """Whether a client that ended its side, and might read on, was told more since the last look."""
        before, self._heard = self._heard, self.state.upstream.progress
        is_over = self.state.upstream.close_passed or self.home.stopping
        return before not in (None, self._heard) and not is_over and self.home.deadlines.now < self.ends_at

    def _cut_off(self) -> None:
        self._send(*self.state.force_close())
        self._end_both()
        self._wake()

    def _wake(self) -> None:
        """Whoever naps has something better to do."""
        if self._nap is not None and not self._nap.done():
            self._nap.set_result(None)

    def _closing(self, scanner: FrameScanner) -> None:
        """A Close has passed or come, or a message is too big."""
        if scanner.too_big and not self.is_closing:
            self.begin_close(TOO_BIG, GOING_AWAY, "message too big")
        self._settle()

    def _settle(self) -> None:
        """Somebody closes: what is left of it has its limits."""
        state = self.state
        if state.client_finished:
            self._client.close()  # ours to end; the upstream, the server of its own leg, goes first
        done = state.finished or (state.upstream_finished and self._client.eof)
        self._expire_in(END_TIMEOUT_S if done else CLOSE_TIMEOUT_S)

    def _expire_in(self, delay_s: float) -> None:
        deadlines = self.home.deadlines
        self.deadline = min(self.deadline, deadlines.after(delay_s))
        deadlines.watch(self)

    def _hung_up(self) -> None:
        """A side has left while we were not reading it: what it sent last may still pass, but not for ever."""
        self._expire_in(CLOSE_TIMEOUT_S)
        self._wake()

    async def _end(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        """This direction can go on no more: because `source` has ended, or because `sink` takes nothing."""
        other = self.state.upstream if scanner.side == "client" else self.state.client
        if scanner.side == "upstream" and sink.eof and not other.close_seen:
            self._end_both()  # the client ended its side before, without a Close, and now the upstream has
            return
        if sink.closed and not (source.eof or source.closed):
            if not other.close_seen:
                return  # it was lost: the task that reads it says goodbye
            await self._see_close(source, scanner)
        if scanner.close_seen:
            if other.close_seen or sink.closed:
                self._end_both()
            else:
                sink.shut_down_writing()  # as the source did; the other one's Close is still to come, or its deadline
            return
        if scanner.side == "client":
            goodbye = self.state.client_lost()
        else:
            goodbye = self.state.upstream_lost(self._expects_return())
        sink.try_write(goodbye)
        if scanner.side == "client" and not source.closed and sink.may_end_alone:
            sink.shut_down_writing()  # it may have ended its side alone: what the upstream still says goes there
            self._heard = self.state.upstream.progress
            self._expire_in(END_TIMEOUT_S if self.state.upstream.close_passed else CLOSE_TIMEOUT_S)
        else:
            self._end_both()

    def _end_both(self) -> None:
        """Nothing more is read; what was written is flushed, then both connections end."""
        self._client.close()
        self._upstream.close()

    def _expects_return(self) -> bool:
        """Whether a client whose upstream is lost should come back at once: 1012 instead of 1011."""
        return self.backend is not None and self.backend.leaving

    async def _see_close(self, source: Stream, scanner: FrameScanner) -> None:
        """The other side has closed and gone: wait for this one's Close, which nobody gets any more."""
        try:
            while not scanner.close_seen:
                if not source.buffer:
                    await source.more()
                scanner.feed(source.take())
        except (EndOfStream, BrokenResourceError):
            return

    def _send(self, to_client: bytes, to_upstream: bytes) -> None:
        self._client.try_write(to_client)
        self._upstream.try_write(to_upstream)

    # What a sweep looks at.

    def look(self, now: float) -> None:
        """Close what is too old, too idle or too slow; ping what is silent, and give up what stays so."""
        if self.is_closing:
            return
        settings = self._terms.settings
        idle_s = self._idle.idle_s(now, self.state.activity)
        if now >= self.ends_at:
            self.begin_close(SERVICE_RESTART, GOING_AWAY, "maximum lifetime")
        elif settings.idle_timeout_s is not None and idle_s >= settings.idle_timeout_s:
            self.begin_close(GOING_AWAY, GOING_AWAY, "idle")
        elif not (self._stalls and self._ends_stall(settings.slow_consumer_s)):
            self._look_after_life(now)

    def _ends_stall(self, patience_s: float | None) -> bool:
        """End a side that takes nothing: for too long where there is a limit, and anywhere if its host is dead."""
        if patience_s is not None and self._client.loop.time() - self._stalled_since >= patience_s:
            self.begin_close(TRY_LATER, GOING_AWAY, "slow consumer")
            self._cut_off()
            return True
        for stream in (self._client, self._upstream):
            if stream.write_paused and stream.silence_s >= DEAD_AFTER_S:
                stream.abort()  # its task says goodbye to the other side
                return True
        return False

    def _look_after_life(self, now: float) -> None:
        """Ping a silent leg. A side that is not read, or takes nothing, is for `slow_consumer` to judge."""
        state = self.state
        reading = not self._stalls and self._nap is None
        verdict = self._client_life.due(now, state.client.progress, reading, state.client_owes_pong())
        if verdict is Verdict.PING:
            self._ping(self._client, self._client_life, state.ping_client(self._client_life.payload))
        elif verdict is Verdict.DEAD:
            self._client.abort()  # its task says goodbye to the other side
            return
        verdict = self._upstream_life.due(now, state.upstream.progress, reading, state.upstream_owes_pong())
        if verdict is Verdict.PING:
            self._ping(self._upstream, self._upstream_life, state.ping_upstream(self._upstream_life.payload))
        elif verdict is Verdict.DEAD:
            self._upstream.abort()

    @staticmethod
    def _ping(stream: Stream, life: KeepaliveState, frame: bytes) -> None:
        if stream.try_write(frame):
            life.ping_sent(monotonic())

    def _swallowed(self, scanner: FrameScanner) -> None:
        """Nothing of a chunk passed: was it the pong of our own ping?"""
        life = self._client_life if scanner.side == "client" else self._upstream_life
        round_trip_s = life.answered(scanner.pongs_swallowed, monotonic())
        if round_trip_s is not None:
            self._terms.totals.add_round_trip(round_trip_s)
