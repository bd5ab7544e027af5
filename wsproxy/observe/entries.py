"""What an access line can say: one property for each field, of a request, of one that was refused, of a WebSocket.

Knows what is over and done with. Every value is as it stands in the line, see `sheet`; a number may be a word that
stands for none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

from wsproxy.errors import CLIENT_LEFT, QUEUE_TIMEOUT, Side
from wsproxy.exchange import BODY, CONNECT, HEAD, QUEUE
from wsproxy.observe.sheet import Sheet, masked, shown
from wsproxy.ws.control import ABNORMAL

if TYPE_CHECKING:
    from wsproxy.exchange import Exchange
    from wsproxy.http.messages import RequestHead
    from wsproxy.ws.relay import RelayState

_trace_id: Final = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-")

_STAGE_LETTERS: Final = {QUEUE: "Q", CONNECT: "C", HEAD: "H", BODY: "D"}
_CLOSER_LETTERS: Final = {"client": "C", "upstream": "S", "proxy": "P", None: "P"}


class Entry:
    """A line in the making whose fields are all blank, until a kind of entry knows better."""

    __slots__ = ("client", "sheet")

    event = "request"

    def __init__(self, client: str, sheet: Sheet) -> None:
        self.client = client
        self.sheet = sheet

    @property
    def time(self) -> str:
        return self.sheet.time

    @property
    def time_iso(self) -> str:
        return self.sheet.time_iso

    @property
    def _text(self) -> str:
        return self.sheet.no_text

    @property
    def _number(self) -> str | int:
        return self.sheet.no_number

    request = method = target = protocol = host = referer = user_agent = _text
    route = backend = termination = request_id = trace_id = reason = closed_by = _text
    status = sent_bytes = request_bytes = attempts = queue_ms = connect_ms = first_byte_ms = total_ms = _number
    client_messages = client_bytes = upstream_messages = upstream_bytes = _number
    close_code = client_close_code = upstream_close_code = _number


class HeadEntry(Entry):
    """An entry that knows the head of a request, or that it could not be read."""

    __slots__ = ("_lowered", "head")

    def __init__(self, client: str, sheet: Sheet, head: RequestHead | None) -> None:
        self.client = client
        self.sheet = sheet
        self.head = head
        self._lowered = b""

    @property
    def request(self) -> str:
        head = self.head
        if head is None:
            return self.sheet.no_text
        return f"{head.method.decode()} {masked(head.target)} HTTP/1.{head.minor_version}"  # a method is a token

    @property
    def method(self) -> str:
        return self.sheet.no_text if self.head is None else shown(self.head.method)

    @property
    def target(self) -> str:
        return self.sheet.no_text if self.head is None else masked(self.head.target)

    @property
    def protocol(self) -> str:
        return self.sheet.no_text if self.head is None else f"HTTP/1.{self.head.minor_version}"

    @property
    def host(self) -> str:
        return self.sheet.no_text if self.head is None else shown(self.head.authority) or self.sheet.no_text

    @property
    def referer(self) -> str:
        value = self._field(b"\nreferer: ")
        return masked(value) if value else self.sheet.no_text

    @property
    def user_agent(self) -> str:
        value = self._field(b"\nuser-agent: ")
        return shown(value) if value else self.sheet.no_text

    @property
    def trace_id(self) -> str:
        """W3C Trace Context: the spans of the request can be found from here."""
        value = self._field(b"\ntraceparent: ")
        match = _trace_id.match(value) if value else None
        return self.sheet.no_text if match is None else match[1].decode("ascii")

    def _field(self, mark: bytes) -> bytes:
        """The value of the first such field; `find` in a lower-case copy takes a tenth of a search in any case."""
        head = self.head
        if head is None:
            return b""
        lowered = self._lowered
        if not lowered:
            self._lowered = lowered = b"\n" + head.fields.lower()
        place = lowered.find(mark)
        if place < 0:
            return b""
        start = place + len(mark) - 1  # in the fields themselves, before which stands no line end
        return head.fields[start : head.fields.index(b"\r", start)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request was answered that went nowhere. size: bytes of the answer."""

    status: int
    message: str
    request_id: bytes
    size: int


class RefusedEntry(HeadEntry):
    """A request that went nowhere."""

    __slots__ = ("_refusal",)

    attempts = 0

    def __init__(self, client: str, sheet: Sheet, head: RequestHead | None, refusal: Refusal) -> None:
        super().__init__(client, sheet, head)
        self._refusal = refusal

    @property
    def status(self) -> int:
        return self._refusal.status

    @property
    def sent_bytes(self) -> int:
        return self._refusal.size

    @property
    def termination(self) -> str:
        status = self._refusal.status
        return "--" if status < 400 else "cR" if status == 408 else "PR"

    @property
    def request_id(self) -> str:
        return shown(self._refusal.request_id)

    @property
    def reason(self) -> str:
        return shown(self._refusal.message.encode())


class RequestEntry(HeadEntry):
    """A request that went to a backend, or would have.

    What nearly every form asks for is put down at once: twelve properties would take a microsecond more.
    """

    __slots__ = (
        "_exchange",
        "attempts",
        "backend",
        "connect_ms",
        "first_byte_ms",
        "queue_ms",
        "reason",
        "request_id",
        "route",
        "sent_bytes",
        "status",
        "termination",
        "total_ms",
    )

    status: int
    sent_bytes: int
    attempts: int
    route: str
    backend: str
    termination: str
    reason: str
    request_id: str
    queue_ms: str
    connect_ms: str
    first_byte_ms: str
    total_ms: str

    def __init__(self, client: str, sheet: Sheet, exchange: Exchange) -> None:
        self.client = client
        self.sheet = sheet
        self.head = exchange.head
        self._lowered = b""
        self._exchange = exchange
        response, failure = exchange.response, exchange.failure
        self.status = response.status if response is not None and exchange.answered else 0
        if failure is None:
            self.termination, self.reason = "--", sheet.no_text
        else:
            self.termination, self.reason = termination(exchange), shown(failure.message.encode())
            if failure is CLIENT_LEFT or not exchange.answered:
                self.status = failure.status
        self.sent_bytes = exchange.answered_bytes
        self.attempts = exchange.attempts
        self.route = exchange.route.name
        self.backend = exchange.backend_name or sheet.no_text
        request_id = exchange.request_id.decode("latin-1")
        self.request_id = request_id if request_id.isalnum() else shown(exchange.request_id)
        nothing = sheet.no_number
        self.queue_ms = self.connect_ms = self.first_byte_ms = self.total_ms = nothing
        if (stages := exchange.stages) is not None:
            queue_s, connect_s, first_byte_s, _ = stages.spent_s
            self.queue_ms = f"{queue_s * 1000:.1f}"
            self.connect_ms = f"{connect_s * 1000:.1f}" if connect_s else nothing
            self.first_byte_ms = f"{first_byte_s * 1000:.1f}" if first_byte_s else nothing
            self.total_ms = f"{stages.total_s * 1000:.1f}"

    @property
    def request_bytes(self) -> int:
        body = self._exchange.body
        return 0 if body is None else body.read_bytes


class OpenedEntry(RequestEntry):
    """A WebSocket that has opened: its handshake."""

    __slots__ = ()

    event = "ws_open"


class WebSocketEntry(Entry):
    """A WebSocket from its opening to its end: what is kept of the handshake for so long, and then what passed.

    Its times are perf_counter's.
    """

    __slots__ = ("_handshake", "_opened_at", "_state", "total_s")

    event = "ws_close"
    method = "GET"
    protocol = "HTTP/1.1"
    status = 101

    def __init__(self, client: str, sheet: Sheet, exchange: Exchange) -> None:
        super().__init__(client, sheet)
        opened = OpenedEntry(client, sheet, exchange)
        self._handshake = (opened.target, opened.host, opened.route, opened.backend, opened.request_id, opened.trace_id)
        self._opened_at = perf_counter()
        self._state: RelayState | None = None
        self.total_s = 0.0

    def end(self, state: RelayState) -> None:
        """It is over."""
        self._state = state
        self.total_s = perf_counter() - self._opened_at

    @property
    def request(self) -> str:
        return f"GET {self._handshake[0]} HTTP/1.1"

    @property
    def target(self) -> str:
        return self._handshake[0]

    @property
    def host(self) -> str:
        return self._handshake[1]

    @property
    def route(self) -> str:
        return self._handshake[2]

    @property
    def backend(self) -> str:
        return self._handshake[3]

    @property
    def request_id(self) -> str:
        return self._handshake[4]

    @property
    def trace_id(self) -> str:
        return self._handshake[5]

    @property
    def total_ms(self) -> str:
        return f"{self.total_s * 1000:.1f}"

    @property
    def termination(self) -> str:
        state = self._state
        if state is None:
            return self.sheet.no_text
        return _CLOSER_LETTERS[state.closed_by] + ("L" if state.close_code in (None, ABNORMAL) else "W")

    @property
    def closed_by(self) -> str:
        return self.sheet.no_text if self._state is None else self._state.closed_by or "proxy"

    @property
    def close_code(self) -> int | str:
        return self._code(None if self._state is None else self._state.close_code)

    @property
    def client_close_code(self) -> int | str:
        return self._code(None if self._state is None else self._state.client.close_code)

    @property
    def upstream_close_code(self) -> int | str:
        return self._code(None if self._state is None else self._state.upstream.close_code)

    @property
    def client_messages(self) -> int:
        return 0 if self._state is None else self._state.client.messages

    @property
    def client_bytes(self) -> int:
        return 0 if self._state is None else self._state.client.data_bytes

    @property
    def upstream_messages(self) -> int:
        return 0 if self._state is None else self._state.upstream.messages

    @property
    def upstream_bytes(self) -> int:
        return 0 if self._state is None else self._state.upstream.data_bytes

    def _code(self, code: int | None) -> int | str:
        return self.sheet.no_number if code is None else code


def termination(exchange: Exchange) -> str:
    """Who ended a failed exchange (`C`, `S`, `P`; in lower case: their time ran out), and in which stage."""
    failure = exchange.failure
    if failure is None:
        return "--"
    if failure.side is Side.CLIENT and failure is not CLIENT_LEFT:
        return "cR" if failure.status == 408 else "PR"
    stage = "-" if exchange.stages is None else _STAGE_LETTERS[exchange.stages.stage]
    if failure is CLIENT_LEFT:
        return "C" + stage
    if failure is QUEUE_TIMEOUT:
        return "p" + stage
    who = "S" if failure.side is Side.UPSTREAM else "P"
    return (who.lower() if failure.status == 504 else who) + stage
