"""What an access line can say: the values of its fields, for a request, for one that was refused, for a WebSocket.

Knows what is over and done with. Values come as one tuple in the order of `access_format.FIELDS`, each as it stands in
the line, see `sheet`; a number may be a word that stands for none. A form picks those that it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Final

from wsproxy.errors import CLIENT_LEFT, QUEUE_TIMEOUT, Failure, Side
from wsproxy.exchange import BODY, CONNECT, HEAD, QUEUE
from wsproxy.observe.sheet import Sheet, masked, shown
from wsproxy.ws.control import ABNORMAL

if TYPE_CHECKING:
    from wsproxy.exchange import Exchange
    from wsproxy.http.messages import RequestHead
    from wsproxy.ws.relay import RelayState

Values = tuple[str | int, ...]
"""One value for each of `access_format.FIELDS`, in that order; those of requests end before those of WebSockets."""

_TENTHS: Final = tuple(f"{tenth / 10:.1f}" for tenth in range(1_000))
"""Milliseconds below 100, as text: looking one up takes half of writing it, and a line has three."""

_STAGE_LETTERS: Final = {QUEUE: "Q", CONNECT: "C", HEAD: "H", BODY: "D"}
_CLOSER_LETTERS: Final = {"client": "C", "upstream": "S", "proxy": "P", None: "P"}


def request_values(sheet: Sheet, client: str, exchange: Exchange, event: str = "request") -> Values:
    """A request that went to a backend, or would have. One function, as each line of it runs for every request."""
    head, response, failure, stages = exchange.head, exchange.response, exchange.failure, exchange.stages
    status = response.status if response is not None and exchange.answered else 0
    code, reason = "--", sheet.no_text
    if failure is not None:
        status, code, reason = _failed(exchange, failure, status)
    nothing = sheet.no_number
    queue = connect = first_byte = total = nothing
    if stages is not None:
        queue_s, connect_s, first_byte_s, _ = stages.spent_s
        queue = milliseconds(queue_s)
        if connect_s:
            connect = milliseconds(connect_s)
        if first_byte_s:
            first_byte = milliseconds(first_byte_s)
        total = milliseconds(exchange.ended_at - exchange.started_at)
    target = masked(head.target)
    method = head.method.decode("latin-1")  # a token, so it has nothing that would have to be encoded
    protocol = "HTTP/1.1" if head.minor_version else "HTTP/1.0"
    request_id = exchange.request_id.decode("latin-1")
    body = exchange.body
    host, referer, user_agent, trace_id = sheet.told_by(head)
    return (
        sheet.time,
        sheet.time_iso,
        event,
        client,
        f"{method} {target} {protocol}",
        method,
        target,
        protocol,
        host,
        referer,
        user_agent,
        status,
        exchange.answered_bytes,
        0 if body is None else body.read_bytes,
        exchange.route.name,
        exchange.backend_name or sheet.no_text,
        exchange.attempts,
        code,
        queue,
        connect,
        first_byte,
        total,
        request_id if request_id.isalnum() else shown(exchange.request_id),
        trace_id,
        exchange.cache_result or sheet.no_text,
        reason,
    )


def milliseconds(seconds: float) -> str:
    """With one digit behind the point."""
    tenths = int(seconds * 10_000 + 0.5)
    return _TENTHS[tenths] if 0 <= tenths < 1_000 else f"{seconds * 1000:.1f}"


def _failed(exchange: Exchange, failure: Failure, status: int) -> tuple[int, str, str]:
    """Status, termination and reason of a request that was not answered whole."""
    if failure is CLIENT_LEFT or not exchange.answered:
        status = failure.status
    return status, termination(exchange), shown(failure.message.encode())


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


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a request was answered that went nowhere. size: bytes of the answer. route: who refused it, or ""."""

    status: int
    message: str
    request_id: bytes
    size: int
    route: str = ""


def refused_values(sheet: Sheet, client: str, head: RequestHead | None, refusal: Refusal) -> Values:
    """A request that went nowhere; `head` is None where it could not be read."""
    no_text, no_number = sheet.no_text, sheet.no_number
    request = method = target = protocol = host = referer = user_agent = trace_id = no_text
    if head is not None:
        method, target = shown(head.method), masked(head.target)
        protocol = f"HTTP/1.{head.minor_version}"
        request = f"{method} {target} {protocol}"
        host, referer, user_agent, trace_id = sheet.told_by(head)
    status = refusal.status
    code = "--" if status < 400 else "cR" if status == 408 else "PR"
    return (
        *(sheet.time, sheet.time_iso, "request", client),
        *(request, method, target, protocol, host, referer, user_agent),
        *(status, refusal.size, no_number, refusal.route or no_text, no_text, 0, code),
        *(no_number, no_number, no_number, no_number),
        *(shown(refusal.request_id), trace_id, no_text, shown(refusal.message.encode())),
    )


class WebSocketEntry:
    """What is kept of a WebSocket's handshake until it has closed: a few texts, as its head was let go.

    backend: who has it now; somebody else's name may stand there after a change of the backend.
    """

    __slots__ = ("_client", "_host", "_opened_at", "_request_id", "_route", "_target", "_trace_id", "backend")

    def __init__(self, sheet: Sheet, client: str, exchange: Exchange) -> None:
        head = exchange.head
        trace_id = sheet.told_by(head)[-1]
        self._client = client
        self._target = masked(head.target)
        self._host = shown(head.authority)
        self._route = exchange.route.name
        self.backend = exchange.backend_name
        self._request_id = shown(exchange.request_id)
        self._trace_id = "" if trace_id == sheet.no_text else trace_id  # another form may stand when it closes
        self._opened_at = perf_counter()

    def values(self, sheet: Sheet, state: RelayState) -> Values:
        """It is over: what passed."""
        no_text, no_number = sheet.no_text, sheet.no_number
        client, upstream = state.client, state.upstream
        life_s = perf_counter() - self._opened_at
        code = _CLOSER_LETTERS[state.closed_by] + ("L" if state.close_code in (None, ABNORMAL) else "W")
        codes = (state.close_code, client.close_code, upstream.close_code)
        return (
            *(sheet.time, sheet.time_iso, "ws_close", self._client),
            *(f"GET {self._target} HTTP/1.1", "GET", self._target, "HTTP/1.1", self._host or no_text, no_text, no_text),
            *(101, no_number, no_number, self._route, self.backend or no_text, no_number, code),
            *(no_number, no_number, no_number, milliseconds(life_s)),
            *(self._request_id, self._trace_id or no_text, no_text, no_text),
            *(client.messages, client.data_bytes, upstream.messages, upstream.data_bytes),
            *(state.closed_by or "proxy", *(no_number if code is None else code for code in codes)),
        )
