"""Why an attempt came to nothing on its connection: the server was silent, left or sent nonsense, or the body was bad.

Knows the connection and the upload as they were left; what becomes of the exchange is the worker's business.
"""

from __future__ import annotations

from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.upload import Upload
from wsproxy.errors import Failure, bad_answer, closed_early, no_answer
from wsproxy.exchange import Exchange


def lost(connection: UpstreamConnection, exchange: Exchange, upload: Upload | None, reused: bool) -> Failure:
    """The connection ended before the head of an answer: why. reused: it has carried others."""
    if connection.timed_out:
        failure = no_answer(exchange.route.response_timeout_s)
    elif connection.stream.buffer:
        failure = bad_answer("closed inside its head")
    else:
        failure = closed_early(reused)
    return blamed(upload, connection, failure)


def blamed(upload: Upload | None, connection: UpstreamConnection, failure: Failure) -> Failure:
    """`failure`, unless the request's body was the reason; a detail about the server goes to the log."""
    if upload is not None and upload.failure is not None:
        return upload.failure
    if connection.timed_out and failure.status == 502:
        return bad_answer("silent inside its answer")
    return failure
