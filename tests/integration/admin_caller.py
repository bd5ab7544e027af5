"""The product with an admin listener, and a caller of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.integration.harness import Proxy, proxy

TOKEN = "token-of-the-tests"


class Caller:
    """Someone with the token. proxy: the product that is asked."""

    def __init__(self, running: Proxy, client: httpx.AsyncClient) -> None:
        self.proxy = running
        self.client = client
        self.port = running.application.administration.port

    async def get(self, path: str, expect: int = 200) -> httpx.Response:
        answer = await self.client.get(path)
        assert answer.status_code == expect, answer.text
        return answer

    async def post(self, path: str, content: object = None, expect: int = 200) -> httpx.Response:
        answer = await self.client.post(path, json=content)
        assert answer.status_code == expect, answer.text
        return answer

    async def delete(self, path: str, content: object, expect: int = 200) -> httpx.Response:
        answer = await self.client.request("DELETE", path, json=content)
        assert answer.status_code == expect, answer.text
        return answer


@asynccontextmanager
async def administered(routes: str, admin: str = f"token = {TOKEN}") -> AsyncIterator[Caller]:
    """Run the product with these sections, and these lines of its [admin], until the block ends."""
    async with proxy(f"{routes}\n[admin]\nport = 0\n{admin}\n") as running:
        url = f"http://127.0.0.1:{running.application.administration.port}"
        fields = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=url, headers=fields, trust_env=False) as client:
            yield Caller(running, client)
