"""One persistent upstream connection: whether it may be used again, and how a response comes over it to the client.

Knows streams and codecs; the client's stream only through the exchange. Response bytes go straight to the client's
stream, with its backpressure reaching back to the upstream socket.
"""

from __future__ import annotations

from time import perf_counter
from typing import Final

from anyio import BrokenResourceError, EndOfStream

from wsproxy.exchange import Exchange
from wsproxy.http.chunked import LAST_CHUNK, ChunkedDecoder, encode_chunk, encode_last_chunk
from wsproxy.http.codec import encode_response, with_trailer
from wsproxy.http.known_lines import KnownLines
from wsproxy.http.messages import CHUNKED, UNTIL_CLOSE, MalformedBodyError, MalformedResponseError, ResponseHead
from wsproxy.http.repeats import ResponseReader
from wsproxy.net.deadlines import NEVER, Deadlines
from wsproxy.net.stream import Stream
from wsproxy.protection.persistence import PersistenceState

MAX_HEAD_BYTES: Final = 64 * 1024
"""Response heads are larger than request heads (cookies, policies), and come from a side that is trusted more."""

REUSE_WITHIN_S: Final = 4.0
"""uvicorn, hypercorn and Node close after 5 s of idleness: a second before that the connection counts as stale."""

TRIAL_S: Final = 1.0
"""How long a server has to end a connection behind its answer, if that is what it does, when it is tried out."""

COPIED_BYTES: Final = 16 * 1024
"""What is joined with a head into one write; above it two writes (one `writev` in the end) cost less than the copy."""


class ClientGoneError(Exception):
    """The client cannot be written to any more."""


class TruncatedError(Exception):
    """The response ended inside its body, after its head went to the client; str() says how."""


class UpstreamConnection:
    """A connection to a backend, used for one exchange after another.

    known: the lines of its server's heads.
    served: exchanges answered over it. rested_at: loop time when the last one ended. reuse_within_s: how long after
    that it may be used again.
    exchange: the one that holds it now. deadline: when the silence of whoever is waited for has lasted too long.
    timed_out: the server was silent past that deadline. unsent_bytes: what the client had not taken at the last look.
    """

    __slots__ = (
        "_deadlines",
        "_encoded",
        "_heads",
        "_persistence",
        "_shown",
        "_shown_date",
        "deadline",
        "exchange",
        "rested_at",
        "reusable",
        "reuse_within_s",
        "served",
        "stream",
        "timed_out",
        "unsent_bytes",
    )

    def __init__(
        self, stream: Stream, deadlines: Deadlines, persistence: PersistenceState, known: KnownLines | None = None
    ) -> None:
        self.stream = stream
        self.served = 0
        self.reusable = True
        self.rested_at = 0.0
        self.reuse_within_s = REUSE_WITHIN_S
        self.exchange: Exchange | None = None
        self.deadline = NEVER
        self.timed_out = False
        self.unsent_bytes = 0
        self._deadlines = deadlines
        self._persistence = persistence
        self._heads = ResponseReader(MAX_HEAD_BYTES, known)
        self._shown: ResponseHead | None = None
        self._shown_date = self._encoded = b""
        stream.on_hangup = self._hung_up
        deadlines.watch(self)

    def _hung_up(self) -> None:
        """An idle connection that the server has ended is closed at once, not when it is next looked at."""
        if self.exchange is None:
            self.was_ended()
            self.close()
            return
        self.reusable = False
        if (on_data := self.stream.on_data) is not None:  # it was about to answer
            on_data()

    def expire(self) -> None:
        """The deadline has passed: end the side that is waited for, which wakes the worker.

        A client that takes little is waited for; one that took nothing since it was last looked at is not.
        """
        self.deadline = NEVER
        exchange = self.exchange
        if exchange is None:
            self._end_trial()
        elif exchange.client.write_paused:
            if exchange.client.unsent_bytes < self.unsent_bytes:
                self._expect_client(exchange)
            else:
                exchange.client.abort()
        else:
            self.timed_out = True
            self.stream.abort()

    def rearm(self, delay_s: float) -> None:
        """Something was heard: the silence begins anew."""
        self.deadline = self._deadlines.base + delay_s

    def is_fresh(self) -> bool:
        """Whether the next exchange may go over it: open, silent, and not so long idle that the server may close it."""
        stream = self.stream
        idle_s = self._deadlines.now - self.rested_at
        return not stream.eof and not stream.buffer and not stream.closed and idle_s < self.reuse_within_s

    def may_carry_once(self) -> bool:
        """Whether a request that cannot be sent a second time may go over it."""
        now = self._deadlines.now
        return self._persistence.may_reuse(now, now - self.rested_at, self.served) and self.stream.is_quiet()

    def was_ended(self) -> None:
        """The server has ended it without having said so."""
        now = self._deadlines.now
        self._persistence.ended(now, now - self.rested_at)

    def was_ended_at_once(self) -> None:
        """The same, right behind its answer."""
        self._persistence.ended(self._deadlines.now, 0.0)

    @property
    def date_line(self) -> bytes:
        """The Date for an answer that has none."""
        return self._deadlines.date_line

    def begin_trial(self) -> None:
        """Watch for a while whether the server ends it; nothing is sent over it any more."""
        self.deadline = self._deadlines.after(TRIAL_S)

    def _end_trial(self) -> None:
        """The time is over; while this process was held up it saw nothing, so that the trial begins anew."""
        if self._deadlines.was_late:
            self.begin_trial()
            return
        if self.stream.is_quiet():
            self._persistence.kept()
        self.close()

    def rest(self, keep_alive_timeout_s: float | None) -> None:
        """An exchange has ended and the connection stays open."""
        self.exchange = None
        self.deadline = NEVER
        self.served += 1
        self.rested_at = self._deadlines.now
        if keep_alive_timeout_s is not None:
            self.reuse_within_s = min(REUSE_WITHIN_S, keep_alive_timeout_s - 1.0)

    def _expect_client(self, exchange: Exchange) -> None:
        """From now on the client is waited for."""
        self.unsent_bytes = exchange.client.unsent_bytes
        self.rearm(exchange.client.stall_timeout_s)

    def let_go(self, exchange: Exchange) -> None:  # noqa: ARG002 - a connection holds one at a time
        """The exchange was abandoned: ending the connection wakes the worker, which sees why."""
        self.stream.abort()

    def detach(self) -> Stream:
        """Give the stream away after a 101; this connection is over."""
        self.deadline = NEVER
        self._deadlines.forget(self)
        self.stream.on_hangup = None
        return self.stream

    def close(self) -> None:
        """End the connection at once; nothing of value is unsent."""
        self.deadline = NEVER
        self._deadlines.forget(self)
        self.stream.on_hangup = None
        self.stream.abort()

    async def read_head(self, method: bytes) -> ResponseHead:
        """The next response head, interim or final; bytes behind it stay in the stream's buffer.

        Raises MalformedResponseError, EndOfStream, BrokenResourceError.
        """
        while (head := self.try_read_head(method)) is None:
            await self.stream.more()
        return head

    def try_read_head(self, method: bytes) -> ResponseHead | None:
        """The same, if it is there; None when `stream.more()` is to be awaited. Raises MalformedResponseError."""
        buffer = self.stream.buffer
        if not buffer or (parsed := self._heads.read(buffer, method)) is None:
            return None
        head, size = parsed
        self.stream.consume(size)
        return head

    def try_relay(self, response: ResponseHead, exchange: Exchange) -> bool:
        """Send a final response that is there whole, the usual small answer, in one write; False for any other.

        Does what `relay` would do, without its four coroutines (1.5 us). Raises ClientGoneError.
        """
        stream = self.stream
        client = exchange.client
        if len(stream.buffer) != response.length or not response.keep_alive or client.write_paused:
            return False
        data = stream.take()
        exchange.response = response
        exchange.answered = True
        date = b"" if response.has_date else self._deadlines.date_line
        minor_version = exchange.head.minor_version
        if minor_version == 0 or not exchange.keep_alive:
            out = encode_response(response, False, not exchange.keep_alive, minor_version, date) + data
        else:
            if response is not self._shown or date is not self._shown_date:  # a repeated head is written once: 0.2 us
                self._shown, self._shown_date = response, date
                self._encoded = encode_response(response, False, False, minor_version, date)
            out = self._encoded + data
        exchange.answered_bytes = len(out)
        try:
            client.write(out)
        except BrokenResourceError:
            raise ClientGoneError from None
        return True

    async def relay(self, response: ResponseHead, exchange: Exchange) -> None:
        """Send a final response to the client, whole.

        Clears `reusable` and `exchange.keep_alive` where the message rules a further use of a connection out.
        Raises ClientGoneError; MalformedResponseError, or TruncatedError once the head has been sent.
        """
        length = response.length
        minor_version = exchange.head.minor_version
        if not response.keep_alive:
            self.reusable = False
        chunked = length < 0 and minor_version > 0
        if length < 0 and not chunked:
            exchange.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        date = b"" if response.has_date else self._deadlines.date_line
        head = encode_response(response, chunked, not exchange.keep_alive, minor_version, date)
        if chunked and response.trailer and exchange.route.pass_trailers:
            head = with_trailer(head, response.trailer)
        exchange.response = response
        exchange.answered = True
        exchange.first_byte_at = perf_counter()
        if length >= 0:
            await self._relay_length(head, length, exchange)
        elif length == CHUNKED:
            await self._relay_chunks(head, chunked, exchange)
        elif length == UNTIL_CLOSE:
            await self._relay_until_close(head, chunked, exchange)

    async def _relay_length(self, head: bytes, length: int, exchange: Exchange) -> None:
        """The usual case, a small answer that came whole with its head, is one write."""
        stream = self.stream
        data = stream.take()
        if len(data) > length:
            self.reusable = False  # bytes that belong to no response
            data = data[:length]
        if len(data) > COPIED_BYTES:
            await self.send(exchange, head)
            await self.send(exchange, data)
        else:
            await self.send(exchange, head + data)
        missing = length - len(data)
        while missing > 0:
            self.rearm(exchange.route.body_timeout_s)
            try:
                data = stream.take() or await stream.receive()
            except (EndOfStream, BrokenResourceError):
                raise TruncatedError(f"{missing} of {length} bytes missing") from None
            if len(data) > missing:
                self.reusable = False
                data = data[:missing]
            missing -= len(data)
            await self.send(exchange, data)

    async def _relay_chunks(self, head: bytes, chunked: bool, exchange: Exchange) -> None:
        """Chunks are taken apart and framed anew, so that the client gets one canonical form.

        Raises MalformedResponseError while nothing has been sent, TruncatedError afterwards.
        """
        stream = self.stream
        decoder = ChunkedDecoder()
        data = stream.take()
        out = head
        while True:
            try:
                payload = decoder.feed(data)
            except MalformedBodyError as error:
                if out is head:
                    exchange.answered = False
                    raise MalformedResponseError(str(error)) from None
                await self.send(exchange, out)
                raise TruncatedError(str(error)) from None
            if payload:
                out += encode_chunk(payload) if chunked else payload
            if decoder.complete:
                if decoder.leftover:
                    self.reusable = False
                if chunked:
                    out += encode_last_chunk(decoder.trailers) if exchange.route.pass_trailers else LAST_CHUNK
                await self.send(exchange, out)
                return
            if out:
                await self.send(exchange, out)
                out = b""
            self.rearm(exchange.route.body_timeout_s)
            try:
                data = stream.take() or await stream.receive()
            except (EndOfStream, BrokenResourceError):
                raise TruncatedError("the last chunk is missing") from None

    async def _relay_until_close(self, head: bytes, chunked: bool, exchange: Exchange) -> None:
        self.reusable = False
        stream = self.stream
        data = stream.take()
        await self.send(exchange, head + encode_chunk(data) if chunked and data else head + data)
        while True:
            self.rearm(exchange.route.body_timeout_s)
            try:
                data = stream.take() or await stream.receive()
            except EndOfStream:
                break
            except BrokenResourceError:
                raise TruncatedError("the connection was reset") from None
            await self.send(exchange, encode_chunk(data) if chunked else data)
        if chunked:
            await self.send(exchange, LAST_CHUNK)

    async def send(self, exchange: Exchange, data: bytes) -> None:
        """Write to the client, waiting while it does not read. Raises ClientGoneError."""
        client = exchange.client
        try:
            client.write(data)
            exchange.answered_bytes += len(data)
            if client.write_paused:
                self._expect_client(exchange)
                await client.drain()
                self.rearm(exchange.route.body_timeout_s)
        except BrokenResourceError:
            raise ClientGoneError from None
