"""What a session answers by itself: to a request that goes nowhere, at the last hop, in place of a server that failed.

Knows the client's stream, the service and who the client is. Writes at once and waits for nothing; what becomes of the
connection then is told to the session.
"""

from __future__ import annotations

from enum import Enum

from wsproxy.errors import CLIENT_LEFT, STOPPING, Failure
from wsproxy.exchange import Exchange
from wsproxy.frontend.identity import ClientIdentity
from wsproxy.frontend.service import HttpService
from wsproxy.http.last_hop import last_hop_answer
from wsproxy.http.messages import UNTIL_CLOSE, MalformedRequestError, RequestHead
from wsproxy.net.stream import Stream
from wsproxy.observe.entries import Refusal


class After(Enum):
    """What becomes of a connection."""

    NEXT = "the next request is read"
    LINGERS = "it ends when the client has had time to read the answer: its input is or may be unread"
    ENDED = "it has been ended"


class DirectReplies:
    """The replies to one client."""

    __slots__ = ("_identity", "_service", "_stream")

    def __init__(self, stream: Stream, service: HttpService, identity: ClientIdentity) -> None:
        self._stream = stream
        self._service = service
        self._identity = identity

    def refuse(self, error: MalformedRequestError, head: RequestHead | None, is_last: bool) -> After:
        """Answer a request that goes nowhere; `head` is None where it could not be read.

        is_last: the connection takes no other request, whatever is wrong with this one.
        """
        status, message = error.status, str(error)
        request_id = self._identity.request_id(head)
        keep_alive = error.may_go_on and head is not None and head.keep_alive and not is_last and self._skips(head)
        reply = self._service.answers.error(
            status, message, request_id, head, close=not keep_alive, fields=error.fields
        )
        self._stream.try_write(reply)
        self._note_refusal(Refusal(status, message, request_id, len(reply), error.route), head)
        if keep_alive:
            return After.NEXT
        if status == 408:
            self._stream.close()  # whoever holds connections by dribbling is not waited for again
            return After.ENDED
        return After.LINGERS

    def _skips(self, head: RequestHead) -> bool:
        """Whether the next request comes at once: a body that nobody wants is dropped if it is there as a whole."""
        if not 0 <= head.length <= len(self._stream.buffer):
            return False
        self._stream.consume(head.length)
        return True

    def last_hop(self, head: RequestHead, is_last: bool) -> After:
        """Answer an OPTIONS or TRACE that may go no further."""
        close = bool(head.length) or is_last or not head.keep_alive
        reply = last_hop_answer(head, close, self._service.answers.fields())
        self._stream.try_write(reply)
        self._note_refusal(Refusal(200, "Max-Forwards is 0", self._identity.request_id(head), len(reply)), head)
        if not close:
            return After.NEXT
        if head.length or self._stream.buffer:
            return After.LINGERS
        self._stream.close()
        return After.ENDED

    def failed(self, exchange: Exchange, failure: Failure) -> After:
        """Answer for a server that could not, or end what it began; nothing is said to a client that has left."""
        after = After.ENDED
        if failure is CLIENT_LEFT or self._stream.closed:
            self._stream.abort()
        elif exchange.answered:
            self._cut_short(exchange)
        else:
            after = self._stand_in(exchange, failure)
        if self._service.access is not None:
            self._service.access.record(exchange, self._identity.address(exchange.head))
        return after

    def _cut_short(self, exchange: Exchange) -> None:
        """The answer broke off: the client must not take what it got for the whole."""
        response = exchange.response
        if exchange.head.minor_version == 0 and response is not None and response.length <= UNTIL_CLOSE + 1:
            self._stream.reset()  # the end of the connection would be the end of the body
        else:
            self._stream.close()

    def _stand_in(self, exchange: Exchange, failure: Failure) -> After:
        body = exchange.body
        read_whole = body is None or body.drained
        keep_alive = exchange.keep_alive and read_whole and failure is not STOPPING and failure.status not in (400, 408)
        reply = self._service.answers.error(
            failure.status,
            failure.message,
            exchange.request_id,
            exchange.head,
            close=not keep_alive,
            retry_after_s=failure.retry_after_s,
            fields=failure.fields,
        )
        if self._stream.try_write(reply):
            exchange.answered_bytes += len(reply)
        return After.NEXT if keep_alive else After.LINGERS

    def _note_refusal(self, refusal: Refusal, head: RequestHead | None) -> None:
        if self._service.access is not None:
            self._service.access.refused(refusal, self._identity.address(head), head)
