"""Interim answers (1xx) on their way to the client.

Knows one upstream connection and the exchange it carries.
"""

from __future__ import annotations

from typing import Final

from wsproxy.backend.connection import UpstreamConnection
from wsproxy.backend.upload import Upload
from wsproxy.exchange import Exchange
from wsproxy.http.codec import encode_response
from wsproxy.http.messages import MalformedResponseError, ResponseHead

INTERIM_LIMIT: Final = 64
"""Interim answers to one request: progress notes (102) of minutes are fewer, and a server may not send without end."""


async def pass_interim(
    response: ResponseHead, connection: UpstreamConnection, exchange: Exchange, upload: Upload | None
) -> ResponseHead:
    """Forward interim responses to clients that know them, and return the final one or the 101.

    A 100 only to those that wait for one: to others it would say nothing, and not all of them expect it.
    Raises MalformedResponseError, EndOfStream, BrokenResourceError, ClientGoneError.
    """
    head = exchange.head
    passed = 0
    while response.status < 200 and response.status != 101:
        passed += 1
        if passed > INTERIM_LIMIT:
            raise MalformedResponseError("too many interim answers")
        wanted = head.minor_version > 0
        if response.status == 100:  # which we may have said in the server's place already
            wanted = wanted and upload is not None and head.expect_continue and not upload.continued
            if upload is not None:
                upload.continued = upload.continued or wanted
                upload.permit()
        if wanted:
            exchange.committed = True
            await connection.send(exchange, encode_response(response, False, False, 1))
        response = await connection.read_head(head.method)
    if response.status == 101 and not head.upgrade:
        raise MalformedResponseError("101 without an upgrade")
    return response
