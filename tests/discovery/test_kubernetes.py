"""Following a service at a stand-in for the Kubernetes API: lists, watches, 410 Gone, broken connections, refusals."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from aiohttp import web

from tests.discovery.api_server import ApiServer, Fault, line, refusal, serving
from tests.discovery.sink import LIMIT_S, Sink
from tests.discovery.test_endpoint_slices import endpoint, slice_of
from tests.integration.harness import in_loop
from wsproxy.config.discovery_settings import DiscoverySettings, Target
from wsproxy.discovery import kubernetes, kubernetes_api, lingering
from wsproxy.discovery.found import Found
from wsproxy.discovery.kubernetes import watch_service

NO_PLACE = Path("/nowhere")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(lingering, "LINGER_S", 0.1)


def of(*hosts: str) -> dict[str, Any]:
    return slice_of(*(endpoint(host) for host in hosts))


@asynccontextmanager
async def following(api: ApiServer, account: Path = NO_PLACE, port: str = "http") -> AsyncIterator[Sink]:
    sink = Sink()
    async with anyio.create_task_group() as tasks:
        settings = DiscoverySettings(Target("kubernetes", "web", port, "shop"), api=api.url)
        tasks.start_soon(watch_service, settings, sink, account)
        yield sink
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - the server's side of it
            await anyio.sleep(0.005)


def watches(api: ApiServer) -> list[str]:
    """From where each watch went on."""
    return [asked["resourceVersion"] for asked in api.asked if "watch" in asked]


def lists(api: ApiServer) -> int:
    return sum("watch" not in asked for asked in api.asked)


@in_loop
async def test_all_pages_are_listed_and_changes_followed() -> None:
    api = ApiServer(page=1)
    api.put("a", of("10.0.0.1"))
    api.put("b", of("10.0.0.2"))
    api.put("other", of("10.9.9.9"), service="another")
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        assert lists(api) == 2
        api.put("a", of("10.0.0.1", "10.0.0.3"))
        api.delete("b")
        await until(lambda: sink.addresses[-1:] == [["10.0.0.1:8080", "10.0.0.3:8080"]])
    assert sink.addresses[0] == ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert sink.reasons == []


@in_loop
async def test_a_watch_that_ends_goes_on_where_it_was_bookmarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "WATCH_S", 1)
    monkeypatch.setattr(kubernetes, "SHORTEST_WATCH_S", 0.5)
    api = ApiServer()
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        api.elsewhere(50)
        await until(lambda: len(watches(api)) == 2)
        await sink.until(told=4)  # list, begin, bookmark, begin: what is known is known to be good
        api.put("a", of("10.0.0.2"))
        await until(lambda: "10.0.0.2:8080" in sink.addresses[-1])
    assert watches(api) == ["101", "151"]
    assert lists(api) == 1
    assert sink.reasons == []


@pytest.mark.parametrize("half", [b"", line("MODIFIED", of("10.6.6.6"))[:40]])
@in_loop
async def test_a_broken_watch_goes_on_where_it_was(half: bytes) -> None:
    api = ApiServer()
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        api.put("a", of("10.0.0.2"))
        await sink.until(sets=2)
        api.cut(half)
        await until(lambda: len(watches(api)) == 2)
        api.put("a", of("10.0.0.3"))
        await until(lambda: "10.0.0.3:8080" in sink.addresses[-1])
    assert watches(api) == ["101", "102"]
    assert lists(api) == 1
    assert len(sink.reasons) == 1


@in_loop
async def test_an_api_that_was_away_has_lost_nothing() -> None:
    api = ApiServer()
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        await api.stop()
        await sink.until(reasons=3)
        api.put("a", of("10.0.0.2"))
        await api.start()
        await until(lambda: "10.0.0.2:8080" in sink.addresses[-1])
    assert lists(api) == 1


@in_loop
async def test_after_410_gone_in_a_watch_all_is_listed_anew() -> None:
    api = ApiServer()
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        await api.stop()
        api.put("a", of("10.0.0.9"))
        api.compact()
        await api.start()
        await until(lambda: "10.0.0.9:8080" in sink.addresses[-1])
        await until(lambda: watches(api)[-1] == "102")
    assert lists(api) == 2


@in_loop
async def test_after_410_gone_between_two_pages_all_is_listed_anew() -> None:
    api = ApiServer(page=1)
    api.put("a", of("10.0.0.1"))
    api.put("b", of("10.0.0.2"))

    def compacted(request: web.Request) -> None:
        assert "continue" in request.query
        api.put("a", of("10.0.0.3"))
        api.compact()

    api.faults = [None, compacted]
    async with serving(api), following(api) as sink:
        await sink.until(sets=1)
    assert sink.addresses == [["10.0.0.2:8080", "10.0.0.3:8080"]]  # never a page of one state and one of another
    assert sink.reasons == []


@in_loop
async def test_a_server_that_knows_less_than_before_is_listed_anew() -> None:
    """After etcd was restored from a copy versions begin again below: the watch's is too large for ever."""
    api = ApiServer(version=5000, oldest=5000)
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        await api.stop()
        api.version = api.oldest = 200
        api.put("a", of("10.0.0.2"))
        await api.start()
        await until(lambda: watches(api)[-1] == "201")
    assert "10.0.0.2:8080" in sink.addresses[-1]
    assert any("Too large resource version" in reason for reason in sink.reasons)


def said(status: int, body: str) -> Fault:
    return lambda _: web.Response(status=status, text=body)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (said(500, "oops"), "the API answered 500"),
        (lambda _: refusal(500, "InternalError", "etcd is\naway"), "the API answered 500: etcd is away"),
        (said(404, "404 page not found"), "404: this API has no endpointslices (discovery.k8s.io/v1)"),
        (said(200, "nonsense"), "the API's answer is not JSON"),
        (said(200, "[" * 100_000), "the API's answer is not JSON"),
        (said(200, "[]"), "the API's answer is no list"),
        (said(200, "{}"), "the API's list has no resourceVersion"),
        (said(200, '{"items": [7]}'), "the API's answer is not what it should be"),
        (said(200, '{"items": 7, "metadata": [8]}'), "the API's list has no resourceVersion"),
        (said(200, "x" * 5000), "the API's answer is larger than 4000 bytes"),
    ],
)
def test_answers_that_cannot_be_believed(fault: Fault, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "larger" in reason:
        monkeypatch.setattr(kubernetes_api, "PAGE_BYTES", 4000)

    @in_loop
    async def run() -> None:
        api = ApiServer(faults=[fault])
        api.put("a", of("10.0.0.1"))
        async with serving(api), following(api) as sink:
            await sink.until(sets=1, reasons=1)
        assert sink.reasons == [reason]
        assert sink.addresses == [["10.0.0.1:8080"]]

    run()


@pytest.mark.parametrize(
    "said",
    [
        b"null\n",
        b"[]\n",
        b'{"type": "MODIFIED", "object": null}\n',
        b'{"type": "MODIFIED", "object": [1]}\n',
        b'{"type": 7, "object": {}}\n',
        b"no JSON\n",
        b'{"type": "ERROR", "object": {"code": "x", "details": 7}}\n',
        b'{"type": "MODIFIED", "object": {"metadata": 7, "endpoints": {}, "ports": 1}}\n',
        b'{"type": "UNHEARD", "object": {}}\n',
        b"x" * 5000,
    ],
)
def test_events_that_cannot_be_believed_change_nothing(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "LINE_BYTES", 4000)

    @in_loop
    async def run() -> None:
        api = ApiServer()
        api.put("a", of("10.0.0.1"))
        async with serving(api), following(api) as sink:
            await until(lambda: len(api._watches) == 1)
            (watch,) = api._watches
            await watch.write(said)
            api.put("a", of("10.0.0.1", "10.0.0.2"))
            await sink.until(sets=2)
        assert sink.addresses == [["10.0.0.1:8080"], ["10.0.0.1:8080", "10.0.0.2:8080"]]

    run()


@in_loop
async def test_who_may_not_is_told_what_is_missing_and_goes_on_when_it_may(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the token\n")
    api = ApiServer(tokens={"the token"}, allowed={"list"})
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api, tmp_path) as sink:
        await sink.until(reasons=1)
        assert "cannot watch resource" in sink.reasons[0]
        assert "a Role has to let the service account list and watch" in sink.reasons[0]
        api.allowed.add("watch")
        await until(lambda: len(api._watches) == 1)


@in_loop
async def test_a_token_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    api = ApiServer(tokens={"first"})
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api, tmp_path) as sink:
        await until(lambda: len(watches(api)) == 1)
        api.tokens = {"second"}
        api.cut()
        await sink.until(reasons=2)
        assert sink.reasons[1] == "401: the API does not take the service account's token"
        (tmp_path / "token").write_bytes(b"\xff\n")  # half-written, for once
        await sink.until(reasons=len(sink.reasons) + 2)
        (tmp_path / "token").write_text("second\n")
        api.put("a", of("10.0.0.2"))
        await until(lambda: "10.0.0.2:8080" in sink.addresses[-1])
    assert api.given[-1] == "second"


@in_loop
async def test_authorities_that_were_replaced_are_read_anew(tmp_path: Path) -> None:
    def context(authority: trustme.CA) -> ssl.SSLContext:
        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(made)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.crt.new"))
        return made

    api = ApiServer()
    api.put("a", of("10.0.0.1"))
    first = context(trustme.CA())
    (tmp_path / "ca.crt.new").rename(tmp_path / "ca.crt")
    async with serving(api, first), following(api, tmp_path) as sink:
        await until(lambda: len(watches(api)) == 1)
        await api.stop()
        await api.start(context(trustme.CA()))
        await until(lambda: any("certificate" in reason for reason in sink.reasons))
        (tmp_path / "ca.crt.new").rename(tmp_path / "ca.crt")
        api.put("a", of("10.0.0.2"))
        await until(lambda: "10.0.0.2:8080" in sink.addresses[-1])


@pytest.mark.parametrize(
    "answer",
    [
        lambda _: refusal(429, "TooManyRequests", "busy", Retry_After="7"),
        lambda _: refusal(429, "TooManyRequests", "busy", {"retryAfterSeconds": 7}),
        lambda _: refusal(503, "ServiceUnavailable", "busy", Retry_After="99999"),
    ],
)
def test_who_is_asked_to_wait_waits_and_goes_on_where_it_was(answer: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(delay_s: float) -> None:
        pauses.append(delay_s)
        await asyncio.sleep(0.01)

    @in_loop
    async def run() -> None:
        api = ApiServer(faults=[None, answer])
        api.put("a", of("10.0.0.1"))
        async with serving(api), following(api) as sink:
            monkeypatch.setattr("wsproxy.discovery.kubernetes.anyio.sleep", sleep)
            await until(lambda: len(watches(api)) == 2)
        assert lists(api) == 1
        assert "busy" in sink.reasons[0]
        assert {7, 300} & {*pauses}

    run()


@pytest.mark.parametrize("ends", ["in order", "gone"])
def test_a_server_whose_watches_end_at_once_is_not_asked_without_a_pause(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "FIRST_RETRY_S", 0.1)

    def end(request: web.Request) -> web.Response | None:
        if "watch" not in request.query:
            return None
        return web.Response() if ends == "in order" else refusal(410, "Expired", "too old")

    @in_loop
    async def run() -> None:
        api = ApiServer(faults=[end] * 1000)
        api.put("a", of("10.0.0.1"))
        async with serving(api), following(api):
            started = anyio.current_time()
            await until(lambda: len(watches(api)) >= 3)
            seconds = anyio.current_time() - started
        assert len(watches(api)) <= 3 + seconds / 0.05  # thousands a second without a pause

    run()


@in_loop
async def test_a_server_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "WATCH_S", 1)
    monkeypatch.setattr(kubernetes, "SILENCE_S", -0.7)
    api = ApiServer(is_silent=True)
    api.put("a", of("10.0.0.1"))
    async with serving(api), following(api) as sink:
        await sink.until(reasons=1)
        assert sink.addresses == [["10.0.0.1:8080"]]
        api.is_silent = False
        api.put("a", of("10.0.0.2"))
        await until(lambda: "10.0.0.2:8080" in sink.addresses[-1])
    assert lists(api) == 1


@in_loop
async def test_a_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes_api, "ANSWER_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the kernel accepts
        async with following(ApiServer(url=f"http://127.0.0.1:{listening.getsockname()[1]}")) as sink:
            await sink.until(reasons=2)
    assert sink.reasons[0] == "the API did not answer within 0.1 seconds"


@in_loop
async def test_what_moves_from_slice_to_slice_is_never_gone() -> None:
    api = ApiServer()
    api.put("a", of("10.0.0.1", "10.0.0.2"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        api.put("a", of("10.0.0.1"))
        await sink.until(sets=2)
        api.put("b", of("10.0.0.2"))
        await sink.until(sets=3)
        api.delete("a")  # and the service is deleted, and made again
        api.delete("b")
        await sink.until(sets=5)
        api.put("c", of("10.0.0.1", "10.0.0.2"))
        await sink.until(sets=6)
        api.put("c", of("10.0.0.1"))
        await until(lambda: sink.addresses[-1] == ["10.0.0.1:8080"])
    both = ["10.0.0.1:8080", "10.0.0.2:8080"]
    assert sink.addresses[:7] == [both] * 7
    ready = [[server.takes_new for server in servers] for servers in sink.sets[:7]]
    assert ready[:3] == [[True, True], [True, False], [True, True]]
    assert ready[4:] == [[False, False], [True, True], [True, False]]


@in_loop
async def test_a_port_that_is_not_there_is_a_mistake_that_says_which_are() -> None:
    api = ApiServer()
    api.put("a", slice_of(endpoint("10.0.0.1"), ports=[{"name": "web", "port": 80}, {"name": "", "port": 81}]))
    async with serving(api), following(api) as sink:
        await sink.until(reasons=1)
        assert sink.reasons[0] == "the service has no port 'http' (there are: 81, web 80)"
        assert sink.sets == []
        api.put("a", of("10.0.0.1"))
        await sink.until(sets=1)


@in_loop
async def test_a_port_that_goes_while_some_linger_is_told_once() -> None:
    api = ApiServer()
    api.put("a", of("10.0.0.1", "10.0.0.2"))
    async with serving(api), following(api) as sink:
        await until(lambda: len(watches(api)) == 1)
        api.put("a", of("10.0.0.1"))
        await sink.until(sets=2)
        api.put("a", slice_of(endpoint("10.0.0.1"), ports=[{"name": "web", "port": 80}]))
        await sink.until(reasons=2)  # the event, and when the time of the other is over
        await anyio.sleep(0.1)
        assert len(sink.reasons) == 2
        api.put("a", of("10.0.0.1"))
        await until(lambda: sink.addresses[-1] == ["10.0.0.1:8080"])


@in_loop
async def test_a_pod_with_two_addresses_is_one_server_and_stays_it() -> None:
    api = ApiServer()
    api.put("six", slice_of(endpoint("fd00::1", name="web-7f"), kind="IPv6"))
    async with serving(api), following(api) as sink:
        await sink.until(sets=1)
        api.put("four", slice_of(endpoint("10.0.0.1", name="web-7f"), endpoint("10.0.0.2", name="web-8a")))
        await sink.until(sets=2)
        assert sink.addresses[1] == ["10.0.0.2:8080", "[fd00::1]:8080"]
        api.put("six", slice_of(kind="IPv6"))
        await until(lambda: sink.addresses[-1] == ["10.0.0.1:8080", "10.0.0.2:8080"])


@in_loop
async def test_slices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "MOST_SLICES", 3)
    api = ApiServer()
    for number in range(4):
        api.put(f"s{number}", of(f"10.0.0.{number}"))
    async with serving(api), following(api) as sink:
        await sink.until(reasons=1)
        assert sink.reasons[0] == "the service has more than 3 endpoint slices"
        api.delete("s3")
        await sink.until(sets=1)
        assert sink.sets[0] == [Found(f"10.0.0.{number}:8080") for number in range(3)]


@in_loop
async def test_outside_of_a_cluster_it_says_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with following(ApiServer()) as sink:
        await sink.until(reasons=1)
    assert "discover_api" in sink.reasons[0]


@in_loop
async def test_in_a_cluster_it_asks_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def page(client: Any, *_: object) -> dict[str, Any]:
        asked.append(str(client.base_url))
        return json.loads('{"metadata": {"resourceVersion": "1"}}')  # type: ignore[no-any-return]

    monkeypatch.setattr(kubernetes_api, "page", page)
    monkeypatch.setattr(kubernetes_api, "watch", lambda *_: anyio.sleep_forever())
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    for host in ("10.96.0.1", "fd00::1"):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        async with following(ApiServer()) as sink:
            await sink.until(sets=1)
    assert [url.rstrip("/") for url in asked] == ["https://10.96.0.1:6443", "https://[fd00::1]:6443"]
