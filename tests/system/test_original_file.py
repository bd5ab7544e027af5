"""A file in the format of the original worker-pool proxy runs as it is."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import anyio

from tests.integration.harness import RawServer, connect, eventually, fetch, in_loop, ok
from tests.integration.websocket_wire import TEXT, echo, frame, handshake, receive_frame

ORIGINAL = """\
[frontend]
host=127.0.0.1
port={port}
[websocket]
enable_health_check=false
health_check_interval=10
algorithm=round-robin
server1=127.0.0.1:{echo}
server2=127.0.0.1:{echo2}
[http]
algorithm=random
server1_addr=127.0.0.1:{web}
server1_max_workers=10
server1_min_workers=3
server1_worker_timeout=3
server1_buffer_size=20
server2=127.0.0.1:{web2}
"""


@in_loop
async def test_a_file_in_the_original_format_serves_both_kinds(tmp_path: Path) -> None:
    async with (
        RawServer(ok(b"one")) as web,
        RawServer(ok(b"two")) as web2,
        RawServer(echo) as first,
        RawServer(echo) as second,
    ):
        holder = RawServer(ok())  # takes a free port, and leaves it to the proxy
        await holder.start()
        await holder.stop()
        path = tmp_path / "proxy.ini"
        path.write_text(
            ORIGINAL.format(port=holder.port, web=web.port, web2=web2.port, echo=first.port, echo2=second.port)
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsproxy", str(path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert process.stderr is not None
        assert process.stdout is not None
        try:
            while b"listening on" not in (line := await process.stderr.readline()):
                assert line, "the proxy ended"
            for _ in range(40):
                assert (await fetch(holder.port, b"/page")).status == 200
            assert web.requests
            assert web2.requests
            for _ in range(4):
                async with await connect(holder.port) as client:
                    await client.send(handshake() + frame(TEXT, b"hello", masked=True))
                    assert (await client.response()).status == 101
                    assert await receive_frame(client) == (TEXT, b"hello")
            assert (first.opened, second.opened) == (2, 2)
            await eventually(lambda: first.open == second.open == 0)
        finally:
            process.terminate()
            with anyio.fail_after(10):
                out, _ = await process.communicate()
        assert process.returncode == 0
        lines = out.decode().splitlines()
        assert sum('"GET /page HTTP/1.1" 200 ' in line for line in lines) == 40
