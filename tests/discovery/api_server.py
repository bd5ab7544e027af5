"""A stand-in for the API server of Kubernetes, for EndpointSlices, that keeps the rules of "API concepts".

One resource version counts every change. A list is consistent over its pages: a token of the version and the last key
leads to the next one. A watch gets what has happened since a version: 410 comes as an event in it, as the watch cache
opens the stream first. What is compacted is forgotten by lists and watches alike. Bookmarks have only a version.
Checked against clients that others have written, in `test_api_server`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Object = dict[str, Any]
Fault = Callable[[web.Request], web.Response | None]

GROUP = "discovery.k8s.io/v1"
SERVICE = "kubernetes.io/service-name"


@dataclass(frozen=True)
class Change:
    """One write. before: None for what was made; after: None for what was deleted."""

    version: int
    before: Object | None
    after: Object | None


@dataclass
class ApiServer:
    """What is stored, who may ask, and what goes wrong.

    asked: the query of each request. tokens: those that are taken; None for anybody. faults: answers that are given
    before all others, one to a request; None for the real one. is_silent: watches that begin say nothing and never end.
    page: the most that one page of a list holds. bookmark_s: the time between two of them.
    """

    namespace: str = "shop"
    tokens: set[str] | None = None
    allowed: set[str] = field(default_factory=lambda: {"list", "watch"})
    page: int = 500
    bookmark_s: float = 60.0
    version: int = 100
    oldest: int = 100
    is_silent: bool = False
    faults: list[Fault | None] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    url: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._changes: list[Change] = []
        self._changed = asyncio.Event()
        self._watches: set[web.StreamResponse] = set()
        self._runner: web.AppRunner | None = None

    # What is stored.

    def put(self, name: str, content: Object, service: str = "web") -> None:
        """Create or update a slice."""
        self.version += 1
        labels = {SERVICE: service}
        metadata = {"name": name, "namespace": self.namespace, "labels": labels, "resourceVersion": str(self.version)}
        self._write(name, {"metadata": metadata, **content})

    def delete(self, name: str) -> None:
        """Delete a slice: the last state is told, with the version of the deletion."""
        self.version += 1
        self._write(name, None)

    def _write(self, name: str, after: Object | None) -> None:
        before = self._objects.pop(name, None)
        if after is not None:
            self._objects[name] = after
        self._changes.append(Change(self.version, before, after))
        self._tell()

    def compact(self) -> None:
        """Forget how it came to what is there now."""
        self.oldest = self.version
        self._changes.clear()

    def elsewhere(self, writes: int = 1) -> None:
        """Others write other things: the version grows."""
        self.version += writes
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _at(self, version: int) -> dict[str, Object]:
        """All as it was at a version."""
        objects = dict(self._objects)
        for change in reversed(self._changes):
            if change.version <= version:
                break
            objects.pop(_name(change.after or change.before or {}), None)
            if change.before is not None:
                objects[_name(change.before)] = change.before
        return objects

    # What is asked.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(dict(request.query))
        self.given.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and (answer := fault(request)) is not None:
            return answer
        watches = request.query.get("watch", "") in ("1", "true")
        verb = "watch" if watches else "list"
        if self.tokens is not None and self.given[-1] not in self.tokens:
            return refusal(401, "Unauthorized", "Unauthorized")
        if verb not in self.allowed:
            account = "system:serviceaccount:shop:wsproxy"
            what = 'resource "endpointslices" in API group "discovery.k8s.io"'
            words = f'User "{account}" cannot {verb} {what} in the namespace "{self.namespace}"'
            return refusal(403, "Forbidden", f"endpointslices.discovery.k8s.io is forbidden: {words}")
        if request.match_info["namespace"] != self.namespace:
            return web.json_response(self._list_of([], str(self.version)))
        return await self._watch(request) if watches else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        selected, version, after = _selector(request), self.version, ""
        if token := request.query.get("continue"):
            place = json.loads(base64.urlsafe_b64decode(token))
            version, after = place["rv"], place["start"]
            if version < self.oldest:
                words = "The provided continue parameter is too old to display a consistent list result."
                return refusal(410, "Expired", words)
        names = sorted(name for name, each in self._at(version).items() if selected(each) and name > after)
        shown = names[: min(self.page, int(request.query.get("limit") or self.page))]
        items = [self._at(version)[name] for name in shown]
        content = self._list_of(items, str(version))
        if len(shown) < len(names):
            place = {"v": "meta.k8s.io/v1", "rv": version, "start": shown[-1]}
            content["metadata"]["continue"] = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
        return web.json_response(content)

    def _list_of(self, items: list[Object], version: str) -> Object:
        """As the API has it, items say not of which kind they are."""
        return {
            "kind": "EndpointSliceList",
            "apiVersion": GROUP,
            "metadata": {"resourceVersion": version},
            "items": items,
        }

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        selected = _selector(request)
        asked = request.query.get("resourceVersion", "")
        since = int(asked or 0)
        if since > self.version:
            words = f"Too large resource version: {since}, current: {self.version}"
            return refusal(504, "Timeout", words, {"retryAfterSeconds": 1})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self._watches.add(response)
        try:
            if 0 < since < self.oldest:
                words = f"too old resource version: {since} ({self.oldest})"
                status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
                await response.write(line("ERROR", status | {"message": words, "reason": "Expired", "code": 410}))
                return response
            if not since:
                for each in list(self._objects.values()):
                    if selected(each):
                        await response.write(line("ADDED", _with_kind(each)))
                since = self.version
            await self._follow(response, selected, since, request)
        except ConnectionError:
            pass
        finally:
            self._watches.discard(response)
        return response

    async def _follow(
        self, response: web.StreamResponse, selected: Callable[[Object], bool], since: int, request: web.Request
    ) -> None:
        if self.is_silent:
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        end = loop.time() + float(request.query.get("timeoutSeconds") or 1800)
        bookmark = min(loop.time() + self.bookmark_s, end)
        while loop.time() < end:
            changed = self._changed
            for change in [each for each in self._changes if each.version > since]:
                for kind, content in _events(change, selected):
                    await response.write(line(kind, _with_kind(content)))
                since = change.version
            try:
                async with asyncio.timeout_at(bookmark):
                    await changed.wait()
            except TimeoutError:
                bookmark = min(loop.time() + self.bookmark_s, end) if bookmark < end else end + 1
                since = max(since, self.version)
                if request.query.get("allowWatchBookmarks") in ("1", "true"):
                    await response.write(line("BOOKMARK", _bookmark(self.version)))

    # What goes wrong.

    def cut(self, half: bytes = b"") -> None:
        """End all watches without an end, within an event if `half` of one is given."""
        for response in list(self._watches):
            request = response._req
            if request is not None and request.transport is not None:
                if half:
                    request.transport.write(b"%x\r\n%b" % (len(half) + 100, half))
                request.transport.abort()

    async def start(self, context: ssl.SSLContext | None = None) -> None:
        """Listen, where it did before if it did."""
        application = web.Application()
        path = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        application.router.add_get(path, self._answer)
        for place in _ABOUT:
            application.router.add_get(place, _tell_about)
        self._runner = web.AppRunner(application, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Be away: connections are cut, and new ones refused."""
        self.cut()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


@asynccontextmanager
async def serving(api: ApiServer, context: ssl.SSLContext | None = None) -> AsyncIterator[ApiServer]:
    """The stand-in on a port of its own."""
    await api.start(context)
    try:
        yield api
    finally:
        await api.stop()


def refusal(code: int, reason: str, message: str, details: Object | None = None, **fields: str) -> web.Response:
    """An answer that is no 200, with its Status. fields: of the head."""
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    status |= {"message": message, "reason": reason, "code": code} | ({"details": details} if details else {})
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return web.json_response(status, status=code, headers=headers)


def line(kind: str, content: Object) -> bytes:
    """One event of a watch."""
    return json.dumps({"type": kind, "object": content}, separators=(",", ":")).encode() + b"\n"


def _events(change: Change, selected: Callable[[Object], bool]) -> Iterator[tuple[str, Object]]:
    """How a change looks to who watches a part: what leaves it is deleted, what comes into it is added."""
    was = change.before is not None and selected(change.before)
    is_there = change.after is not None and selected(change.after)
    if is_there and change.after is not None:
        yield "MODIFIED" if was else "ADDED", change.after
    elif was and change.before is not None:
        metadata = change.before["metadata"] | {"resourceVersion": str(change.version)}
        yield "DELETED", change.before | {"metadata": metadata}


def _selector(request: web.Request) -> Callable[[Object], bool]:
    wanted = dict(each.split("=", 1) for each in request.query.get("labelSelector", "").split(",") if each)
    return lambda content: wanted.items() <= content["metadata"]["labels"].items()


def _with_kind(content: Object) -> Object:
    return {"kind": "EndpointSlice", "apiVersion": GROUP, **content}


def _bookmark(version: int) -> Object:
    metadata = {"resourceVersion": str(version), "creationTimestamp": None}
    return _with_kind({"metadata": metadata, "addressType": "", "endpoints": None, "ports": None})


def _name(content: Object) -> str:
    return str(content["metadata"]["name"])


_KIND = {"name": "endpointslices", "singularName": "endpointslice", "namespaced": True, "kind": "EndpointSlice"}
_VERSION = {"groupVersion": GROUP, "version": "v1"}
_GROUP = {"name": "discovery.k8s.io", "versions": [_VERSION], "preferredVersion": _VERSION}
_ABOUT: dict[str, Object] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]},
    f"/apis/{GROUP}": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": GROUP,
        "resources": [_KIND | {"verbs": ["get", "list", "watch"]}],
    },
}
"""What a general client asks first: which kinds there are."""


async def _tell_about(request: web.Request) -> web.Response:
    return web.json_response(_ABOUT[request.path])
