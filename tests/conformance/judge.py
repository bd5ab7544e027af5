"""Compares what happened in a case with what may happen.

Pure. Besides the outcomes a case lists, some rules hold in every case: what the upstream and the client get is
well-formed and properly framed, no more answers come than are due, and the proxy serves the next client properly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conformance.cases import Answer, Case, Got, Outcome
from tests.conformance.wire import Ended, Message, read_requests, read_responses

PROBES = (b"/--kept", b"/--probe")
"""Targets of the bench's own requests: on the same client connection, and on a fresh one."""


@dataclass
class Record:
    """What happened.

    received, ended: the client's side, up to the bench's own request on it. upstream: the bytes of each connection, and
    how the proxy ended it. kept: whether a further request on the client's connection was answered; None if not tried.
    trouble: what the bench itself noticed.
    """

    received: bytes = b""
    ended: Ended = ""
    upstream: list[tuple[bytes, Ended]] = field(default_factory=list)
    kept: bool | None = None
    trouble: list[str] = field(default_factory=list)


def judge(case: Case, record: Record) -> list[str]:
    """All complaints; none if the case is passed."""
    requests, complaints = _requests(record)
    answers, rest = read_responses(record.received, methods_of(case), record.ended)
    if rest:
        complaints.append(f"client got bytes that are no answer: {rest[:80]!r}")
    complaints += [f"client got {fault}" for message in answers for fault in message.faults]
    complaints += _old_client(case, answers)
    alternatives = [_against(outcome, requests, answers, record) for outcome in case.outcomes]
    return record.trouble + complaints + min(alternatives, key=len)


def methods_of(case: Case) -> tuple[str, ...]:
    """The methods of the requests: given, or the first one's from its bytes."""
    first = case.client[0] if case.client else b""
    return case.methods or (("HEAD",) if isinstance(first, bytes) and first.startswith(b"HEAD ") else ())


def fits(outcome: Outcome, case: Case, received: bytes, ended: Ended) -> bool:
    """Whether the answers so far are those of this outcome, by their statuses."""
    answers, _ = read_responses(received, methods_of(case), ended)
    finals = [message.status for message in answers if message.status >= 200]
    return len(finals) == len(outcome.client) and all(
        status in wanted.status for status, wanted in zip(finals, outcome.client, strict=True)
    )


def _requests(record: Record) -> tuple[list[Message], list[str]]:
    requests: list[Message] = []
    complaints: list[str] = []
    for data, ended in record.upstream:
        messages, rest = read_requests(data, ended)
        requests += [message for message in messages if message.target not in PROBES]
        if rest:
            complaints.append(f"upstream got bytes that are no request: {rest[:80]!r}")
        complaints += [f"upstream got {fault}" for message in messages for fault in message.faults]
    return requests, complaints


def _old_client(case: Case, answers: list[Message]) -> list[str]:
    first = case.client[0] if case.client else b""
    if not isinstance(first, bytes) or not first.partition(b"\r\n")[0].endswith(b"HTTP/1.0"):
        return []
    return [
        "HTTP/1.0 client got " + ("an interim answer" if message.status < 200 else "a transfer coding")
        for message in answers
        if message.status < 200 or message.values("transfer-encoding")
    ]


def _against(outcome: Outcome, requests: list[Message], answers: list[Message], record: Record) -> list[str]:
    complaints = _upstream(outcome, requests)
    finals = [message for message in answers if message.status >= 200]
    if len(finals) != len(outcome.client):
        complaints.append(f"client got answers {[message.status for message in finals]}, not {len(outcome.client)}")
    for wanted, message in zip(outcome.client, finals, strict=False):
        complaints += _answer(wanted, message)
    interim = [message.status for message in answers if message.status < 200]
    due = [answer.interim for answer in outcome.client if answer.interim is not None]
    if due and interim != [status for statuses in due for status in statuses]:
        complaints.append(f"interim answers {interim}, not {due}")
    if outcome.kept is True and record.kept is not True:
        complaints.append("connection not kept")
    if (outcome.kept is False or not all(message.complete for message in answers)) and not record.ended:
        complaints.append("connection not closed")
    return complaints


def _upstream(outcome: Outcome, requests: list[Message]) -> list[str]:
    if outcome.upstream == "any":
        return []
    if outcome.upstream == "cut":
        return [f"upstream got a complete {message.start!r}" for message in requests if message.complete]
    if len(requests) != len(outcome.upstream):
        lines = [message.start for message in requests]
        return [f"upstream got {len(requests)} requests, not {len(outcome.upstream)}: {lines}"]
    complaints = []
    for wanted, message in zip(outcome.upstream, requests, strict=True):
        complaints += _got(wanted, message)
    return complaints


def _got(wanted: Got, message: Message) -> list[str]:
    complaints = [] if message.complete else [f"upstream got an incomplete {message.start!r}"]
    if wanted.line is not None and message.start != wanted.line.encode("latin-1"):
        complaints.append(f"upstream got {message.start[:120]!r}, not {wanted.line[:120]!r}")
    if wanted.body is not None and message.body != wanted.body:
        complaints.append(f"upstream got the body {message.body[:80]!r} ({len(message.body)} bytes)")
    return complaints + _fields("upstream", message, wanted)


def _answer(wanted: Answer, message: Message) -> list[str]:
    complaints = []
    if message.status not in wanted.status:
        complaints.append(f"client got {message.status}, not {wanted.status}")
    if message.complete != wanted.complete:
        complaints.append("client got " + ("a complete answer" if message.complete else "an answer cut short"))
    if wanted.body is not None and message.body != wanted.body:
        complaints.append(f"client got the body {message.body[:80]!r} ({len(message.body)} bytes)")
    if wanted.framing is not None and message.framing not in wanted.framing:
        complaints.append(f"client got an answer framed by {message.framing}")
    return complaints + _fields("client", message, wanted)


def _fields(side: str, message: Message, wanted: Got | Answer) -> list[str]:
    complaints = []
    for name, value in wanted.has.items():
        got = b", ".join(message.values(name)).decode("latin-1")
        if got != value or (not value and not message.values(name)):
            complaints.append(f"{side} got {name}: {got[:80]!r}, not {value[:80]!r}")
    names = {name for name, _ in message.fields}
    complaints += [f"{side} got {name}" for name in wanted.lacks if name.lower().encode() in names]
    return complaints
