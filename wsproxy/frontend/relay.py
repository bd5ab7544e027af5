"""One WebSocket pair at work: two relay tasks, one for each direction, over the pure relay state.

Knows both streams; which bytes pass is `ws.relay`'s to say, and what the proxy itself tells the two ends is in `pair`.
No queue stands between the two tasks: the awaited drain is the backpressure.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from anyio import BrokenResourceError, EndOfStream

from wsproxy.backend.backend import Backend
from wsproxy.frontend.pair import Home, WebSocketPair
from wsproxy.frontend.terms import RelayTerms
from wsproxy.net.stream import Stream
from wsproxy.observe.entries import WebSocketEntry
from wsproxy.ws.control import GOING_AWAY, POLICY
from wsproxy.ws.frames import FrameScanner
from wsproxy.ws.inspect import InspectState
from wsproxy.ws.rate import RateState
from wsproxy.ws.tap import LONGEST_TAP_S, TAP_ENTRIES, Tap

_logger = logging.getLogger("wsproxy.websocket")


class SinkFullError(Exception):
    """More has been written than the other side takes: it has to be waited for."""


class Owner(Protocol):
    """Who keeps the relays of a route."""

    @property
    def terms(self) -> RelayTerms:
        """What they go by."""
        ...

    def enter(self, relay: Relay) -> None:
        """One begins."""
        ...

    def moved(self, relay: Relay, backend: Backend | None) -> None:
        """One goes on with another backend."""
        ...

    def leave(self, relay: Relay) -> None:
        """One is over."""
        ...


class Relay(WebSocketPair):
    """One WebSocket pair whose frames are carried.

    number: its own among those of the route. peer: the client's address, that the limit per address counts by.
    access_entry: what the access log keeps of its opening.
    """

    __slots__ = ("_inspectors", "_owner", "_rates", "access_entry", "number", "peer")

    def __init__(self, client: Stream, upstream: Stream, backend: Backend | None, owner: Owner, home: Home) -> None:
        super().__init__(client, upstream, backend, owner.terms, home)
        self._owner = owner
        self.peer = ""
        self.access_entry: WebSocketEntry | None = None
        self.number = 0
        self._rates: tuple[RateState | None, RateState | None] | None = owner.terms.client_rates(client.loop.time())
        self._inspectors: tuple[InspectState, InspectState] | None = None

    def inspect(self, of_client: InspectState, of_upstream: InspectState) -> None:
        """Have the frames of both sides judged before they pass; to be said before `run`."""
        self._inspectors = (of_client, of_upstream)

    @property
    def is_inspected(self) -> bool:  # can be tapped
        return self._inspectors is not None

    def tap(self, for_s: float, now: float) -> Tap:
        """Note the last frames of both sides, which must be inspected, for so long from `now`, 600 s at most."""
        tap = Tap(TAP_ENTRIES, now + min(for_s, LONGEST_TAP_S))
        for inspector in self._inspectors or ():
            inspector.tap = tap
        return tap

    # The two tasks.

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Relay until both sides have ended. The caller's task is one of the two, the other is one of `tasks`."""
        self._owner.enter(self)
        sibling = tasks.create_task(self._pump(self._client, self._upstream, self.state.client))
        try:
            await self._pump(self._upstream, self._client, self.state.upstream)
            if not sibling.done():
                await asyncio.wait([sibling])
        finally:
            self._end_both()
            self._owner.leave(self)

    async def _pump(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        """Carry one direction to its end. Never raises for what a peer does."""
        try:
            if self._inspectors is not None or (scanner.side == "client" and self._rates is not None):
                await self._pump_with_care(source, sink, scanner)
            way = Way(self, source, sink, scanner)
            while True:
                if source.buffer:
                    self.carry(source, sink, scanner)
                else:
                    source.on_data = way
                    try:
                        await source.more()
                    except SinkFullError:
                        pass
                    finally:
                        source.on_data = None
                if sink.write_paused:
                    await self._stall(source, sink)
        except (EndOfStream, BrokenResourceError):
            await self._end(source, sink, scanner)
        except Exception:  # a bug in one relay must not end the listener and all the others
            _logger.exception("internal error in a relay")
            self.abort()

    def carry(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        """Carry what has come. Raises BrokenResourceError when the other side is gone."""
        data = scanner.feed(source.take())
        if data:
            sink.write(data)
        else:
            self._swallowed(scanner)
        if scanner.ending:
            self._closing(scanner)

    async def _pump_with_care(self, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        """The same where payloads are inspected, or a client may send only so much: a look and a clock each chunk."""
        inspector = None if self._inspectors is None else self._inspectors[scanner.side != "client"]
        is_limited = scanner.side == "client" and self._rates is not None
        while True:
            if not source.buffer:
                await source.more()
            data = source.take()
            if inspector is not None:
                data = inspector.feed(data, source.loop.time())
            data = scanner.feed(data)
            if data:
                sink.write(data)
                if sink.write_paused:
                    await self._stall(source, sink)
            else:
                self._swallowed(scanner)
            if inspector is not None and inspector.fault is not None:
                self.begin_close(inspector.fault, GOING_AWAY, inspector.reason)
            if scanner.ending:
                self._closing(scanner)
            del data
            if is_limited:
                await self._hold_to_rates(source, scanner)

    async def _stall(self, source: Stream, sink: Stream) -> None:
        """Wait until `sink` takes more. `source` is not read meanwhile: what it sends stays with it."""
        clock = source.loop.time
        started = clock()
        source.hold()
        source.on_hangup = self._hung_up  # a reset shows when the other direction writes to it
        self._stalled_since = started if not self._stalls else self._stalled_since
        self._stalls += 1
        try:
            await sink.drain()
        finally:
            source.on_hangup = None
            self._stalls -= 1
            self._terms.totals.paused_s += clock() - started

    async def _hold_to_rates(self, source: Stream, scanner: FrameScanner) -> None:
        messages, data_bytes = self._rates or (None, None)
        now = source.loop.time()
        wait_s = max(
            messages.wait_s(scanner.messages, now) if messages else 0.0,
            data_bytes.wait_s(scanner.data_bytes, now) if data_bytes else 0.0,
        )
        if wait_s <= 0 or source.eof or source.closed:
            return
        if self._terms.settings.rate_action == "close":
            self.begin_close(POLICY, GOING_AWAY, "too many messages")
            return
        self._nap = nap = source.loop.create_future()
        alarm = source.loop.call_later(wait_s, self._wake)
        source.on_hangup = self._hung_up
        try:
            await nap
        finally:
            alarm.cancel()
            source.on_hangup = None
            self._nap = None


class Way:
    """One direction of a relay. Called when something has come, it passes that on while the task sleeps, which saves
    1 us a message; what is left to the task is told it by what its `more` raises.

    A class with slots, as each idle WebSocket has two: 64 bytes where a `partial` takes 300.
    """

    __slots__ = ("_relay", "_scanner", "_sink", "_source")

    def __init__(self, relay: Relay, source: Stream, sink: Stream, scanner: FrameScanner) -> None:
        self._relay = relay
        self._source = source
        self._sink = sink
        self._scanner = scanner

    def __call__(self) -> None:
        source, sink = self._source, self._sink
        try:
            self._relay.carry(source, sink, self._scanner)
            if sink.write_paused:
                raise SinkFullError
        except (SinkFullError, BrokenResourceError) as error:
            source.on_data = None
            source.expire_read(error)
        except Exception:  # as in `_pump`
            _logger.exception("internal error in a relay")
            self._relay.abort()
