"""Users of a running proxy, for locust: some ask over HTTP, some talk over a WebSocket and come back.

    locust -f loadtests/locustfile.py --headless -u 50 -r 50 -t 30s -H http://127.0.0.1:8080

Against the shipped `proxy.ini`: `GET /` and a WebSocket echo on `/ws`. Three figures stand apart in locust's table: `WS
connect` is the handshake, `WS echo` the round trip of one message, and `WS close` the closing handshake. Locust and
its users cost far more than the proxy does: this finds failures, not limits; for limits see `compare`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from time import perf_counter

from locust import FastHttpUser, User, between, constant_throughput, events, task
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

ECHOES_PER_CONNECTION = 20  # then the user reconnects, so that handshakes are under load all the time
PAYLOAD_BYTES = 128  # a chat message, a tick of a dashboard
ANSWER_LIMIT_S = 10.0


class HttpVisitor(FastHttpUser):
    """Asks for the front page, up to ten times a second, on one keep-alive connection."""

    wait_time = constant_throughput(10)

    @task
    def front_page(self) -> None:
        """Anything but a 200 is a failure."""
        with self.client.get("/", catch_response=True) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")


class WebSocketVisitor(User):
    """Connects, echoes messages and measures each round trip, closes, and comes back."""

    wait_time = between(0.1, 0.5)

    @task
    def visit(self) -> None:
        """One connection's life. A failed step ends it; the next task connects again."""
        url = (self.host or "").replace("http", "ws", 1) + "/ws"
        with contextlib.suppress(WebSocketException, OSError, WrongEchoError):
            with measured("connect"):
                # Locust's users are greenlets: a ping thread for each would cost more than the user itself.
                connection = connect(url, compression=None, ping_interval=None, open_timeout=ANSWER_LIMIT_S)
            with connection:
                for _ in range(ECHOES_PER_CONNECTION):
                    with measured("echo", PAYLOAD_BYTES):
                        echo(connection, os.urandom(PAYLOAD_BYTES))
                    self.wait()  # type: ignore[no-untyped-call]  # locust is typed in part
                with measured("close"):
                    connection.close()


class WrongEchoError(Exception):
    """The message came back as another."""


def echo(connection: ClientConnection, message: bytes) -> None:
    """Send a message and wait for it; raises WrongEchoError, TimeoutError (an OSError) or ConnectionClosed."""
    connection.send(message)
    if connection.recv(ANSWER_LIMIT_S) != message:
        raise WrongEchoError("the message came back as another")


@contextlib.contextmanager
def measured(name: str, size: int = 0) -> Iterator[None]:
    """Report what happens inside as one line's sample: its time, and how it failed if it did."""
    started = perf_counter()
    failure: Exception | None = None
    try:
        yield
    except (WebSocketException, OSError, WrongEchoError) as error:
        failure = error
        raise
    finally:
        events.request.fire(  # type: ignore[no-untyped-call]
            request_type="WS",
            name=name,
            response_time=(perf_counter() - started) * 1e3,
            response_length=size,
            exception=failure,
            context={},
        )
