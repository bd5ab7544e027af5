"""Servers from Kubernetes: the EndpointSlices of a service, listed once and then watched.

Knows the API's protocol: a watch goes on where the one before it ended, after a broken connection too, as long as the
server remembers that point; after 410 Gone all is listed anew. While the API is away, what it said last stays.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio

from wsproxy.discovery import kubernetes_api as api
from wsproxy.discovery.endpoint_slices import FAMILIES, endpoints, families, has_port, ports
from wsproxy.discovery.kubernetes_api import ACCOUNT, ApiError, Event, GoneError
from wsproxy.discovery.lingering import LingerState

if TYPE_CHECKING:
    import httpx

    from wsproxy.config.discovery_settings import DiscoverySettings
    from wsproxy.discovery.endpoint_slices import Slice
    from wsproxy.discovery.found import FoundSink

PAGE: Final = 500
"""Slices of one answer to a list; each holds up to a hundred endpoints, unless the cluster says otherwise."""
MOST_SLICES: Final = 2000
"""Of one service: twice as many as there may be servers."""
WATCH_S: Final = 120
"""What a watch may last: the next one goes on where it ended, so this costs one request. An API server that hangs, its
connection open, is noticed that late; and load balancers in between cut connections that are silent for longer."""
SILENCE_S: Final = 20.0
"""Beyond that: a watch that is neither ended nor spoken to is dead."""
SHORTEST_WATCH_S: Final = 1.0
"""One that ends in order within less is not worth being asked for again at once."""
FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 30.0


async def watch_service(settings: DiscoverySettings, sink: FoundSink, account: Path = ACCOUNT) -> None:
    """Tell `sink` which endpoints a service has, now and at each change, until cancelled."""
    watch = ServiceWatch(settings, sink)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch.let_go)
        retry_s, least_s = FIRST_RETRY_S, 0.0
        while True:
            watch.since = anyio.current_time()
            try:
                async with api.client(settings.api, account, WATCH_S + SILENCE_S) as client:
                    await watch.run(client)
                least_s = 0.0
            except GoneError:
                watch.version, least_s = "", 0.0
            except ApiError as error:
                least_s = error.retry_s
                if not error.keeps_place:
                    watch.version = ""
                sink.not_found(str(error))
            except api.TROUBLE as error:
                least_s = 0.0
                sink.not_found(str(error) or type(error).__name__)
            if anyio.current_time() - watch.since > 2 * retry_s:
                retry_s = FIRST_RETRY_S
            # Not all at once: an API server that comes back has many who wait for it.
            await anyio.sleep(max(least_s, retry_s * random.uniform(0.5, 1.0)))
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)


class ServiceWatch:
    """What is known of one service: its slices by name.

    version: the point from which a watch goes on; "" when all has to be listed. since: when the last one began.
    """

    def __init__(self, settings: DiscoverySettings, sink: FoundSink) -> None:
        target = settings.target
        self.version = ""
        self.since = 0.0
        self._settings = settings
        self._sink = sink
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{target.namespace}/endpointslices"
        self._selected = {"labelSelector": f"kubernetes.io/service-name={target.name}"}
        self._slices: dict[str, Slice] = {}
        self._family = FAMILIES[0]
        self._lingering = LingerState()
        self._telling = anyio.Lock()
        self._changed = anyio.Event()

    async def run(self, client: httpx.AsyncClient) -> None:
        """List if that is needed, and follow; until a watch ends too soon. Raises GoneError, ApiError, TROUBLE."""
        if not self.version:
            await self._list(client)
        asked = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_S)}
        while True:
            self.since = anyio.current_time()
            await api.watch(client, self._path, {**self._selected, **asked, "resourceVersion": self.version}, self)
            if anyio.current_time() - self.since < SHORTEST_WATCH_S:
                return

    async def _list(self, client: httpx.AsyncClient) -> None:
        """Take all slices as they are at one point."""
        slices: dict[str, Slice] = {}
        more = ""
        while True:
            asked = {"limit": str(PAGE), **({"continue": more} if more else {})}
            content = await api.page(client, self._path, self._selected | asked)
            items, metadata = content.get("items"), _metadata(content)
            for each in items if isinstance(items, list) else ():
                _put(slices, each)
            more = str(metadata.get("continue") or "")
            if not more:
                break
        self.version = _version(content)
        if not self.version:
            raise ApiError("the API's list has no resourceVersion")
        self._slices = slices
        await self._tell()

    async def begun(self) -> None:
        """A watch has begun: what is known is as good as it was."""
        await self._tell()

    async def take(self, event: Event) -> None:
        """Something has changed, or for a long time nothing."""
        self.version = _version(event.content) or self.version
        if event.kind == "DELETED":
            self._slices.pop(_name(event.content), None)
        elif event.kind in ("ADDED", "MODIFIED"):
            _put(self._slices, event.content)
        await self._tell()

    async def let_go(self) -> None:
        """Tell, when their time is over, that those who lingered are gone; until cancelled."""
        tried = 0.0
        while True:
            due = self._lingering.due
            if due is None or due <= tried:  # nobody lingers, or what is known could not be told
                await self._changed.wait()
            else:
                await anyio.sleep_until(due)
                tried = due
                await self._tell()

    async def _tell(self) -> None:
        target = self._settings.target
        slices = self._slices.values()
        async with self._telling:
            if families(slices) and not has_port(slices, target.port):
                known = ", ".join(ports(slices)) or "none"
                self._sink.not_found(f"the service has no port '{target.port}' (there are: {known})")
                return
            there = families(slices)
            if there and self._family not in there:  # it stays the same while there is one: another is another server
                (self._family,) = there
            found = endpoints(slices, target.port, self._settings.zone, self._family)
            await self._sink.found(self._lingering.take(found, anyio.current_time()))
            self._changed.set()
            self._changed = anyio.Event()


def _put(slices: dict[str, Slice], content: object) -> None:
    """Keep of a slice what is looked at; the latest is the last. Raises ApiError."""
    if not isinstance(content, dict):
        raise ApiError("the API's answer is not what it should be")
    name = _name(content)
    slices.pop(name, None)
    if len(slices) >= MOST_SLICES:
        raise ApiError(f"the service has more than {MOST_SLICES} endpoint slices")
    slices[name] = {key: content.get(key) for key in ("addressType", "ports", "endpoints")}


def _metadata(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("metadata")
    return found if isinstance(found, dict) else {}


def _name(content: Mapping[str, Any]) -> str:
    return str(_metadata(content).get("name"))


def _version(content: Mapping[str, Any]) -> str:
    return str(_metadata(content).get("resourceVersion") or "")
