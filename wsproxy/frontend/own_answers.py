"""The answers that a frontend gives by itself: in the client's form or the operator's page, with a Date, saying nothing
about the inside.

Knows the frontend's pages, which are read once, at the start; when to answer, and what may be said, is the session's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wsproxy.config.model import ErrorPageSettings
from wsproxy.http.messages import RequestHead, field_values
from wsproxy.http.replies import ErrorPage, error_reply
from wsproxy.net.deadlines import Deadlines

MAX_PAGE_BYTES: Final = 1024 * 1024
"""A page is written whole, to each client that meets an error: one with its pictures inside is smaller."""


class ErrorPageError(Exception):
    """A page that cannot be used; str() says why, place where the configuration names it."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place


def read_page(settings: ErrorPageSettings) -> ErrorPage:
    """Read one page. Raises ErrorPageError."""
    try:
        with Path(settings.path).open("rb") as file:
            body = file.read(MAX_PAGE_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ErrorPageError(settings.place, f"{settings.path} cannot be read: {reason}") from None
    if len(body) > MAX_PAGE_BYTES:
        raise ErrorPageError(settings.place, f"{settings.path} is larger than {MAX_PAGE_BYTES // 1024} KiB")
    return ErrorPage(settings.media_type, body)


class OwnAnswers:
    """What a frontend answers in place of a backend. fields: lines that each of its answers gets."""

    def __init__(self, pages: Iterable[ErrorPageSettings], deadlines: Deadlines, fields: bytes) -> None:
        self._pages: dict[int, ErrorPage] = {}
        for settings in pages:
            self._pages.update(dict.fromkeys(settings.statuses, read_page(settings)))
        self._deadlines = deadlines
        self._fields = fields

    def fields(self) -> bytes:
        """The lines that each answer of our own has: what the frontend adds to all, and the Date."""
        return self._fields + self._deadlines.date_line

    def error(
        self,
        status: int,
        message: str,
        request_id: bytes,
        head: RequestHead | None,
        close: bool,
        retry_after_s: int | None = None,
        fields: bytes = b"",
    ) -> bytes:
        """A whole error answer to a request, whose `head` is None when it could not be read.

        message: may be shown to anybody. close: the connection ends. fields: more lines for this answer.
        """
        return error_reply(
            status,
            message,
            request_id.decode("latin-1"),
            b"" if head is None else b", ".join(field_values(head.fields, b"accept")),
            close,
            retry_after_s,
            head_only=head is not None and head.method == b"HEAD",
            fields=fields + self.fields(),
            page=self._pages.get(status),
        )
