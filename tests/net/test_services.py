"""Services by URL: made when first asked for, run while needed, before and after `run` begins."""

from __future__ import annotations

import anyio

from wsproxy.net.services import ServicesByUrl


class Kept:
    """Says whether it runs."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.runs = False
        self.began = anyio.Event()
        self.ended = anyio.Event()

    async def run(self) -> None:
        self.runs = True
        self.began.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.runs = False
            self.ended.set()


def test_one_for_each_url_and_only_while_it_is_needed() -> None:
    async def main() -> None:
        services = ServicesByUrl(Kept)
        early = services.at("a")
        assert not early.runs
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(services.run)
            with anyio.fail_after(10):
                await early.began.wait()
                late = services.at("b")
                assert services.at("b") is late
                await late.began.wait()
                services.keep_only(["b", None])
                await early.ended.wait()
            assert services.all == [late]
            assert late.runs
            assert services.at("a") is not early
            tasks.cancel_scope.cancel()
        assert not late.runs

    anyio.run(main)
