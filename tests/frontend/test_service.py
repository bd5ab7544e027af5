"""What a frontend serves: which route gets a request, who is refused why, and who is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.backend.test_group import InOrder
from tests.fakes import ROUTE, make_head, run
from wsproxy.backend.group import Group
from wsproxy.config.model import FrontendSettings
from wsproxy.frontend.route import Route
from wsproxy.frontend.service import HttpService
from wsproxy.http.messages import MalformedRequestError, RequestHead
from wsproxy.http.redirects import HttpsRequiredError
from wsproxy.net.deadlines import Deadlines

SETTINGS = FrontendSettings("frontend", "127.0.0.1", 1)


def serving(check: Callable[[HttpService], None], settings: FrontendSettings = SETTINGS) -> None:
    """Run a check on a service with a route for reading below /api and one for WebSockets below /live."""

    async def main() -> None:
        deadlines = Deadlines()
        group = Group("http", (), deadlines)
        api = replace(ROUTE, name="api", path_prefix="/api", methods=("GET",))
        live = replace(ROUTE, name="live", kind="websocket", path_prefix="/live")
        service = HttpService(settings, deadlines, None, is_secure=False)
        service.use_routes(Route(each, group, InOrder()) for each in (api, live))
        check(service)

    run(main)


@pytest.mark.parametrize(
    ("head", "status", "message"),
    [
        (make_head(target=b"/other"), 404, "no route for this request"),
        (make_head(b"POST", b"/api"), 405, "no route for this method"),
        (make_head(target=b"/live"), 426, "only WebSockets are served here"),
        (make_head(target=b"/live", upgrade=b"websocket"), 426, "only version 13 of WebSocket is spoken here"),
        (make_head(target=b"/../etc"), 400, ""),
    ],
)
def test_what_has_no_route_is_told_why(head: RequestHead, status: int, message: str) -> None:
    def check(service: HttpService) -> None:
        with pytest.raises(MalformedRequestError) as refusal:
            service.route(head)
        assert refusal.value.status == status
        assert message in str(refusal.value)
        assert (b"Allow: GET, HEAD\r\n" in refusal.value.fields) == (status == 405)

    serving(check)


def test_an_upgrade_that_no_route_wants_is_an_ordinary_request() -> None:
    def check(service: HttpService) -> None:
        head = make_head(target=b"/api/x", upgrade=b"websocket")
        assert service.route(head).settings.name == "api"
        assert head.upgrade == b""

    serving(check)


def test_without_routes_requests_are_redirected_where_there_is_a_port_for_it() -> None:
    def check(service: HttpService) -> None:
        service.use_routes(())
        service.https_port = 8443
        with pytest.raises(HttpsRequiredError):
            service.route(make_head())

    serving(check)


def test_ids_of_requests_are_those_of_no_other_service() -> None:
    found: set[bytes] = set()

    def check(service: HttpService) -> None:
        found.update(service.next_request_id() for _ in range(100))

    serving(check)
    serving(check)
    assert len(found) == 200


def test_other_settings_change_what_is_added_to_answers() -> None:
    def check(service: HttpService) -> None:
        assert (service.via, service.edits, service.answers.fields().startswith(b"Date: ")) == (b"", (), True)
        service.use(replace(SETTINGS, via="here", hsts_s=60))
        assert service.via == b"here"
        assert len(service.edits) == 2
        assert service.answers.fields().startswith(b"Strict-Transport-Security: max-age=60")

    serving(check)


class Someone:
    """A session that keeps what it was told."""

    deadline = 0.0
    buffered_bytes = 0

    def __init__(self) -> None:
        self.told: list[str] = []

    def expire(self) -> None:
        self.told.append("expire")

    def stop(self) -> None:
        self.told.append("stop")

    def abort(self) -> None:
        self.told.append("abort")


def test_who_is_there_has_a_deadline_and_is_stopped_with_the_others() -> None:
    def check(service: HttpService) -> None:
        here, gone = Someone(), Someone()
        for each in (here, gone):
            service.enter(each)
        service.leave(gone)
        service.deadlines.sweep(1.0)
        service.stop_sessions()
        assert (here.told, gone.told) == (["expire", "stop"], [])
        assert service.sessions == {here}

    serving(check)
