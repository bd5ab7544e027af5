"""A data plane process: the whole proxy but for what runs once, on listening sockets that the parent opened.

It is forked by the fork server and told everything over its channel to the parent. It lives as long as the other end is
there: a parent that is gone, even by SIGKILL, leaves nobody behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

import wsproxy
from wsproxy.admin.control import Control, ControlError, Selection
from wsproxy.config.errors import ConfigError
from wsproxy.config.share import Share, share_config
from wsproxy.frontend.own_answers import ErrorPageError
from wsproxy.limiting.places import NoRoomError, Place
from wsproxy.limiting.together import CommonCounts
from wsproxy.net.loop import has_uvloop
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.net.tls import TlsError
from wsproxy.net.turns import AcceptTurns
from wsproxy.observe.logs import set_up_logging
from wsproxy.reload import Reload, ReloadError
from wsproxy.supervisor.channel import Body, Channel, RefusedError
from wsproxy.supervisor.dataplane import DataPlane
from wsproxy.supervisor.following import GroupState
from wsproxy.supervisor.kernel import call_this_process, go_on_without_parent
from wsproxy.supervisor.plain import plain, shaped
from wsproxy.supervisor.source import Source

ORPHAN_S: Final = 1.0
"""What requests in flight have when the parent is gone: a new proxy may come up at any moment."""

LAST_WORDS_S: Final = 2.0
"""Beyond that, for the last lines of the logs."""

ENOUGH: Final = 2
"""Words to stop that are kept: what is said thrice means no more."""

_logger = logging.getLogger("wsproxy.process")


class StopOrders:
    """When to stop, as the parent says: a second time means at once."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[None] = asyncio.Queue()

    def stop(self) -> None:
        """It is time to."""
        if self._said.qsize() < ENOUGH:
            self._said.put_nowait(None)

    async def wait(self, reloads: bool = False) -> None:  # noqa: ARG002
        """Return at the next `stop`."""
        await self._said.get()


class DataPlaneProcess:
    """Does what the parent says. turns, counts: the descriptors of memory that it shares."""

    def __init__(self, channel: Channel, turns: int, counts: int, tasks: TaskGroup) -> None:
        self._channel = channel
        self._turns = turns
        self._counts = SharedMemory(counts)
        self._tasks = tasks
        self._orders = StopOrders()
        self._app: DataPlane | None = None
        self._operators: Control | None = None
        self._prepared: tuple[Reload, Share] | None = None
        self._actions: dict[str, Callable[[Body, list[socket.socket]], Awaitable[Body]]] = {
            "start": self._start,
            "prepare": self._prepare,
            "commit": self._commit,
            "abandon": self._abandon,
            "follow": self._follow,
            "stop": self._stop,
            "reopen": self._reopen,
            "figures": self._figures,
            "sessions": self._sessions,
            "close_session": self._close_session,
            "tap_session": self._tap_session,
            "tapped_session": self._tapped_session,
            "drain_sessions": self._drain_sessions,
            "purge_cache": self._purge_cache,
            "take_changes": self._take_changes,
            "forget": self._forget,
        }

    async def run(self) -> None:
        """Answer until the parent is gone, then end soon."""
        await self._channel.answer(self._answer)
        if self._app is None:
            self._tasks.cancel_scope.cancel()
            return
        _logger.warning("the parent is gone: ending")
        self._orders.stop()
        await anyio.sleep(ORPHAN_S)
        self._orders.stop()

    async def _answer(self, kind: str, body: Body, sockets: list[socket.socket]) -> Body:
        try:
            return await self._actions[kind](body, sockets)
        except ControlError as error:
            return {"status": error.status, "error": str(error)}
        except (RefusedError, asyncio.CancelledError):
            raise
        except Exception as error:  # a bug in an answer must not end whom this process serves
            _logger.exception("internal error in '%s'", kind)
            raise RefusedError(f"internal error: {error!r}") from None

    @property
    def app(self) -> DataPlane:
        """What runs, once it does."""
        if self._app is None:
            raise RefusedError("it has not been started")
        return self._app

    @property
    def _control(self) -> Control:
        if self._operators is None:  # one for the whole life: it knows what is tapped
            self._operators = self.app.make_control()
        return self._operators

    # Its life.

    async def _start(self, body: Body, sockets: list[socket.socket]) -> Body:
        """Serve; answered once it does."""
        if body["version"] != wsproxy.__version__:
            raise RefusedError(f"it would run version {wsproxy.__version__}: upgrade the whole proxy (SIGUSR2)")
        share = Share(body["index"], body["count"])
        call_this_process(f"wsproxy-{share.index + 1}")
        try:
            config = shaped(Source, body["source"]).load()
            set_up_logging(config.log.level, config.log.format)
            turn = AcceptTurns(share.count, self._turns).of(share.index)
            secret = bytes.fromhex(body["secret"])
            counts = CommonCounts(self._counts, secret)
            counts.prepare(shaped(tuple[Place, ...], body["places"]))
            counts.commit()
            self._app = DataPlane(config, share, secret, turn, counts)
        except (ConfigError, NoRoomError, TlsError, ErrorPageError, OSError) as error:
            raise RefusedError(str(error)) from None
        self._app.given.give(body["listeners"], sockets)
        self._app.states = shaped(tuple[GroupState, ...], body["states"])
        await self._tasks.start(self._serve, self._app)
        return {"pid": os.getpid()}

    async def _serve(self, app: DataPlane, *, task_status: TaskStatus[list[str]]) -> None:
        app.bind()
        await app.serve(self._orders, task_status)
        self._tasks.cancel_scope.cancel()

    async def _stop(self, body: Body, _: list[socket.socket]) -> Body:
        self.app.successor = body["successor"]
        self._orders.stop()
        return {}

    async def _reopen(self, _: Body, __: list[socket.socket]) -> Body:
        self.app.logbook.reopen()
        return {}

    # Changes.

    async def _prepare(self, body: Body, sockets: list[socket.socket]) -> Body:
        """Make ready for another configuration; or refuse it, and nothing has changed."""
        await self._abandon(body, [])
        share = Share(body["index"], body["count"])
        self.app.given.give(body["listeners"], sockets)
        try:
            change = self.app.make_reload(share_config(shaped(Source, body["source"]).load(), share))
            self.app.counts.prepare(shaped(tuple[Place, ...], body["places"]))
            change.prepare()
        except (ConfigError, NoRoomError, ReloadError) as error:
            self.app.counts.abandon()
            self.app.given.close()
            raise RefusedError(str(error)) from None
        self._prepared = change, share
        return {}

    async def _commit(self, body: Body, _: list[socket.socket]) -> Body:
        if self._prepared is None:
            raise RefusedError("nothing was prepared")
        (change, share), self._prepared = self._prepared, None
        self.app.share = share
        self.app.counts.commit()
        with self.app.figures.reloads.counting():
            await self.app.commit(change)
            await self._follow(body, [])
        self.app.given.close()
        return {}

    async def _abandon(self, _: Body, __: list[socket.socket]) -> Body:
        if self._prepared is not None:
            self._prepared[0].abandon()
            self._prepared = None
        self.app.counts.abandon()
        self.app.given.close()
        return {}

    async def _follow(self, body: Body, _: list[socket.socket]) -> Body:
        await self.app.follow(shaped(tuple[GroupState, ...], body["states"]))
        return {}

    # What operators ask.

    async def _figures(self, _: Body, __: list[socket.socket]) -> Body:
        return {"snapshot": plain(self.app.figures.snapshot())}

    async def _sessions(self, body: Body, _: list[socket.socket]) -> Body:
        found = await self._control.sessions(shaped(Selection, body["selection"]), body["limit"])
        return {"sessions": plain(tuple(found))}

    async def _close_session(self, body: Body, _: list[socket.socket]) -> Body:
        await self._control.close_session(body["session"], body["code"], body["reason"])
        return {}

    async def _tap_session(self, body: Body, _: list[socket.socket]) -> Body:
        return {"tapped": plain(await self._control.tap_session(body["session"], body["for_s"]))}

    async def _tapped_session(self, body: Body, _: list[socket.socket]) -> Body:
        return {"tapped": plain(await self._control.tapped_session(body["session"]))}

    async def _drain_sessions(self, body: Body, _: list[socket.socket]) -> Body:
        return {"count": await self._control.drain_sessions(shaped(Selection, body["selection"]))}

    async def _purge_cache(self, body: Body, _: list[socket.socket]) -> Body:
        return {"count": await self._control.purge_cache(body["url"], body["tag"])}

    async def _take_changes(self, _: Body, __: list[socket.socket]) -> Body:
        cache = self.app.routes.caching.cache
        return {"keys": [] if cache is None else [key.decode("latin-1") for key in cache.take_changes()]}

    async def _forget(self, body: Body, _: list[socket.socket]) -> Body:
        if (cache := self.app.routes.caching.cache) is not None:
            for key in body["keys"]:
                cache.store.forget(key.encode("latin-1"))
        return {}


async def _live(descriptor: int, turns: int, counts: int) -> None:
    channel = Channel(socket.socket(fileno=descriptor))
    try:
        async with anyio.create_task_group() as tasks:
            await DataPlaneProcess(channel, turns, counts, tasks).run()
    finally:
        channel.close()


def _outlive_no_parent(descriptor: int) -> None:
    """In a thread of its own, for a process whose event loop hangs: it would not see that the parent is gone."""
    hangup = select.poll()
    hangup.register(descriptor, 0)
    hangup.poll()
    time.sleep(ORPHAN_S + LAST_WORDS_S)
    os._exit(1)


def run(descriptor: int, turns: int, counts: int) -> int:
    """Be a data plane process. The descriptors: its channel, and memory that all share."""
    os.setsid()
    go_on_without_parent()
    threading.Thread(target=_outlive_no_parent, args=(descriptor,), name="parent", daemon=True).start()
    anyio.run(_live, descriptor, turns, counts, backend="asyncio", backend_options={"use_uvloop": has_uvloop()})
    return 0
