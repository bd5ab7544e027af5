"""Opening connections to upstream servers: TCP, TLS and unix sockets, names resolved per dial with a short cache.

Knows addresses and the kinds of failure; not what will be said over the connection.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from ipaddress import ip_address
from time import monotonic  # that of uvloop stands still while the loop is held up
from typing import Any, Final

from wsproxy.config.group_settings import Address
from wsproxy.net.descriptors import EXHAUSTED
from wsproxy.net.stream import FLUSH_TIMEOUT_S, Stream
from wsproxy.net.tls import TlsError, client_context, server_name, tls_reason

RESOLVED_FOR_S: Final = 5.0
"""How long a resolved name is used again: a burst of dials asks once, a changed record is seen within seconds."""

BACKLOG_RETRY_S: Final = 0.01
"""Pause before a unix socket with a full backlog is tried again; the kernel answers EAGAIN instead of queueing."""

LOOK_S: Final = 0.01
"""The least that a dial has beyond its time, so that the loop has come round to what the kernel knows."""

HANDSHAKE_TIMEOUT_S: Final = 3600.0
"""The time of a dial holds for its handshake too: the event loop's own limit, which is never long enough for a process
that was held up, must not come first."""

NO_WAY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH})
"""This machine has no way to such an address: many have no IPv6, for which nearly every name has an address too. What
another address of the name has failed for says more."""


class DialError(Exception):
    """No connection could be opened; `timed_out` tells a silent server from one that refuses."""

    def __init__(self, message: str, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class OutOfDescriptorsError(DialError):
    """The want is ours, not the server's: no descriptor or no memory for a socket."""


class Dialer:
    """Opens connections to one address, resolving its name when it is one."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._resolved: tuple[str, ...] = ()
        self._resolved_until = 0.0
        if address.host and _is_literal(address.host):
            self._resolved, self._resolved_until = (address.host,), float("inf")

    async def dial(self, timeout_s: float) -> Stream:
        """Open one connection within `timeout_s`, trying each resolved address in turn. Raises DialError."""
        due = monotonic() + timeout_s
        try:
            async with asyncio.timeout(None) as limit:
                alarm = asyncio.get_running_loop().call_later(timeout_s, _look_again, limit, due, timeout_s)
                try:
                    if self._address.unix_path:
                        return await self._dial_unix()
                    return await self._dial_tcp(self._tls_options())
                finally:
                    alarm.cancel()
        except TimeoutError:
            raise DialError(f"{self._address}: no connection within {timeout_s:g} s", timed_out=True) from None

    async def _dial_unix(self) -> Stream:
        loop = asyncio.get_running_loop()
        try:
            unconnected = socket.socket(socket.AF_UNIX)
        except OSError as error:
            raise OutOfDescriptorsError(f"{self._address}: {_reason(error)}") from None
        try:
            unconnected.setblocking(False)
            await self._connect_unix(unconnected)
            _, stream = await loop.create_unix_connection(_factory(loop), sock=unconnected)
        except OSError as error:
            unconnected.close()
            raise DialError(f"{self._address}: {_reason(error)}") from None
        except BaseException:
            unconnected.close()
            raise
        return stream

    async def _connect_unix(self, unconnected: socket.socket) -> None:
        """Ours, because asyncio's own takes EAGAIN for a connection that is under way, and hands out a dead one."""
        while True:
            try:
                unconnected.connect(self._address.unix_path)
                return
            except BlockingIOError:
                await asyncio.sleep(BACKLOG_RETRY_S)

    def _tls_options(self) -> dict[str, Any]:
        """Arguments of `create_connection`: none without TLS."""
        address = self._address
        if not address.tls:
            return {}
        try:
            context = client_context(address.tls_verify, address.tls_ca)
        except TlsError as error:
            raise DialError(f"{address}: {error}") from None
        return {
            "ssl": context,
            "server_hostname": server_name(address.host),
            "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S,
            "ssl_shutdown_timeout": FLUSH_TIMEOUT_S,
        }

    async def _dial_tcp(self, tls_options: dict[str, Any]) -> Stream:
        loop = asyncio.get_running_loop()
        failure, is_the_servers = "no address", False
        for host in await self._resolve():
            try:
                _, stream = await loop.create_connection(_factory(loop), host, self._address.port, **tls_options)
                return stream
            except OSError as error:
                if error.errno in EXHAUSTED:
                    raise OutOfDescriptorsError(f"{self._address}: {_reason(error)}") from None
                if not is_the_servers:
                    failure, is_the_servers = _reason(error), error.errno not in NO_WAY
        self._forget()
        raise DialError(f"{self._address}: {failure}")

    def _forget(self) -> None:
        """A name that led nowhere is asked for again at the next dial."""
        if self._resolved_until != float("inf"):
            self._resolved_until = 0.0

    async def _resolve(self) -> tuple[str, ...]:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._resolved_until:
            try:
                found = await loop.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA refuses
                if isinstance(error, OSError) and error.errno in EXHAUSTED:
                    raise OutOfDescriptorsError(f"{self._address}: {_reason(error)}") from None
                raise DialError(f"{self._address}: name does not resolve ({_reason(error)})") from None
            self._resolved = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
            self._resolved_until = loop.time() + RESOLVED_FOR_S
        return self._resolved


def _look_again(limit: asyncio.Timeout, due: float, timeout_s: float) -> None:
    """The time is over, but a process that was held up sees that first: give it as long to see what has come meanwhile.

    No longer than `timeout_s`, as nobody may have come at all.
    """
    late_s = monotonic() - due
    limit.reschedule(asyncio.get_running_loop().time() + max(LOOK_S, min(late_s, timeout_s)))


def _factory(loop: asyncio.AbstractEventLoop) -> Callable[[], Stream]:
    return lambda: Stream(loop)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _reason(error: Exception) -> str:
    """The operating system's or TLS's words, without address and number, which the caller has already said."""
    if (reason := tls_reason(error)) is not None:
        return reason
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:  # below: getaddrinfo's own numbers
        return os.strerror(error.errno).lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
