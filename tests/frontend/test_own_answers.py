"""The frontend's own answers: pages from files, and what each answer carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes import make_head, run
from wsproxy.config.model import ErrorPageSettings
from wsproxy.frontend.own_answers import MAX_PAGE_BYTES, ErrorPageError, OwnAnswers, read_page
from wsproxy.http.messages import RequestHead
from wsproxy.net.deadlines import Deadlines

PAGE = b"<h1>gone fishing</h1>"


def asking(accept: bytes, method: bytes = b"GET") -> RequestHead:
    head = make_head(method)
    head.fields += b"Accept: %b\r\n" % accept
    return head


@pytest.fixture
def page(tmp_path: Path) -> ErrorPageSettings:
    path = tmp_path / "down.html"
    path.write_bytes(PAGE)
    return ErrorPageSettings((502, 503), str(path), "text/html", "a.ini:3:1")


def answer(page: ErrorPageSettings, status: int, head: RequestHead | None) -> bytes:
    async def main() -> bytes:
        answers = OwnAnswers([page], Deadlines(clock=lambda: 784111777.5), b"X-Each: 1\r\n")
        return answers.error(status, "a reason", b"id-1", head, close=True, fields=b"X-This: 2\r\n")

    return run(main)


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [(b"*/*", True), (b"text/html", True), (b"image/png", True), (b"application/json", False), (b"text/plain", False)],
)
def test_a_page_goes_to_whom_it_suits(page: ErrorPageSettings, accept: bytes, is_page: bool) -> None:
    head, _, body = answer(page, 503, asking(accept)).partition(b"\r\n\r\n")
    assert (body == PAGE) is is_page
    assert (b"Content-Type: text/html; charset=utf-8\r\n" in head) is is_page
    assert b"Content-Length: %d\r\n" % len(body) in head


def test_a_page_is_for_its_statuses(page: ErrorPageSettings) -> None:
    assert PAGE in answer(page, 502, None)
    assert PAGE not in answer(page, 504, None)


def test_a_head_request_gets_no_body(page: ErrorPageSettings) -> None:
    reply = answer(page, 503, asking(b"*/*", b"HEAD"))
    assert reply.endswith(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(PAGE) in reply


def test_each_answer_has_a_date_and_the_lines_of_the_frontend(page: ErrorPageSettings) -> None:
    reply = answer(page, 404, None)
    assert b"\r\nX-This: 2\r\nX-Each: 1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n" in reply
    assert b"id-1" in reply


def test_a_page_that_cannot_be_used(page: ErrorPageSettings, tmp_path: Path) -> None:
    Path(page.path).write_bytes(bytes(MAX_PAGE_BYTES))
    assert len(read_page(page).body) == MAX_PAGE_BYTES
    Path(page.path).write_bytes(bytes(MAX_PAGE_BYTES + 1))
    with pytest.raises(ErrorPageError, match="larger than 1024 KiB") as caught:
        read_page(page)
    assert caught.value.place == "a.ini:3:1"
    with pytest.raises(ErrorPageError, match="is a directory"):
        read_page(ErrorPageSettings((404,), str(tmp_path), "text/html"))
