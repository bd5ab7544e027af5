"""The tiny backend behind the shipped proxy.ini: `python -m wsproxy.demo --listen 127.0.0.1:9001 [--name NAME]`."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import resource
import sys

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream

from wsproxy.demo.server import Demo

log = logging.getLogger("wsproxy.demo")


async def listen(where: str) -> Listener[SocketStream]:
    """Open `unix:/path` or `host:port`. Raises OSError, and ValueError for what is neither."""
    if where.startswith("unix:"):
        return await anyio.create_unix_listener(where.removeprefix("unix:"))
    host, _, port = where.rpartition(":")
    return await anyio.create_tcp_listener(local_host=host.strip("[]") or None, local_port=int(port))


async def serve(where: str, name: str) -> None:
    """Listen and serve until told to stop; a unix socket is removed afterwards."""
    listener = await listen(where)
    if not where.startswith("unix:"):  # the port is the system's choice if it was given as 0
        where = f"{where.rpartition(':')[0]}:{listener.extra(SocketAttribute.local_port)}"  # noqa: S610  # no SQL here
    log.info("%s listens on %s", name, where)
    try:
        await Demo(name).run(listener)
    finally:
        if where.startswith("unix:"):
            await anyio.Path(where.removeprefix("unix:")).unlink(missing_ok=True)
    log.info("%s has stopped", name)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m wsproxy.demo", description="A tiny HTTP and WebSocket backend.")
    parser.add_argument("--listen", default="127.0.0.1:9001", help="host:port (port 0: any) or unix:/path")
    parser.add_argument("--name", help="what to call this backend (default: where it listens)")
    arguments = parser.parse_args()
    name = arguments.name or arguments.listen
    if not (name.isascii() and name.isprintable()):
        parser.error("--name must be printable ASCII: it is sent in a header field")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("wsproxy.demo.websocket").setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        options = {"use_uvloop": importlib.util.find_spec("uvloop") is not None}
        anyio.run(serve, arguments.listen, name, backend_options=options)
    except (OSError, ValueError) as error:
        sys.exit(f"cannot listen on {arguments.listen}: {error}")


if __name__ == "__main__":
    main()
