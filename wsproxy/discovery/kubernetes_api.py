"""One Kubernetes API server, as one asks it: pages of a list, the events of a watch, and in which words it refuses.

Knows HTTP and the account that the cluster gives to a pod; not what is in the answers. The token is read again for each
request, since the kubelet replaces it every hour; the authorities whenever a client is made.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import httpx

from wsproxy.net.keepalive import ASKED_WHEN_SILENT

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the cluster's authorities."""

CONNECT_S: Final = 10.0
ANSWER_S: Final = 30.0
"""To the head of an answer, and for a page of a list: a server with much to do has requests wait for their turn."""
PAGE_BYTES: Final = 32 * 1024 * 1024
"""Of one answer; 500 slices of a hundred endpoints take 25 MiB."""
LINE_BYTES: Final = 4 * 1024 * 1024
"""Of one event; a slice of a thousand endpoints, the most there can be, takes 500 KiB."""
LONGEST_RETRY_AFTER_S: Final = 300.0
_WORDS: Final = 300
"""Characters of what the API says that are worth a line of the log."""

TROUBLE: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError, UnicodeError)
"""What comes of a connection, a token or an authority that is not as it should be."""


class ApiError(Exception):
    """The API did not answer as it should; str() says how.

    retry_s: for how long it asks to be left alone. keeps_place: the point to go on from is still good.
    """

    def __init__(self, words: str, retry_s: float = 0.0, keeps_place: bool = False) -> None:
        super().__init__(words)
        self.retry_s = retry_s
        self.keeps_place = keeps_place


class GoneError(Exception):
    """The point to go on from is forgotten: list anew."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch. kind: ADDED, MODIFIED, DELETED or BOOKMARK."""

    kind: str
    content: Mapping[str, Any]


class AccountToken(httpx.Auth):
    """The service account's token as it is at each request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Say who we are, where there is a token. Raises OSError, UnicodeError."""
        if self._path.exists():
            request.headers["Authorization"] = f"Bearer {self._path.read_text('ascii').strip()}"
        yield request


def client(api: str | None, account: Path, silence_s: float) -> httpx.AsyncClient:
    """A client of the cluster's API or another that trusts whom the cluster trusts now.

    silence_s: how long a watch may say nothing. Raises OSError, SSLError, ApiError.
    """
    authorities = account / "ca.crt"
    context = ssl.create_default_context(cafile=str(authorities) if authorities.exists() else None)
    return httpx.AsyncClient(
        base_url=api or _cluster_api(),
        auth=AccountToken(account / "token"),
        transport=httpx.AsyncHTTPTransport(verify=context, socket_options=ASKED_WHEN_SILENT, trust_env=False),
        timeout=httpx.Timeout(CONNECT_S, read=silence_s),
        trust_env=False,
    )


def _cluster_api() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ApiError("not in a cluster (KUBERNETES_SERVICE_HOST is not set; write discover_api = https://…)")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def page(client: httpx.AsyncClient, path: str, asked: Mapping[str, str]) -> Mapping[str, Any]:
    """One page of a list. Raises GoneError, ApiError and TROUBLE."""
    async with _answer(client, path, asked) as answer:
        content = _object(await _body(answer))
    if content is None:
        raise ApiError("the API's answer is no list")
    return content


class Follower(Protocol):
    """Who is told what a watch says."""

    async def begun(self) -> None: ...

    async def take(self, event: Event) -> None: ...


async def watch(client: httpx.AsyncClient, path: str, asked: Mapping[str, str], follower: Follower) -> None:
    """Tell `follower` of each event until the server ends the watch. Raises as `page` does."""
    async with _answer(client, path, asked) as answer, aclosing(_lines(answer)) as lines:
        await follower.begun()
        async for line in lines:
            await follower.take(_event(line))


@asynccontextmanager
async def _answer(client: httpx.AsyncClient, path: str, asked: Mapping[str, str]) -> AsyncIterator[httpx.Response]:
    """An answer that is a 200, its body unread."""
    try:
        with anyio.fail_after(ANSWER_S):
            answer = await client.send(client.build_request("GET", path, params=dict(asked)), stream=True)
    except TimeoutError:
        raise _too_late() from None
    try:
        if answer.status_code != httpx.codes.OK:
            raise _refusal(answer, _object(await _body(answer), is_certain=False) or {})
        yield answer
    finally:
        await answer.aclose()


async def _body(answer: httpx.Response) -> bytes:
    whole = bytearray()
    try:
        with anyio.fail_after(ANSWER_S):
            async for data in answer.aiter_bytes():
                whole += data
                if len(whole) > PAGE_BYTES:
                    raise ApiError(f"the API's answer is larger than {PAGE_BYTES} bytes")
    except TimeoutError:
        raise _too_late() from None
    return bytes(whole)


async def _lines(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The events of a watch, one on each line. Raises ApiError for one that is too long."""
    held = bytearray()
    async for data in answer.aiter_bytes():
        *lines, rest = data.split(b"\n")
        for line in lines:
            held += line
            if held.strip():
                yield bytes(held)
            held.clear()
        held += rest
        if len(held) > LINE_BYTES:
            raise ApiError("a watch said more at once than anything can be")


def _event(line: bytes) -> Event:
    """Raises GoneError or ApiError for an ERROR, by which the server ends a watch."""
    said = _object(line, is_certain=False) or {}
    kind, content = said.get("type"), said.get("object")
    if not isinstance(kind, str) or not isinstance(content, dict):
        raise ApiError("a watch said what is no event")
    if kind != "ERROR":
        return Event(kind, content)
    if content.get("code") == httpx.codes.GONE:
        raise GoneError
    raise ApiError(f"a watch ended: {_message(content) or 'no reason'}", _retry_after_s(content))


def _refusal(answer: httpx.Response, said: Mapping[str, Any]) -> Exception:
    """What an answer means that is no 200. said: the Status in it, if there is one."""
    code, words = answer.status_code, _message(said)
    if code == httpx.codes.GONE:
        return GoneError()
    if code == httpx.codes.UNAUTHORIZED:
        return ApiError("401: the API does not take the service account's token")
    if code == httpx.codes.FORBIDDEN:
        remedy = "a Role has to let the service account list and watch endpointslices (discovery.k8s.io) there"
        return ApiError(f"403: {words or 'forbidden'}: {remedy}")
    if code == httpx.codes.NOT_FOUND:
        return ApiError("404: this API has no endpointslices (discovery.k8s.io/v1)")
    asked_s = answer.headers.get("Retry-After", "")
    retry_s = min(float(asked_s), LONGEST_RETRY_AFTER_S) if asked_s.isdecimal() else _retry_after_s(said)
    is_passing = code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE)
    return ApiError(f"the API answered {code}{': ' if words else ''}{words}", retry_s, keeps_place=is_passing)


def _message(status: Mapping[str, Any]) -> str:
    said = status.get("message") or status.get("reason") or ""
    return " ".join(str(said).split())[:_WORDS]


def _retry_after_s(status: Mapping[str, Any]) -> float:
    details = status.get("details")
    asked_s = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return min(float(asked_s), LONGEST_RETRY_AFTER_S) if isinstance(asked_s, int) and asked_s > 0 else 0.0


def _object(data: bytes, is_certain: bool = True) -> dict[str, Any] | None:
    """A JSON object; None for other JSON, and where that is not certain for what is no JSON. Raises ApiError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        if is_certain:
            raise ApiError("the API's answer is not JSON") from None
        return None
    return content if isinstance(content, dict) else None


def _too_late() -> ApiError:
    return ApiError(f"the API did not answer within {ANSWER_S:g} seconds", keeps_place=True)
