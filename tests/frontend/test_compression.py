"""Which answers get a filter, beside the other edits of a route."""

from __future__ import annotations

import gzip

from tests.fakes import Client, run
from wsproxy.config.content_settings import CompressionSettings
from wsproxy.exchange import Exchange
from wsproxy.frontend.compression import Compression
from wsproxy.http.compression import CompressionFilter
from wsproxy.http.messages import ResponseHead

TEXT = b"Content-Type: text/plain\r\n"


def exchange(accept: bytes = b"gzip") -> Exchange:
    made = Client().exchange
    made.head.fields += b"Accept-Encoding: %b\r\n" % accept
    return made


def response(fields: bytes = TEXT) -> ResponseHead:
    return ResponseHead(200, b"OK", 1, fields, 5000, True)


def test_filter_of_an_attempt_before_is_not_used_for_another_answer() -> None:
    async def main() -> None:
        compress = Compression(CompressionSettings(("gzip",)))
        made = exchange()
        compress(response(), made)
        assert isinstance(made.filter, CompressionFilter)
        picture = response(b"Content-Type: image/png\r\n")
        assert compress(picture, made) is picture
        assert made.filter is None

    run(main)


def test_who_looks_at_bodies_sees_them_as_the_server_sent_them() -> None:
    """A filter that comes later is put in front, and passes on to the one that was there."""

    class Look:
        def __init__(self, made: Exchange) -> None:
            self.inner = made.filter
            self.seen = b""

        def begin(self, head: ResponseHead) -> ResponseHead | None:
            return head if self.inner is None else self.inner.begin(head)

        def feed(self, data: bytes) -> bytes:
            self.seen += data
            return data if self.inner is None else self.inner.feed(data)

        def end(self) -> bytes:
            return b"" if self.inner is None else self.inner.end()

        def abort(self) -> None:
            return

    async def main() -> None:
        made = exchange()
        shown = Compression(CompressionSettings(("gzip",)))(response(), made)
        made.filter = look = Look(made)
        head = look.begin(shown)
        assert head is not None
        assert b"Content-Encoding: gzip\r\n" in head.fields
        assert gzip.decompress(look.feed(b"body") + look.end()) == b"body"
        assert look.seen == b"body"

    run(main)
