"""How a server is asked on a probe's connection: one GET, and the final head of its answer.

Knows a connected stream and the HTTP codec; what is asked for, and what of the answer counts, the probes say.
"""

from __future__ import annotations

from typing import Final

from wsproxy import __version__
from wsproxy.config.group_settings import Address
from wsproxy.http.codec import read_response_head
from wsproxy.http.messages import ResponseHead
from wsproxy.net.stream import Stream

HEAD_BYTES: Final = 16 * 1024
"""What the head of a health answer may take: the same as that of any other answer."""


async def ask(stream: Stream, address: Address, path: str, fields: tuple[str, ...]) -> ResponseHead:
    """Send a GET with these fields and return the final head of the answer, past interim ones.

    A 101 counts as final. Raises EndOfStream, BrokenResourceError, MalformedResponseError.
    """
    host = address.authority or ("localhost" if address.unix_path else str(address))
    lines = (
        f"GET {address.base_path}{path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: wsproxy-health/{__version__}",
        *fields,
        "",
    )
    await stream.send("".join(f"{line}\r\n" for line in lines).encode())
    while True:
        found = read_response_head(stream.buffer, b"GET", HEAD_BYTES)
        if found is None:
            await stream.more()
            continue
        head, size = found
        stream.consume(size)
        if head.status >= 200 or head.status == 101:
            return head
