"""The vocabulary of the case tables: what a client sends, what an upstream answers, what may come of it.

Pure data. Tables are written from RFC 9110 and 9112 and from what proxies are known to get wrong; where these leave a
choice, a case lists every legal outcome, unless the product's own rules (docs) decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from tests.conformance.wire import Framing

HOST: Final = "a.test"
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
"""What an attacker would like an upstream to take for a request."""


@dataclass(frozen=True)
class Pause:
    """Do nothing for a time: for cases about time, and where no byte tells that a connection has ended."""

    seconds: float


@dataclass(frozen=True)
class Seen:
    """Go on once this side has received these bytes."""

    mark: bytes


@dataclass(frozen=True)
class Reached:
    """Go on once the other side, behind the proxy, has received these bytes."""

    mark: bytes


@dataclass(frozen=True)
class Dribble:
    """Send in pieces of `size` bytes, each in a packet of its own."""

    data: bytes
    size: int = 1


@dataclass(frozen=True)
class Last:
    """Send these few bytes and half-close in the same packet."""

    data: bytes


class Do(Enum):
    """Steps without arguments; WHOLE: (upstream) go on once the request is complete."""

    HALF_CLOSE = "half-close"
    CLOSE = "close"
    RESET = "reset"
    WHOLE = "whole request"


Step = bytes | Pause | Seen | Reached | Dribble | Last | Do
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Reply:
    """What the upstream does for one request, from its head on; at_connect: as soon as it is connected to."""

    steps: Steps
    at_connect: bool = False


@dataclass(frozen=True)
class Got:
    """What the upstream must have got as one request.

    line: the request line. has: values of a field, joined by `, `. lacks: fields that must not be in the head.
    """

    line: str | None = None
    has: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    body: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What the client must have got as one final answer; interim: the statuses before it; complete: not cut."""

    status: tuple[int, ...] = (200,)
    has: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    body: bytes | None = None
    complete: bool = True
    interim: tuple[int, ...] | None = None
    framing: tuple[Framing, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """One legal end of a case.

    upstream: the requests that must have arrived, complete and in order; "cut": none that is complete; "any".
    kept: whether the client's connection must be usable, must be closed, or either (None).
    """

    client: tuple[Answer, ...] = (Answer(),)
    upstream: tuple[Got, ...] | Literal["cut", "any"] = "any"
    kept: bool | None = None


@dataclass(frozen=True)
class Case:
    """One case: `client` acts, the upstream follows `replies` (then a plain 200), one of `outcomes` must come of it.

    name: topic/slug. why: the rule and its section. methods: of the requests, where an answer is framed by them.
    upstream_listens: whether there is an upstream at all. strict: most proxies are lenient here.
    """

    name: str
    why: str
    client: Steps
    outcomes: tuple[Outcome, ...]
    replies: tuple[Reply, ...] = ()
    methods: tuple[str, ...] = ()
    upstream_listens: bool = True
    strict: bool = False


def request(line: str, *fields: str | bytes, body: bytes = b"", host: str | None = HOST) -> bytes:
    """A request as bytes, field lines as given; no field is added but Host."""
    lines = [line.encode("latin-1")] + ([b"Host: " + host.encode("latin-1")] if host is not None else [])
    lines += [item if isinstance(item, bytes) else item.encode("latin-1") for item in fields]
    return b"".join(item + b"\r\n" for item in lines) + b"\r\n" + body


def get(*fields: str | bytes, target: str = "/") -> bytes:
    """A GET."""
    return request(f"GET {target} HTTP/1.1", *fields)


def post(body: bytes, *fields: str | bytes, target: str = "/") -> bytes:
    """A POST with Content-Length."""
    return request(f"POST {target} HTTP/1.1", f"Content-Length: {len(body)}", *fields, body=body)


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", target: str = "/") -> bytes:
    """A POST with a chunked body."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end
    return request(f"POST {target} HTTP/1.1", "Transfer-Encoding: chunked", body=body)


def answer(*fields: str | bytes, status: str = "200 OK", body: bytes = b"ok", length: bool = True) -> bytes:
    """A response as bytes, with Content-Length unless told otherwise."""
    lines = [b"HTTP/1.1 " + status.encode("latin-1")] + ([b"Content-Length: %d" % len(body)] if length else [])
    lines += [item if isinstance(item, bytes) else item.encode("latin-1") for item in fields]
    return b"".join(item + b"\r\n" for item in lines) + b"\r\n" + body


def after(*steps: Step) -> Reply:
    """A reply that begins once the request is complete."""
    return Reply((Do.WHOLE, *steps))


def at_head(*steps: Step) -> Reply:
    """A reply that begins at the request's head."""
    return Reply(steps)


def refused(*status: int) -> Outcome:
    """An error answer, the end of the connection, and nothing at all for the upstream."""
    return Outcome((Answer(status or (400,)),), upstream=(), kept=False)


def cut(*status: int) -> Outcome:
    """An error answer inside an upload: the upstream may have seen the beginning, but no complete request."""
    return Outcome((Answer(status or (400,)),), upstream="cut", kept=False)


def served(*got: Got, kept: bool | None = True, **expected: object) -> Outcome:
    """Every request arrives as described and is answered 200."""
    first = Answer(**expected)  # type: ignore[arg-type]
    return Outcome((first,) + (Answer(),) * (len(got) - 1), upstream=got, kept=kept)
