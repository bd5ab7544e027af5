"""The last of a connection that this side ends: what its client still sends is read, so that it sees why and no reset.

Knows the client's stream alone (RFC 9112 9.6).
"""

from __future__ import annotations

from typing import Final

from wsproxy.net.stream import Stream

LINGER_BYTES: Final = 1024 * 1024
"""What is still read: mostly the rest of an upload."""

LINGER_S: Final = 2.0
"""And for how long; the caller sees to that."""


async def see_out(stream: Stream) -> None:
    """Say nothing more, and read what still comes.

    Raises what reading does, EndOfStream once the client has ended its side too.
    """
    stream.shut_down_writing()
    discarded = len(stream.take())
    while discarded < LINGER_BYTES:
        discarded += len(await stream.receive())
