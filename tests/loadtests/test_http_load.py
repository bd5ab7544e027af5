"""loadtests.http_load: every answer that is not the expected one is a failure, whatever pieces it comes in."""

from __future__ import annotations

import pytest

from loadtests.closed_loop import AnswerError, Progress
from loadtests.http_load import HttpConversation

ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"


def feed(conversation: HttpConversation, *pieces: bytes) -> list[Progress]:
    return [conversation.received(bytearray(piece.ljust(4096, b"\0")), len(piece)) for piece in pieces]


def test_two_answers_on_one_connection() -> None:
    assert feed(HttpConversation("/", 5), ANSWER, ANSWER) == [Progress.COMPLETE, Progress.COMPLETE]


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_in_two_pieces_is_complete_with_the_second(cut: int) -> None:
    conversation = HttpConversation("/", 5)
    assert feed(conversation, ANSWER[:cut], ANSWER[cut:]) == [Progress.MORE, Progress.COMPLETE]
    assert feed(conversation, ANSWER) == [Progress.COMPLETE]


def test_an_announced_end_is_the_last_answer() -> None:
    answer = ANSWER.replace(b"Server: x", b"Connection: close")
    assert feed(HttpConversation("/", 5), answer) == [Progress.LAST]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ANSWER.replace(b"200 OK", b"503 Service Unavailable"), "status 503"),
        (ANSWER.replace(b"Length: 5", b"Length: 50"), "another Content-Length"),
        (ANSWER.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"), "another Content-Length"),
        (ANSWER + b"!", "longer than"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 4096, "head too long"),
    ],
)
def test_anything_else_is_a_failure(answer: bytes, reason: str) -> None:
    with pytest.raises(AnswerError, match=reason):
        feed(HttpConversation("/", 5), answer)


def test_a_counter_in_the_target_makes_every_request_another() -> None:
    conversation = HttpConversation("/70?{n}", 5, iter([7, 8]))
    assert conversation.request.startswith(b"GET /70?7 HTTP/1.1\r\n")
    assert conversation.request.startswith(b"GET /70?8 HTTP/1.1\r\n")
    assert HttpConversation("/70", 5).request.startswith(b"GET /70 HTTP/1.1\r\n")
