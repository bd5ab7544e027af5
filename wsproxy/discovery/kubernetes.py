"""Servers from Kubernetes: the EndpointSlices of a service, listed once and then watched.

Knows the API's protocol: a watch goes on where the one before it ended, as long as the server remembers that point;
after 410 Gone all is listed anew. The token of the service account is read again for each request, since it is replaced
every hour. While the API is away, what it said last stays.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx

from wsproxy.discovery.endpoint_slices import endpoints

if TYPE_CHECKING:
    from wsproxy.config.discovery_settings import DiscoverySettings
    from wsproxy.discovery.endpoint_slices import Slice
    from wsproxy.discovery.found import FoundSink

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and the cluster's authorities."""

PAGE: Final = 500
"""Slices of one answer to a list; each holds up to a hundred endpoints."""
WATCH_S: Final = 290
"""What a watch may last: below the five minutes after which load balancers in between cut silent connections."""
SILENCE_S: Final = 30.0
"""Beyond that: a watch that is neither ended nor spoken to is dead."""
ANSWER_S: Final = 10.0
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0
LINE_BYTES: Final = 4 * 1024 * 1024
"""Of one event; a slice of a hundred endpoints takes 50 KiB."""


class ApiError(Exception):
    """The API did not answer as it should; str() says how."""


class GoneError(Exception):
    """The point to go on from is forgotten: list anew."""


async def watch_service(settings: DiscoverySettings, sink: FoundSink, account: Path = ACCOUNT) -> None:
    """Tell `sink` which endpoints a service has, now and at each change, until cancelled."""
    watch = ServiceWatch(settings, sink, account)
    retry_s = FIRST_RETRY_S
    while True:
        try:
            async with watch.client() as client:
                await watch.list(client)
                retry_s = FIRST_RETRY_S
                while True:
                    await watch.follow(client)
        except GoneError:
            continue
        except (ApiError, httpx.HTTPError, OSError, ssl.SSLError) as error:
            sink.not_found(str(error) or type(error).__name__)
        await anyio.sleep(retry_s)
        retry_s = min(2 * retry_s, LONGEST_RETRY_S)


class AccountToken(httpx.Auth):
    """The service account's token as it is at each request."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Say who we are, where there is a token. Raises OSError."""
        if self._path.exists():
            request.headers["Authorization"] = f"Bearer {self._path.read_text().strip()}"
        yield request


class ServiceWatch:
    """What is known of one service: its slices by name, and the point from which a watch goes on."""

    def __init__(self, settings: DiscoverySettings, sink: FoundSink, account: Path) -> None:
        self._settings = settings
        self._sink = sink
        self._account = account
        self._slices: dict[str, Slice] = {}
        self._version = ""

    def client(self) -> httpx.AsyncClient:
        """A client that trusts whom the cluster trusts now. Raises OSError, SSLError, ApiError."""
        api = self._settings.api or _cluster_api()
        authorities = self._account / "ca.crt"
        context = ssl.create_default_context(cafile=str(authorities) if authorities.exists() else None)
        timeout = httpx.Timeout(ANSWER_S, read=WATCH_S + SILENCE_S)
        account = AccountToken(self._account / "token")
        return httpx.AsyncClient(base_url=api, auth=account, verify=context, timeout=timeout, trust_env=False)

    async def list(self, client: httpx.AsyncClient) -> None:
        """Take all slices as they are. Raises ApiError, HTTPError."""
        slices: dict[str, Slice] = {}
        more = ""
        while True:
            asked = {"limit": str(PAGE), **({"continue": more} if more else {})}
            answer = await client.get(self._path, params=self._selected | asked, timeout=ANSWER_S)
            content = _content(answer)
            slices |= {_name(each): each for each in content.get("items") or ()}
            metadata = content.get("metadata") or {}
            self._version = metadata.get("resourceVersion") or ""
            more = metadata.get("continue") or ""
            if not more:
                break
        self._slices = slices
        await self._tell()

    async def follow(self, client: httpx.AsyncClient) -> None:
        """Take changes until the server ends the watch, as it does at times. Raises GoneError and the above."""
        asked = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        parameters = self._selected | asked | {"resourceVersion": self._version}
        async with client.stream("GET", self._path, params=parameters) as answer:
            if answer.status_code != httpx.codes.OK:
                await answer.aread()
                _content(answer)
            async for line in _lines(answer):
                await self._take(line)

    async def _take(self, line: bytes) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
            kind, content = event["type"], event["object"]
        except (ValueError, KeyError, TypeError):
            raise ApiError("a watch said what is no event") from None
        if kind == "ERROR":
            if content.get("code") == httpx.codes.GONE:
                raise GoneError
            raise ApiError(f"a watch ended: {content.get('message') or content.get('reason') or 'no reason'}")
        self._version = (content.get("metadata") or {}).get("resourceVersion") or self._version
        if kind == "BOOKMARK":
            return
        if kind == "DELETED":
            self._slices.pop(_name(content), None)
        else:
            self._slices[_name(content)] = content
        await self._tell()

    async def _tell(self) -> None:
        target = self._settings.target
        try:
            servers = endpoints(self._slices.values(), target.port, self._settings.zone)
        except (AttributeError, TypeError, ValueError, KeyError):
            raise ApiError("the API's answer is not what it should be") from None
        await self._sink.found(servers)

    @property
    def _path(self) -> str:
        return f"/apis/discovery.k8s.io/v1/namespaces/{self._settings.target.namespace}/endpointslices"

    @property
    def _selected(self) -> dict[str, str]:
        return {"labelSelector": f"kubernetes.io/service-name={self._settings.target.name}"}


def _cluster_api() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ApiError("not in a cluster (KUBERNETES_SERVICE_HOST is not set; write discover_api = https://…)")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _content(answer: httpx.Response) -> dict[str, Any]:
    """The JSON of a 200. Raises GoneError, ApiError."""
    if answer.status_code == httpx.codes.GONE:
        raise GoneError
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise ApiError(f"{answer.status_code}: the service account may not list and watch endpointslices")
    if answer.status_code != httpx.codes.OK:
        raise ApiError(f"the API answered {answer.status_code}")
    try:
        content = answer.json()
    except ValueError:
        raise ApiError("the API's answer is not JSON") from None
    if not isinstance(content, dict):
        raise ApiError("the API's answer is no list")
    return content


def _name(content: Slice) -> str:
    return str((content.get("metadata") or {}).get("name"))


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The events of a watch, one on each line. Raises ApiError for one that is too long."""
    held = b""
    async for data in answer.aiter_bytes():
        *lines, held = (held + data).split(b"\n")
        if len(held) > LINE_BYTES:
            raise ApiError("a watch said more at once than anything can be")
        for line in lines:
            if line.strip():
                yield line
