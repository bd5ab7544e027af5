"""The product with several listeners, and servers and clients that speak TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.integration.harness import BUFFER_BYTES, LOST, Script, Wire
from wsproxy.app import Application
from wsproxy.config.build import load


class Site:
    """A running product: its application, and the port of each of its frontends."""

    def __init__(self, application: Application, ports: list[int]) -> None:
        self.application = application
        self.ports = ports

    @property
    def port(self) -> int:
        """The first frontend's."""
        return self.ports[0]

    @property
    def connections(self) -> int:
        """Accepted and not yet over, whether they came in or not."""
        return sum(frontend.connections for frontend in self.application.listeners.frontends)


@asynccontextmanager
async def site(text: str) -> AsyncIterator[Site]:
    """Run the product with this ini text until the block ends."""
    application = Application(load(f"[log]\naccess = off\n{text}", "test.ini", {}, "/"))
    async with anyio.create_task_group() as tasks:
        addresses = await tasks.start(application.run)
        try:
            yield Site(application, [int(address.rpartition(":")[2]) for address in addresses])
        finally:
            tasks.cancel_scope.cancel()


def frontend(*pairs: tuple[Path, Path], name: str = "", lines: str = "") -> str:
    """A `[frontend]` section with these certificates."""
    certificates = "".join(f"\n  {chain}" for chain, _ in pairs)
    keys = "".join(f"\n  {key}" for _, key in pairs)
    tls = f"tls_certificate ={certificates}\ntls_key ={keys}\n" if pairs else ""
    return f"[frontend{':' * bool(name)}{name}]\nhost = 127.0.0.1\nport = 0\n{tls}{lines}\n"


async def connect_tls(port: int, context: ssl.SSLContext, name: str = "site.example", before: bytes = b"") -> Wire:
    """A client's connection with a finished handshake; `before` goes ahead of it in plain bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=BUFFER_BYTES)
    writer.write(before)
    await writer.start_tls(context, server_hostname=name)
    return Wire(reader, writer)


class TlsServer:
    """An upstream server behind TLS whose every connection runs a script. names: what its clients asked for."""

    def __init__(self, script: Script, context: ssl.SSLContext) -> None:
        self._script = script
        self._context = context
        self.names: list[str | None] = []
        self.port = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._script(Wire(reader, writer))
        except LOST:
            pass
        except asyncio.CancelledError:  # the loop ends: an asyncio server logs what its callbacks let through
            pass
        finally:
            writer.transport.abort()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[TlsServer]:
        """Listen until the block ends."""

        def note(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            self.names.append(name)

        self._context.sni_callback = note
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._context, limit=BUFFER_BYTES)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
