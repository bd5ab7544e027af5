"""The live figures: one snapshot a second, made once and sent to every page that watches.

Knows snapshots and channels. A page gets counters and works out the rates itself, so that a lost message or a new
connection costs it nothing. Nothing is made while nobody watches.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Any, Final

import anyio

from wsproxy.admin.api import backend_of, discovery_of, servers_of, tcp_of
from wsproxy.admin.control import Control
from wsproxy.admin.messages import Channel
from wsproxy.observe.histogram import BOUNDS_S
from wsproxy.observe.snapshot import RouteFigures, Snapshot

EVERY_S: Final = 1.0
"""What a person can follow; a snapshot of 100 backends takes some milliseconds."""


class LiveFigures:
    """Feeds the pages that watch."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._watching = 0
        self._latest = ""
        self._made_at = 0.0

    async def talk(self, channel: Channel) -> None:
        """Send figures until the page has gone."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._feed, channel, tasks.cancel_scope)
            while await channel.receive() is not None:
                pass  # a page has nothing to say; what it sends is read so that its Close is seen
            tasks.cancel_scope.cancel()

    async def _feed(self, channel: Channel, scope: anyio.CancelScope) -> None:
        try:
            while True:
                await channel.send(await self._message())
                await anyio.sleep(EVERY_S)
        except (anyio.BrokenResourceError, TimeoutError):
            scope.cancel()

    async def _message(self) -> str:
        """The latest figures, made anew when they are old: pages that watch at once share them."""
        now = asyncio.get_running_loop().time()
        if now - self._made_at >= EVERY_S / 2 or not self._latest:
            self._made_at = now
            switches = await self._control.switch(None, None)
            content = figures_of(await self._control.snapshot()) if switches.monitoring else {"monitoring": False}
            self._latest = json.dumps(content, separators=(",", ":"))
        return self._latest


def figures_of(snapshot: Snapshot) -> dict[str, Any]:
    """What a page needs for its charts and tables: counters since the start, and the state of now."""
    return {
        "monitoring": True,
        "at": snapshot.at,
        "version": snapshot.version,
        "phase": snapshot.phase,
        "bounds_s": BOUNDS_S,
        "frontends": [
            {"name": each.name, "addresses": each.addresses, "connections": each.connections, "accepted": each.accepted}
            for each in snapshot.frontends
        ],
        "routes": [_route(route) for route in snapshot.routes],
        "backends": [backend_of(backend) for backend in snapshot.backends()],
        "servers": servers_of(snapshot),
        "discovery": discovery_of(snapshot),
        "tcp": tcp_of(snapshot),
        "cache": None if snapshot.cache is None else asdict(snapshot.cache),
        "trouble": snapshot.trouble,
        "waiting": sum(group.waiting for group in snapshot.groups),
        "processes": [
            {
                "pid": each.pid,
                "started_at": each.started_at,
                "cpu_s": each.cpu_s,
                "memory_bytes": each.memory_bytes,
                "descriptors": each.descriptors,
                "lag_s": each.lag_s,
            }
            for each in snapshot.processes
        ],
    }


def _route(route: RouteFigures) -> dict[str, Any]:
    """Requests by class of status and by duration, for each backend."""
    answered: dict[str, dict[str, list[int]]] = {}
    for each in route.answered:
        sums = answered.setdefault(each.backend, {"classes": [0] * 6, "durations": [0] * len(each.total.counts)})
        sums["classes"][min(each.code // 100, 5)] += each.total.count
        sums["durations"] = [sum(pair) for pair in zip(sums["durations"], each.total.counts, strict=True)]
    content: dict[str, Any] = {
        "name": route.name,
        "kind": route.kind,
        "group": route.group,
        "retries": route.retries,
        "answered": answered,
        "websockets": None,
        "rate_limit": None if route.rate_limit is None else asdict(route.rate_limit),
    }
    if (websockets := route.websockets) is not None:
        content["websockets"] = {
            "open": websockets.open,
            "opened": websockets.handshakes.get("opened", 0),
            "ended": websockets.ended,
            "client_messages": websockets.client.messages,
            "client_bytes": websockets.client.data_bytes,
            "upstream_messages": websockets.upstream.messages,
            "upstream_bytes": websockets.upstream.data_bytes,
        }
    return content
