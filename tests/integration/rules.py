"""What the tests of the HTTP rules share: a request on a raw socket, and what became of it on the other side."""

from __future__ import annotations

from tests.integration.harness import Message, Wire, connect, ok, proxied

IDENTITY = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id")
"""What the proxy adds to every request."""

HOST = b"Host: a\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PUT_CHUNKED = b"PUT / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


async def forwarded(raw: bytes, frontend: str = "", lines: str = "") -> tuple[Message, bytes]:
    """The request as the server got it, and its bytes, without the fields that the proxy adds."""
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.request())
        await wire.send(ok())
        assert await wire.rest() == b""

    async with proxied(script, lines, frontend) as (server, running), await connect(running.port) as client:
        await client.send(raw)
        assert (await client.response(raw.split(b" ")[0])).status == 200
        received = bytes(server.wires[0].received)
    head, _, body = received.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if line.partition(b":")[0].lower() not in IDENTITY]
    return seen[0], b"\r\n".join(kept) + b"\r\n\r\n" + body


async def refused(raw: bytes, frontend: str = "") -> tuple[int, bytes]:
    """The status of a request that is refused, of which nothing reaches the server; and all the client gets."""
    async with proxied(ok(), frontend=frontend) as (server, running), await connect(running.port) as client:
        await client.send(raw)
        reply = await client.rest()
        assert server.requests == []
        assert all(b"HTTP/1." not in wire.received for wire in server.wires)
    message = Message(reply.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert message.field(b"connection") == b"close"
    assert reply.count(b"HTTP/1.1 ") == 1
    return message.status, reply
