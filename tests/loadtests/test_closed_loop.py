"""loadtests.closed_loop: what was sent is either completed or failed, against servers that misbehave."""

from __future__ import annotations

import os
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from loadtests.closed_loop import ClosedLoop, LoadReport, LoadSettings
from loadtests.http_load import HttpConversation
from tests.certificates import Authority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="epoll and /proc are Linux's")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

Answer = Callable[[int], bytes]  # the number of a request on its connection, from 0 -> what to send; b"" closes


@contextmanager
def server(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A thread per connection; yields the port, and ends the listener (clients end their connections)."""

    def serve(connection: socket.socket) -> None:
        with connection if tls is None else tls.wrap_socket(connection, server_side=True) as connection:
            for number in range(1_000_000):
                try:
                    if not connection.recv(4096):
                        return
                    reply = answer(number)
                    if not reply:
                        return
                    connection.sendall(reply)
                except OSError:
                    return
                if b"close" in reply:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)


def run(answer: Answer, tls: ssl.SSLContext | None = None) -> LoadReport:
    with server(answer, tls) as port:
        settings = LoadSettings(
            port=port, connections=2, seconds=0.1, warm_up_s=0.05, watch_pid=os.getpid(), tls=tls is not None
        )
        return ClosedLoop(settings, lambda: HttpConversation("/", 2)).run()


def test_good_answers_are_completed_and_timed() -> None:
    report = run(lambda number: OK)
    assert report.failed == 0
    assert report.completed > 0
    assert 0 < report.p50_us <= report.p99_us
    assert report.seconds >= 0.1
    assert report.cpu_s > 0


def test_good_answers_over_tls_are_completed(tmp_path: Path) -> None:
    report = run(lambda number: CLOSING if number == 9 else OK, Authority(tmp_path).server_context("localhost"))
    assert report.failed == 0
    assert report.completed > 0


def test_an_announced_close_is_no_failure() -> None:
    report = run(lambda number: CLOSING if number == 3 else OK)
    assert report.failed == 0
    assert report.completed > 0


def test_an_error_answer_is_counted_by_its_status() -> None:
    report = run(lambda number: BUSY if number == 3 else OK)
    assert set(report.failures) == {"status 503"}
    assert report.failed == report.failures["status 503"] > 0


def test_a_silent_close_is_a_failure() -> None:
    report = run(lambda number: b"" if number == 3 else OK)
    assert report.failed > 0
    assert all("closed before" in reason or "reset" in reason for reason in report.failures)
