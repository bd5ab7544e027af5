"""The demo backend, run as users run it: a process of its own, over a unix socket, with real clients."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus
from websockets.sync.client import ClientConnection, unix_connect

WAIT_S = 10.0  # for an answer on a busy machine; no test waits for it to pass


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class RunningDemo:
    """A demo process that listens, and the lines it has to say."""

    def __init__(self, where: str, name: str) -> None:
        argv = [sys.executable, "-m", "wsproxy.demo", "--listen", where, "--name", name]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        self.first_line = self.process.stderr.readline()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> str:
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=WAIT_S)
        assert self.process.returncode == 0
        return said


@pytest.fixture(scope="class")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("demo") / "demo.sock")


@pytest.fixture(scope="class")
def demo(path: str) -> Iterator[RunningDemo]:
    running = RunningDemo(f"unix:{path}", "red & <blue>")
    yield running
    if running.process.poll() is None:
        # Whatever its clients did in the meantime, there is nothing to complain about: no traceback above all.
        assert running.stop() == "red & <blue> has stopped\n"
        assert not Path(path).exists()


@pytest.fixture
def client(demo: RunningDemo, path: str) -> Iterator[httpx.Client]:
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://demo", timeout=WAIT_S) as client:
        yield client


def raw(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(WAIT_S)
    connection.connect(path)
    return connection


def read_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def connect(path: str, resource: str = "/ws", compression: str | None = "deflate") -> ClientConnection:
    return unix_connect(path, f"ws://demo{resource}", compression=compression, max_size=None)


@pytest.mark.usefixtures("demo")
class TestHttp:
    def test_the_page_names_its_backend_escaped(self, client: httpx.Client) -> None:
        answer = client.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "<h1>red &amp; &lt;blue&gt;</h1>" in answer.text
        assert not re.search(r"https?://", answer.text)  # nothing comes from elsewhere

    def test_hello(self, client: httpx.Client) -> None:
        answer = client.get("/hello")
        assert answer.text == "Hello from red & <blue>\n"
        assert answer.headers["x-backend"] == "red & <blue>"

    def test_health_check(self, client: httpx.Client) -> None:
        assert client.get("/healthCheck").json() == {"status": 200}

    def test_slow(self, client: httpx.Client) -> None:
        assert client.get("/slow?seconds=0.01").text.endswith("up to 0.01 seconds later\n")

    @pytest.mark.parametrize("size", [0, 1, 65536, 1_000_003])
    def test_big(self, client: httpx.Client, size: int) -> None:
        answer = client.get(f"/big?bytes={size}")
        assert answer.headers["content-length"] == str(size)
        assert answer.content == (bytes(range(256)) * (size // 256 + 1))[:size]

    @pytest.mark.parametrize("target", ["/big?bytes=x", "/big?bytes=-1", "/slow?seconds=nan", "/slow?seconds=1e9"])
    def test_a_query_that_is_no_number(self, client: httpx.Client, target: str) -> None:
        assert client.get(target).status_code == 400

    def test_echo_with_a_length(self, client: httpx.Client) -> None:
        answer = client.post("/echo", content=b"a body", headers={"Content-Type": "text/x"})
        assert answer.content == b"a body"
        assert answer.headers["content-length"] == "6"
        assert answer.headers["content-type"] == "text/x"

    def test_echo_in_chunks_to_a_client_that_reads_last(self, client: httpx.Client) -> None:
        parts = [b"%7d " % n * 1000 for n in range(500)]
        answer = client.post("/echo", content=iter(parts))
        assert answer.content == b"".join(parts)
        assert answer.headers["transfer-encoding"] == "chunked"

    def test_headers_keep_their_order_and_case(self, client: httpx.Client) -> None:
        answer = client.get("/headers?x", headers=[("X-Second", "2"), ("X-First", "1"), ("X-Second", "3")])
        seen = answer.json()
        assert (seen["method"], seen["target"]) == ("GET", "/headers?x")
        assert [field for field in seen["fields"] if field[0].startswith("X-")] == [
            ["X-Second", "2"],
            ["X-First", "1"],
            ["X-Second", "3"],
        ]

    def test_events(self, client: httpx.Client) -> None:
        with client.stream("GET", "/events") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.iter_lines()
            assert next(lines) == "id: 0"
            assert re.fullmatch(r"data: \d\d:\d\d:\d\d", next(lines))

    @pytest.mark.parametrize("status", [200, 204, 304, 418, 503, 599])
    def test_status(self, client: httpx.Client, status: int) -> None:
        answer = client.get(f"/status/{status}")
        assert answer.status_code == status
        assert bool(answer.content) == (status not in (204, 304))

    @pytest.mark.parametrize("target", ["/nothing", "/status/100", "/status/x", "/status/", "/hello/"])
    def test_not_found(self, client: httpx.Client, target: str) -> None:
        assert client.get(target).status_code == 404

    @pytest.mark.parametrize("target", ["/hello", "/big?bytes=70000", "/events", "/status/404"])
    def test_head_is_get_without_the_body(self, client: httpx.Client, target: str) -> None:
        assert client.head(target).content == b""
        assert client.get("/hello").status_code == 200  # on the same connection: the framing was right


class TestConnections:
    @pytest.mark.usefixtures("demo")
    def test_pipelined_requests_are_answered_in_order(self, path: str) -> None:
        with raw(path) as connection:
            connection.sendall(b"GET /status/201 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\n")
            connection.sendall(b"Content-Length: 3\r\n\r\nabcGET /status/203 HTTP/1.1\r\nHost: a\r\n")
            connection.sendall(b"Connection: close\r\n\r\n")
            answer = read_all(connection)
        assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"201", b"200", b"203"]
        assert b"\r\n\r\nabcHTTP/1.1 203" in answer

    @pytest.mark.usefixtures("demo")
    def test_expect_100_continue(self, path: str) -> None:
        with raw(path) as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n")
            connection.sendall(b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
            answer = connection.recv(65536)  # there before the body was sent, maybe with the final head behind it
            assert answer.startswith(b"HTTP/1.1 100 ")
            connection.sendall(b"ok")
            assert (answer + read_all(connection)).endswith(b"\r\n\r\nok")

    @pytest.mark.usefixtures("demo")
    def test_http_1_0_gets_a_body_that_ends_with_the_connection(self, path: str) -> None:
        with raw(path) as connection:
            connection.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
            assert read_all(connection).endswith(b"\r\n\r\nHello from red & <blue>\n")

    @pytest.mark.usefixtures("demo")
    def test_a_small_unread_body_leaves_the_connection_usable(self, client: httpx.Client) -> None:
        assert client.post("/nothing", content=b"x" * 1000).status_code == 404
        assert client.get("/hello").status_code == 200

    @pytest.mark.usefixtures("demo")
    def test_a_large_unread_body_does_not_take_the_answer_with_it(self, path: str) -> None:
        with raw(path) as connection:
            connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 150000\r\n\r\n" + b"x" * 150_000)
            assert read_all(connection).startswith(b"HTTP/1.1 404 ")

    @pytest.mark.parametrize(
        "rudeness",
        [
            b"NONSENSE\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
            b"GET /big?bytes=1e9 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
            HANDSHAKE + b"\xff\xff\xff\xff",
        ],
    )
    @pytest.mark.usefixtures("demo")
    def test_a_rude_client_harms_no_other(self, path: str, rudeness: bytes) -> None:
        with raw(path) as connection:
            connection.sendall(rudeness)
            connection.recv(100)
        with raw(path) as connection:
            connection.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
            assert b"Hello" in read_all(connection)


@pytest.mark.usefixtures("demo")
class TestWebSocket:
    @pytest.mark.parametrize("compression", [None, "deflate"])
    @pytest.mark.parametrize("resource", ["/ws", "/chat/echo?x=1"])
    def test_echoes_text_and_binary(self, path: str, resource: str, compression: str | None) -> None:
        with connect(path, resource, compression) as client:
            negotiated = [type(extension).__name__ for extension in client.protocol.extensions]
            assert negotiated == (["PerMessageDeflate"] if compression else [])
            messages: list[str | bytes] = ["grüße", b"\x00\xff" * 40_000, "", b""]
            for message in messages:
                client.send(message)
                assert client.recv(WAIT_S) == message

    def test_echoes_fragment_by_fragment(self, path: str) -> None:
        with connect(path) as client:
            fragments = ["one ", "two ", "three"]
            client.send(fragments)
            assert list(client.recv_streaming())[:3] == fragments

    def test_the_clock_ticks(self, path: str) -> None:
        with connect(path, "/clock") as client:
            client.send("what a clock does not answer")
            ticks = [client.recv(WAIT_S), client.recv(WAIT_S)]
            assert all(re.fullmatch(r"\d\d:\d\d:\d\d", str(tick)) for tick in ticks)

    def test_a_close_is_answered(self, path: str) -> None:
        with connect(path) as client:
            client.close(4001, "enough")
            assert client.protocol.close_rcvd is not None
            assert client.protocol.close_rcvd.code == 4001

    def test_a_plain_request_is_told_to_upgrade(self, client: httpx.Client) -> None:
        answer = client.get("/ws")
        assert answer.status_code == 426
        assert answer.headers["upgrade"] == "websocket"

    def test_no_websocket_elsewhere(self, path: str) -> None:
        with pytest.raises(InvalidStatus) as refused:
            connect(path, "/elsewhere")
        assert refused.value.response.status_code == 404


class TestStop:
    def test_a_stop_closes_websockets_with_1001_and_answers_what_is_under_way(
        self, demo: RunningDemo, path: str
    ) -> None:
        with connect(path) as client, raw(path) as slow, raw(path) as idle:
            slow.sendall(b"GET /slow?seconds=200 HTTP/1.1\r\nHost: a\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            client.send("both connections are being served once this is back")
            client.recv(WAIT_S)
            demo.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosedOK) as closed:
                client.recv(WAIT_S)
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1001
            answer = read_all(slow)
            assert answer.count(b"HTTP/1.1 200 ") == 1
            assert b"Connection: close\r\n" in answer
            assert read_all(idle) == b""
        demo.process.communicate(timeout=WAIT_S)
        assert demo.process.returncode == 0
        assert not Path(path).exists()

    def test_listens_on_a_port_of_the_systems_choice_and_stops_at_ctrl_c(self) -> None:
        running = RunningDemo("127.0.0.1:0", "green")
        where = running.first_line.removeprefix("green listens on ").strip()
        assert json.loads(httpx.get(f"http://{where}/healthCheck").text) == {"status": 200}
        running.stop(signal.SIGINT)

    @pytest.mark.parametrize("where", ["nowhere", "unix:/no/such/directory/a.sock"])
    def test_an_address_that_cannot_be_listened_on_is_one_line(self, where: str) -> None:
        running = RunningDemo(where, "grey")
        running.process.communicate(timeout=WAIT_S)
        assert running.process.returncode == 1
        assert running.first_line.startswith(f"cannot listen on {where}: ")
