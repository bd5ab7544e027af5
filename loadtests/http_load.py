"""Keep-alive HTTP load: every connection asks for the same target again and again, and checks every answer.

`python -m loadtests.http_load --port P --watch-pid PID --target /70 --size 70` prints a LoadReport as JSON. A
failure is anything but a 200 of that many bytes: another status, another length, an end that was not announced.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Iterator
from itertools import count as numbered

from loadtests.closed_loop import AnswerError, Progress, add_load_arguments, load_settings, run_and_print

HEAD_BYTES = 4096  # no proxy's answer to us has a longer head


COUNTER = "{n}"  # in a target: a number that no other request of the load has


class HttpConversation:
    """GET `target` and an answer with a body of `size` bytes, on one keep-alive connection."""

    def __init__(self, target: str, size: int, numbers: Iterator[int] | None = None) -> None:
        before, counter, behind = target.partition(COUNTER)
        self._before = f"GET {before}".encode()
        self._behind = f"{behind} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: loadtests\r\n\r\n".encode()
        self._numbers = numbers if counter else None
        self._size = size
        self._length_field = f"\r\ncontent-length: {size}\r\n".encode()
        self._missing = 0  # bytes of the body under way that are still to come
        self._end = Progress.COMPLETE
        self._head = b""  # what has come of a head that did not come at once

    @property
    def request(self) -> bytes:
        """The next request; with a counter in the target no two are the same."""
        if self._numbers is None:
            return self._before + self._behind
        return b"%b%d%b" % (self._before, next(self._numbers), self._behind)

    def open(self, connection: socket.socket) -> None:
        """HTTP starts with its first request."""

    def received(self, buffer: bytearray, count: int) -> Progress:
        """See Conversation."""
        if self._missing:
            body = count
        else:
            head = self._head + buffer[: min(count, HEAD_BYTES)]
            end = head.find(b"\r\n\r\n") + 4
            if end < 4:
                if len(head) >= HEAD_BYTES:
                    raise AnswerError("head too long")
                self._head = head
                return Progress.MORE
            self._start(head[: end - 2].lower())
            body = len(self._head) + count - end
            self._head = b""
        self._missing -= body
        if self._missing < 0:
            raise AnswerError("longer than Content-Length")
        return Progress.MORE if self._missing else self._end

    def _start(self, head: bytes) -> None:
        """Judge a head in lower case, with the line end of its last field."""
        if not head.startswith(b"http/1.1 200 "):
            raise AnswerError(f"status {head[9:12].decode('ascii', 'replace')}")
        if self._length_field not in head:
            raise AnswerError("another Content-Length")
        self._missing = self._size
        self._end = Progress.LAST if b"\r\nconnection: close\r\n" in head else Progress.COMPLETE


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add_load_arguments(parser)
    parser.add_argument("--target", default="/70")
    parser.add_argument("--size", type=int, default=70, help="bytes of the answer's body")
    arguments = parser.parse_args()
    numbers = numbered(1)
    run_and_print(load_settings(arguments), lambda: HttpConversation(arguments.target, arguments.size, numbers))


if __name__ == "__main__":
    main()
