"""What each endpoint does: asks the `Control`, and says in JSON what became of it.

Knows the control and the endpoint table; who may ask has been decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Final

import anyio

from wsproxy.admin.bodies import check_body, read_query
from wsproxy.admin.control import Control, ControlError, Selection
from wsproxy.admin.endpoints import Endpoint
from wsproxy.admin.messages import Answer, RefusalError, Request
from wsproxy.admin.openapi import document
from wsproxy.config.values import DURATION
from wsproxy.observe.metrics import render
from wsproxy.observe.snapshot import BackendFigures, Snapshot, TcpFigures
from wsproxy.ws.control import POLICY

USUAL_LIMIT: Final = 1000
"""Sessions listed unless asked otherwise: what a page can show."""

USUAL_TAP: Final = "30s"
"""For how long a tap notes frames unless asked otherwise: for a look at what is going on now."""

NOTE: Final = (
    "kept across reloads and upgrades until the file changes this group; not written to the file, so a restart "
    "forgets it"
)

Arguments = dict[str, Any]


class Api:
    """Answers the endpoints."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._actions: dict[str, Callable[[Arguments], Awaitable[Answer]]] = {
            "status": self._status,
            "backends": self._backends,
            "add_backend": self._add_backend,
            "remove_backend": self._remove_backend,
            "enable_backend": self._enable_backend,
            "disable_backend": self._disable_backend,
            "drain_backend": self._drain_backend,
            "weigh_backend": self._weigh_backend,
            "sessions": self._sessions,
            "close_session": self._close_session,
            "drain_sessions": self._drain_sessions,
            "tap_session": self._tap_session,
            "tapped_session": self._tapped_session,
            "purge_cache": self._purge_cache,
            "switches": self._switch,
            "switch": self._switch,
            "reload": self._reload,
            "config": self._config,
            "healthz": self._healthz,
            "readyz": self._readyz,
            "openapi": self._openapi,
        }

    async def answer(self, endpoint: Endpoint, request: Request) -> Answer:
        """What `endpoint` has to say. Raises RefusalError."""
        arguments: Arguments = (endpoint.named(request.path) or {}) | read_query(request.query, endpoint.query)
        if endpoint.takes is not None:
            content = request.json()
            check_body(content, endpoint.takes)
            arguments |= content
        try:
            if endpoint.action == "metrics":
                return await self._metrics(request)
            return await self._actions[endpoint.action](arguments)
        except ControlError as error:
            raise RefusalError(error.status, str(error)) from None

    # Figures.

    async def _status(self, _: Arguments) -> Answer:
        return Answer.json(status_of(await self._control.snapshot()))

    async def _backends(self, _: Arguments) -> Answer:
        snapshot = await self._control.snapshot()
        return Answer.json({"backends": [backend_of(backend) for backend in snapshot.backends()]})

    async def _sessions(self, given: Arguments) -> Answer:
        limit = given.pop("limit", USUAL_LIMIT)
        sessions = await self._control.sessions(Selection(**given), limit)
        return Answer.json({"sessions": [asdict(session) for session in sessions]})

    async def _metrics(self, request: Request) -> Answer:
        """In a thread: half a megabyte of text takes longer to write than a request should wait."""
        snapshot = await self._control.snapshot()
        accept = request.field(b"accept") or ""
        body, media_type = await anyio.to_thread.run_sync(render, snapshot, accept)
        return Answer(200, body, media_type)

    async def _config(self, _: Arguments) -> Answer:
        return Answer.json(self._control.config())

    async def _healthz(self, _: Arguments) -> Answer:
        return Answer.json({"status": "ok"})

    async def _readyz(self, given: Arguments) -> Answer:
        why_not = await self._control.is_ready(given.get("while_accepting") == "1")
        trouble = await self._control.trouble()
        return Answer.json({"status": why_not or trouble or "ok"}, 503 if why_not else 200)

    async def _openapi(self, _: Arguments) -> Answer:
        return Answer.json(document())

    # Backends.

    async def _add_backend(self, given: Arguments) -> Answer:
        weight = int(given.get("weight", 1))
        return _changed(await self._control.add_backend(given.get("group"), given["url"], weight), 201)

    async def _remove_backend(self, given: Arguments) -> Answer:
        leaving = await self._control.remove_backend(given.get("group"), given["url"])
        snapshot = await self._control.snapshot()
        return Answer.json(
            {
                "removed": leaving.backend.url,
                "left": {"requests": leaving.requests, "websockets": leaving.websockets},
                "backends": [backend_of(backend) for backend in snapshot.backends()],
                "note": NOTE,
            }
        )

    async def _enable_backend(self, given: Arguments) -> Answer:
        return _changed(await self._control.enable_backend(given.get("group"), given["backend"]))

    async def _disable_backend(self, given: Arguments) -> Answer:
        return _changed(await self._control.disable_backend(given.get("group"), given["backend"]))

    async def _drain_backend(self, given: Arguments) -> Answer:
        return _changed(await self._control.drain_backend(given.get("group"), given["backend"]))

    async def _weigh_backend(self, given: Arguments) -> Answer:
        weight = int(given["weight"])
        return _changed(await self._control.set_weight(given.get("group"), given["backend"], weight))

    # WebSockets.

    async def _close_session(self, given: Arguments) -> Answer:
        await self._control.close_session(given["id"], int(given.get("code", POLICY)), given.get("reason", ""))
        return Answer.json({"closed": given["id"]})

    async def _tap_session(self, given: Arguments) -> Answer:
        for_s = DURATION.parse(given.get("for", USUAL_TAP))
        return Answer.json(asdict(await self._control.tap_session(given["id"], for_s)))

    async def _tapped_session(self, given: Arguments) -> Answer:
        return Answer.json(asdict(await self._control.tapped_session(given["id"])))

    async def _drain_sessions(self, given: Arguments) -> Answer:
        return Answer.json({"draining": await self._control.drain_sessions(Selection(**given))})

    # The whole.

    async def _purge_cache(self, given: Arguments) -> Answer:
        return Answer.json({"purged": await self._control.purge_cache(given.get("url"), given.get("tag"))})

    async def _switch(self, given: Arguments) -> Answer:
        return Answer.json(asdict(await self._control.switch(given.get("monitoring"), given.get("scaling"))))

    async def _reload(self, given: Arguments) -> Answer:
        report = await self._control.reload(dry_run=given.get("dry_run") == "1")
        return Answer.json(asdict(report), 409 if report.problems else 200)


def status_of(snapshot: Snapshot) -> dict[str, Any]:
    """The shape that users of the first proxies know, with more beside it."""
    backends = snapshot.backends()
    started_at = min((process.started_at for process in snapshot.processes), default=snapshot.at)
    return {
        "total_backends": len(backends),
        "active_backends": sum(backend.state == "up" for backend in backends),
        "backends": [backend_of(backend) for backend in backends],
        "version": snapshot.version,
        "phase": snapshot.phase,
        "uptime_s": max(snapshot.at - started_at, 0.0),
        "connections": sum(frontend.connections for frontend in snapshot.frontends),
        "websockets": sum(backend.websockets for backend in backends),
        "cache": None if snapshot.cache is None else asdict(snapshot.cache),
        "requests": sum(answered.total.count for route in snapshot.routes for answered in route.answered),
        "servers": servers_of(snapshot),
        "processes": [
            {"pid": each.pid, "uptime_s": max(snapshot.at - each.started_at, 0.0), "memory_bytes": each.memory_bytes}
            for each in snapshot.processes
        ],
        "process_deaths": snapshot.process_deaths,
        "trouble": snapshot.trouble,
        "tcp": tcp_of(snapshot),
        "discovery": discovery_of(snapshot),
        "scaling": {group.name: round(group.load, 1) for group in snapshot.groups if group.load is not None},
    }


def servers_of(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The servers that the proxy has started itself, with what they use."""
    return [{"group": group.name, **asdict(server)} for group in snapshot.groups for server in group.servers]


def discovery_of(snapshot: Snapshot) -> dict[str, Any]:
    """By group, where its servers are found and what came of it."""
    return {group.name: asdict(group.found) for group in snapshot.groups if group.found is not None}


def tcp_of(snapshot: Snapshot) -> list[dict[str, Any]]:
    """The `[tcp:NAME]` listeners, all of their backends together."""
    return [_tcp(section) for section in snapshot.tcp]


def _tcp(section: TcpFigures) -> dict[str, Any]:
    ended: Counter[str] = Counter()
    for (_, result), count in section.ended.items():
        ended[result] += count
    return {
        "name": section.name,
        "group": section.group,
        "open": sum(section.open.values()),
        "ended": dict(ended),
        "client_bytes": sum(section.client_bytes.values()),
        "upstream_bytes": sum(section.upstream_bytes.values()),
    }


def backend_of(backend: BackendFigures) -> dict[str, Any]:
    """One backend; the first three names are those of the first proxies."""
    pool, health = backend.pool, backend.health
    return {
        "url": backend.url,
        "alive": health.up,
        "current_connections": backend.current_connections,
        "group": backend.group,
        "name": backend.name,
        "state": backend.state,
        "weight": backend.weight,
        "websockets": backend.websockets,
        "tcp_connections": backend.tcp_connections,
        "workers": pool.workers,
        "idle_workers": pool.idle,
        "max_workers": pool.max_workers,
        "queue": pool.queue,
        "queue_size": pool.queue_size,
        "requests": pool.exchanges,
        "failures": pool.failed.get("upstream", 0),  # a client that leaves is not the backend's fault
        "probes": {"good": health.good, "bad": health.bad, "flips": health.flips, "reason": health.reason},
        "ejections": backend.ejections,
        "breaker_opened": backend.breaker_opened,
        "unreachable": pool.unreachable,
        "added": backend.added,
    }


def _changed(backend: BackendFigures, status: int = 200) -> Answer:
    return Answer.json({"backend": backend_of(backend), "note": NOTE}, status)
