"""What a connection passes through before its session: the PROXY header, the limit per address, the TLS handshake.

Knows a frontend's settings and the order of these stages. Whoever fails here costs one line at level debug, since a
scanner could write thousands, and is gone within `header_timeout`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wsproxy.config.model import FrontendSettings
from wsproxy.http.forwarded import is_trusted
from wsproxy.http.proxy_protocol import (
    SHORTEST_BYTES,
    ProxyHeaderError,
    announced_peer,
    announced_port,
    missing_bytes,
)
from wsproxy.http.replies import error_reply
from wsproxy.net.accepted import answer_and_close, connect, connect_tls, peek, peer_of, receive
from wsproxy.net.stream import Stream
from wsproxy.net.tls import HANDSHAKE, TlsIdentities
from wsproxy.protection.address_limit import AddressLimitState

if TYPE_CHECKING:
    import socket

WARN_EVERY_S: Final = 60.0
"""One client over its limit can be refused thousands of times a second: worth a line now and then."""

_logger = logging.getLogger("wsproxy.frontend")


class RefusedError(ConnectionAbortedError):
    """The connection may not come in; str() says why."""


Admit = Callable[[str], None]
"""Told the address of a client before anything is done for it. Raises RefusedError."""


class Entrance:
    """The stages of one frontend, those that its settings ask for, and `admit` before the TLS handshake."""

    def __init__(
        self, settings: FrontendSettings, identities: TlsIdentities | None, admit: Admit | None = None
    ) -> None:
        self._settings = settings
        self._identities = identities
        self._admit = admit
        limit = settings.max_connections_per_ip
        self._addresses = None if limit is None else AddressLimitState(limit)
        self._counted: dict[Stream, str] = {}
        self._arriving: set[asyncio.Task[object]] = set()
        self._warned_at = -WARN_EVERY_S

    def use(self, settings: FrontendSettings) -> None:
        """Take over who is trusted and how long a beginning may take; other stages need another entrance."""
        self._settings = settings

    @staticmethod
    def is_needed(settings: FrontendSettings) -> bool:
        """Whether there is any stage at all."""
        return bool(settings.certificates or settings.proxy_protocol or settings.max_connections_per_ip)

    async def open(self, accepted: socket.socket, stream: Stream) -> None:
        """Bring a connection in, so that the stream has the socket.

        Raises OSError when the connection ends here, with the socket closed. `leave` must follow in any case.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._arriving.add(task)
        try:
            async with asyncio.timeout(self._settings.header_timeout_s):
                stream.announced_peer, stream.announced_port = await self._read_announced(accepted)
                peer = stream.announced_peer or peer_of(accepted)
                self._count(stream, peer)
                if self._admit is not None:
                    self._admit(peer)
                await self._connect(accepted, stream)
        except BaseException:
            accepted.close()
            raise
        finally:
            self._arriving.discard(task)

    def leave(self, stream: Stream) -> None:
        """The connection is over, whether it came in or not."""
        peer = self._counted.pop(stream, None)
        if peer is not None and self._addresses is not None:
            self._addresses.leave(peer)

    def close(self) -> None:
        """End the connections that have not come in yet."""
        for task in self._arriving:
            task.cancel()

    async def _read_announced(self, accepted: socket.socket) -> tuple[str, int]:
        """The client as the proxy before us announces it, or "" and 0."""
        settings = self._settings
        if not settings.proxy_protocol:
            return "", 0
        peer = peer_of(accepted)
        if not is_trusted(peer, settings.trusted_proxies):
            raise RefusedError(f"{peer} is not in trusted_proxies, so its PROXY header would not be believed")
        try:
            header = await receive(accepted, SHORTEST_BYTES)
            while missing := missing_bytes(header):
                header += await receive(accepted, missing)
            announced = announced_peer(header)
            return ("", 0) if announced is None else (announced, announced_port(header))
        except ProxyHeaderError as error:
            self._warn(f"{peer} sent no proper PROXY header ({error}): its connections are closed")
            raise RefusedError(f"{peer}: {error}") from None

    def _count(self, stream: Stream, peer: str) -> None:
        """Count the connection for its address. Raises RefusedError at the limit."""
        if self._addresses is None or is_trusted(peer, self._settings.trusted_proxies):
            return
        if not self._addresses.try_enter(peer):
            limit = self._settings.max_connections_per_ip
            self._warn(f"{peer} has {limit} connections, the limit (max_connections_per_ip): more are closed")
            raise RefusedError(f"{peer} has too many connections")
        self._counted[stream] = peer

    async def _connect(self, accepted: socket.socket, stream: Stream) -> None:
        if self._identities is None:
            await connect(accepted, stream)
            return
        first = await peek(accepted)
        if first != HANDSHAKE:
            if first.isalpha():
                answer_and_close(accepted, error_reply(400, "this port speaks https", "", b"", close=True))
            raise RefusedError("no TLS handshake")
        await connect_tls(accepted, stream, self._identities.context, self._settings.header_timeout_s)

    def _warn(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARN_EVERY_S:
            self._warned_at = now
            _logger.warning("%s: %s", self._settings.name, reason)
