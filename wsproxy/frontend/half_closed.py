"""A client that has ended its side: whether it still waits for an answer, and whether it is there to get one.

Knows the client's stream alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from wsproxy.net.stream import Stream

ENDED_WITH_REQUEST_S: Final = 0.004
"""An end that follows the request's last byte so closely was sent without waiting for anything: one tick of the
kernel's clock, which counts no finer."""

FIRST_LOOK_S: Final = 0.005
LAST_LOOK_S: Final = 0.5
"""When it is looked whether the client is still there: soon, as one that has left shows it by its first packet, and
twice as late each time."""


def waits_for_answer(stream: Stream) -> bool:
    """Whether the client ended its side right with its request (`printf … | nc -N`), and not for want of patience."""
    return stream.end_delay_s() < ENDED_WITH_REQUEST_S


def abort_at_reset(stream: Stream, is_over: Callable[[], bool], delay_s: float = FIRST_LOOK_S) -> None:
    """Look now and then until it is over: after a client's end has been read, no loop tells of its reset."""
    if stream.is_reset:
        stream.abort()  # which tells whoever waits for a hang-up
    elif not is_over():
        stream.loop.call_later(delay_s, abort_at_reset, stream, is_over, min(2 * delay_s, LAST_LOOK_S))
