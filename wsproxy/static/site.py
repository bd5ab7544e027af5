"""The handler of a static route: which file a request means, and what becomes of the answer.

Knows files through `FileTree`, and the exchange. Names that were asked for a moment ago are looked up at once, as the
kernel has them in memory; others in a thread, so that a slow disk delays nobody else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeGuard

from anyio import BrokenResourceError

from wsproxy.config.content_settings import StaticSettings
from wsproxy.errors import CLIENT_LEFT, INTERNAL, NO_DESCRIPTORS, Failure, Side
from wsproxy.exchange import BODY, BodyError, Exchange, RequestBody, ResponseFilter
from wsproxy.http.accept import preferred_coding
from wsproxy.http.codec import encode_response
from wsproxy.http.conditions import CONDITION_FIELDS
from wsproxy.http.messages import ResponseHead
from wsproxy.http.target import normal_path
from wsproxy.net.deadlines import Deadlines
from wsproxy.static.answers import Answer, Piece, file_answer, listing_answer, redirect_answer
from wsproxy.static.listing import Listing
from wsproxy.static.paths import directory_location, relative_path
from wsproxy.static.reading import Reading
from wsproxy.static.recent import RecentFiles
from wsproxy.static.sending import CutShortError, Sending
from wsproxy.static.tree import SMALL_BYTES, FileTree, Found, NotServedError, OpenFile, Redirect

_logger = logging.getLogger("wsproxy.static")

WARM_S: Final = 10.0
"""How long after a look-up the same name is looked up without a thread: the kernel still has it in memory."""
WARM_NAMES: Final = 4096
"""Names that a route remembers for that: half a MiB, and more than a site's pages ask for at a time."""
LONGEST_WARM: Final = 1024
"""Bytes of a name that is remembered: what is longer is none that a site's pages ask for."""

_METHODS: Final = frozenset({b"GET", b"HEAD"})
_ACCEPT: Final = b"accept-encoding"
_asked: Final = re.compile(rb"(?im)^(" + b"|".join((*CONDITION_FIELDS, b"range", _ACCEPT)) + rb"): ([^\r]*)\r").findall

NOT_FOUND: Final = Failure(Side.CLIENT, 404, "not found")
FORBIDDEN: Final = Failure(Side.CLIENT, 403, "forbidden")
NOT_ALLOWED: Final = Failure(Side.CLIENT, 405, "only GET and HEAD are allowed", fields=b"Allow: GET, HEAD\r\n")
CUT_SHORT: Final = Failure(Side.PROXY, 500, "the file was cut short while it was sent")
_FAILURES: Final = {403: FORBIDDEN, 404: NOT_FOUND, 503: NO_DESCRIPTORS}


class StaticSite:
    """The files of one route, whose paths begin with `prefix`."""

    def __init__(
        self, settings: StaticSettings, prefix: str, deadlines: Deadlines, threads: ThreadPoolExecutor
    ) -> None:
        self._prefix = prefix
        self._deadlines = deadlines
        self._threads = threads
        self._tree = FileTree(settings)
        self._warm: dict[bytes, float] = {}
        self._recent = RecentFiles()
        cache_control = settings.cache_control
        self._cache_line = b"" if cache_control is None else b"Cache-Control: %b\r\n" % cache_control.encode("ascii")

    async def answer(self, exchange: Exchange, route: object) -> None:  # noqa: ARG002 - a handler's signature
        """Answer a request; `exchange.failure` is set where there is nothing to answer it with."""
        head = exchange.head
        if exchange.body is not None and not _is_there(exchange.body):
            exchange.keep_alive = False  # nobody waits for it
        if head.method not in _METHODS:
            exchange.failure = NOT_ALLOWED
            return
        asked: dict[bytes, bytes] = {}
        for written, value in _asked(head.fields):
            key = written.lower()
            asked[key] = asked[key] + b", " + value if key in asked else value
        accept = asked.pop(_ACCEPT, b"")
        if not asked and (recent := self._recent.get(head.target, accept, self._deadlines.now)) is not None:
            await self._send(exchange, recent.answer, None)
        else:
            await self._answer_with(exchange, asked, accept)

    async def _answer_with(self, exchange: Exchange, asked: dict[bytes, bytes], accept: bytes) -> None:
        """Answer with what the target means. asked: the conditions and the Range of the request."""
        target = exchange.head.target
        path = normal_path(target)
        name = relative_path(path, self._prefix)
        if name is None:
            exchange.failure = NOT_FOUND
            return
        try:
            found = await self._find(name, path.endswith("/"), accept)
        except NotServedError as error:
            self._keep_warm(name)
            self._refuse(exchange, name, error)
            return
        if isinstance(found, OpenFile):
            is_itself = found.name.startswith(name)  # and not what is shown in place of what is not there
            answer = await self._show(exchange, found, asked)
            if answer is not None and is_itself:
                self._recent.keep(target, accept, found, answer, self._deadlines.now)
        elif isinstance(found, Redirect):
            await self._send(exchange, redirect_answer(directory_location(path, target)), None)
        else:
            await self._send(exchange, listing_answer(found, self._cache_line), None)

    # What there is.

    async def _find(self, name: bytes, is_directory: bool, accept: bytes) -> Found:
        """Raises NotServedError."""

        def look() -> Found:
            return self._tree.find(name, is_directory, lambda codings: preferred_coding((accept,), codings))

        def look_and_read() -> Found:
            found = look()
            if isinstance(found, OpenFile) and found.size <= SMALL_BYTES:
                found.read_whole()
            return found

        now = self._deadlines.now
        if now - self._warm.pop(name, -WARM_S) < WARM_S:
            self._warm[name] = now
            return look()
        job = self._threads.submit(look_and_read)
        try:
            found = await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            job.add_done_callback(_discard)
            raise
        if not isinstance(found, Listing):  # a directory is never read quickly enough
            self._keep_warm(name)
        return found

    def _keep_warm(self, name: bytes) -> None:
        if len(name) > LONGEST_WARM:
            return
        self._warm[name] = self._deadlines.now
        if len(self._warm) > WARM_NAMES:
            del self._warm[next(iter(self._warm))]

    def _refuse(self, exchange: Exchange, name: bytes, error: NotServedError) -> None:
        if exchange.abandoned is not None:  # which is why it has failed
            return
        if reason := str(error):
            level = logging.WARNING if error.status >= 500 else logging.INFO
            _logger.log(level, "%s: %r is not served: %s", exchange.route.name, name.decode(errors="replace"), reason)
        exchange.failure = _FAILURES.get(error.status, INTERNAL)

    # What is answered.

    async def _show(self, exchange: Exchange, file: OpenFile, asked: dict[bytes, bytes]) -> Answer | None:
        """Answer with a file, and close it; the answer where it is the whole of a small one."""
        reading = Reading(file, self._threads)
        try:
            is_get = exchange.head.method == b"GET"
            answer = file_answer(file, asked, is_get, self._cache_line, time.time())
            if isinstance(answer, Failure):
                if exchange.abandoned is None:
                    exchange.failure = answer
                return None
            whole: Answer | None = None
            if is_get and answer.status == 200 and file.size <= SMALL_BYTES:
                if file.data is None:
                    file.data = reading.try_read(0, file.size)
                if file.data is not None and len(file.data) == file.size:
                    answer = whole = Answer(200, answer.lines, (file.data,), file.size)
            await self._send(exchange, answer, reading)
            return whole
        finally:
            reading.close()

    async def _send(self, exchange: Exchange, answer: Answer, reading: Reading | None) -> None:
        if exchange.abandoned is not None:
            return
        is_head = exchange.head.method == b"HEAD"
        response = answer.head(is_head)
        if exchange.edits:
            response = exchange.edited(response)
        if exchange.stages is not None:
            exchange.stages.enter(BODY)
        pieces = () if is_head else answer.pieces
        try:
            if exchange.filter is not None:
                await self._send_filtered(exchange, response, pieces, reading, exchange.filter)
            else:
                await self._send_plain(exchange, response, pieces, reading)
        except BrokenResourceError:
            exchange.failure = exchange.abandoned or CLIENT_LEFT
        except CutShortError:
            path = "" if reading is None else os.fsdecode(reading.file.path)
            _logger.warning("%s: %r was cut short while it was sent", exchange.route.name, path)
            exchange.failure = CUT_SHORT

    async def _send_plain(
        self, exchange: Exchange, response: ResponseHead, pieces: Sequence[Piece], reading: Reading | None
    ) -> None:
        exchange.response = response
        encoded = self._encode(exchange, response, chunked=False)
        client = exchange.client
        if response.length > SMALL_BYTES or client.write_paused or not _are_bytes(pieces):
            await Sending(exchange, reading, self._deadlines).send(encoded, pieces)
            return
        out = encoded + b"".join(pieces)
        client.write(out)
        exchange.answered = True
        exchange.answered_bytes = len(out)

    async def _send_filtered(
        self,
        exchange: Exchange,
        response: ResponseHead,
        pieces: Sequence[Piece],
        reading: Reading | None,
        through: ResponseFilter,
    ) -> None:
        shown = through.begin(response)
        if shown is None:
            exchange.failure = INTERNAL  # a filter that shows nothing has nothing to do here
            return
        exchange.response = shown
        chunked = shown.length < 0 and exchange.head.minor_version > 0
        if shown.length < 0 and not chunked:
            exchange.keep_alive = False  # HTTP/1.0 knows no chunks: the end of the connection ends the body
        encoded = self._encode(exchange, shown, chunked)
        await Sending(exchange, reading, self._deadlines).send_filtered(encoded, pieces, through, chunked)

    def _encode(self, exchange: Exchange, response: ResponseHead, chunked: bool) -> bytes:
        date = self._deadlines.date_line
        return encode_response(response, chunked, not exchange.keep_alive, exchange.head.minor_version, date)


def _is_there(body: RequestBody) -> bool:
    """Whether a body that nobody asked for has come with its head, and need not end the connection."""
    try:
        while not body.complete and body.take_buffered():
            pass
    except BodyError:
        return False
    return body.complete


def _are_bytes(pieces: Sequence[Piece]) -> TypeGuard[Sequence[bytes]]:
    return all(isinstance(piece, bytes) for piece in pieces)


def _discard(job: Future[Found]) -> None:
    """Nobody waits for what was found."""
    if not job.cancelled() and job.exception() is None and isinstance(found := job.result(), OpenFile):
        found.close()
