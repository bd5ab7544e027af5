"""The admin listener's map: which request is for the API, the dashboard's files, a login or the live figures.

Knows the order of the checks: address, page, caller; only what is open to anybody comes before them.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

from wsproxy.admin.api import Api
from wsproxy.admin.auth import Gatekeeper
from wsproxy.admin.control import Control
from wsproxy.admin.endpoints import ENDPOINTS, Access, Endpoint
from wsproxy.admin.live import LiveFigures
from wsproxy.admin.messages import Answer, RefusalError, Request, Upgrade
from wsproxy.config.model import AdminSettings

SECURITY_FIELDS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

_MEDIA_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def _read_assets() -> dict[str, Answer]:
    """The dashboard's files, whole, by the paths that they are asked for at: a few hundred KiB."""
    answers = {}
    for file in files("wsproxy.admin").joinpath("assets").iterdir():
        media_type = _MEDIA_TYPES.get(file.name.rpartition(".")[2])
        if media_type is not None:
            path = "/" if file.name == "index.html" else f"/assets/{file.name}"
            answers[path] = Answer(200, file.read_bytes(), media_type, {"Cache-Control": "no-cache"})
    return answers


class AdminSite:
    """Answers every request to the listener."""

    def __init__(self, settings: AdminSettings, control: Control) -> None:
        self._settings = settings
        self._api = Api(control)
        self._gate = Gatekeeper(settings)
        self._endpoints: dict[str, dict[str, Endpoint]] = {}
        for endpoint in ENDPOINTS:
            self._endpoints.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        self._live = LiveFigures(control)
        self._assets = _read_assets()

    def use(self, settings: AdminSettings) -> None:
        """Take over other rules; where it listens is decided at the start."""
        self._settings = settings
        self._gate.use(settings)

    async def handle(self, request: Request) -> Answer | Upgrade:
        """What the caller gets; every answer carries what keeps browsers strict."""
        try:
            answer = await self._answer(request)
        except RefusalError as error:
            answer = Answer.refusal(error)
        if isinstance(answer, Upgrade):
            return answer
        fields = {"Cache-Control": "no-store", **SECURITY_FIELDS, **answer.fields}
        return Answer(answer.status, answer.body, answer.media_type, fields)

    async def _answer(self, request: Request) -> Answer | Upgrade:
        path = request.path
        endpoint = self._endpoint(request)
        if endpoint is not None and endpoint.access is Access.OPEN:
            return await self._api.answer(endpoint, request)
        if endpoint is not None and endpoint.access is Access.METRICS and self._gate.may_read_metrics(request):
            return await self._api.answer(endpoint, request)
        self._gate.check_peer(request)
        self._gate.check_page(request)
        if self._settings.dashboard:
            if path in self._assets:
                return self._asset(request)
            if path in ("/login", "/logout"):
                return self._log(request)
        self._gate.check_caller(request)
        if path == "/live" and self._settings.monitor:
            return self._watch(request)
        if endpoint is None:
            raise RefusalError(404, "there is nothing here")
        return await self._api.answer(endpoint, request)

    def _endpoint(self, request: Request) -> Endpoint | None:
        """Raises RefusalError(405)."""
        methods = self._endpoints.get(request.path) or self._named_endpoints(request.path)
        if methods is None:
            return None
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            raise RefusalError(405, f"{request.path} has no {request.method[:16]}", {"Allow": _allowed(methods)})
        return methods[method]

    def _named_endpoints(self, path: str) -> dict[str, Endpoint] | None:
        """Those of a path with something of the caller's in it."""
        for methods in self._endpoints.values():
            if next(iter(methods.values())).named(path):
                return methods
        return None

    def _watch(self, request: Request) -> Upgrade:
        if not request.head.upgrade:
            raise RefusalError(426, "this is a WebSocket", {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        return Upgrade(self._live.talk)

    def _asset(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise RefusalError(405, "this is a file", {"Allow": "GET, HEAD"})
        return self._assets[request.path]

    def _log(self, request: Request) -> Answer:
        """Log in with the token (a form, or JSON), or out."""
        if request.method != "POST":
            raise RefusalError(405, f"{request.path} has no {request.method[:16]}", {"Allow": "POST"})
        if request.path == "/logout":
            return Answer.json({"status": "logged out"}, fields={"Set-Cookie": self._gate.log_out(request)})
        cookie = self._gate.log_in(_token_in(request))
        if cookie is None:
            raise RefusalError(401, "this is not the token")
        return Answer.json({"status": "logged in"}, fields={"Set-Cookie": cookie})


def _token_in(request: Request) -> str:
    media_type = (request.field(b"content-type") or "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return parse_qs(request.body.decode("latin-1")).get("token", [""])[0]
    token: Any = request.json().get("token")
    return token if isinstance(token, str) else ""


def _allowed(methods: dict[str, Endpoint]) -> str:
    return ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
