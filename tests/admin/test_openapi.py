"""The OpenAPI document holds for the running product: schemathesis asks it what it allows and what it forbids."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import anyio

from tests.integration.admin_caller import TOKEN, administered
from tests.integration.harness import RawServer, http_route, ok
from wsproxy.admin.api import Api
from wsproxy.admin.endpoints import ENDPOINTS, Access
from wsproxy.admin.openapi import document

LIMIT_S = 150.0

CONFIGURATION = """\
[checks]
negative_data_rejection.expected-statuses = ["400", "404", "409", "413", "414", "415"]
[[operations]]
include-name = "POST /backends"
[operations.checks]
positive_data_acceptance.enabled = false
"""
"""A parameter may be too long for any target (414). Which texts are addresses no schema can say: 400 with a reason is
the described answer to one that is none."""


def test_every_endpoint_is_described_and_built() -> None:
    described = {(method.upper(), path) for path, methods in document()["paths"].items() for method in methods}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert len({endpoint.action for endpoint in ENDPOINTS}) == len(ENDPOINTS)
    for endpoint in ENDPOINTS:
        assert hasattr(Api, f"_{endpoint.action}") or endpoint.action in ("switches", "openapi")


def test_only_life_and_readiness_are_open() -> None:
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.access is Access.OPEN] == ["/healthz", "/readyz"]
    assert [endpoint.path for endpoint in ENDPOINTS if endpoint.access is Access.METRICS] == ["/metrics"]


def test_schemathesis_finds_no_answer_that_is_not_described(tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)

    async def main() -> None:
        with anyio.fail_after(LIMIT_S):
            async with RawServer(ok()) as server, administered(http_route(server.port)) as caller:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{caller.port}/openapi.json"),
                    *("--header", f"Authorization: Bearer {TOKEN}"),
                    *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1", "--no-color"),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    cwd=tmp_path,
                    env=os.environ | {"NO_PROXY": "*"},
                )
                out, _ = await process.communicate()
                assert process.returncode == 0, out.decode()

    anyio.run(main, backend_options={"use_uvloop": True})
