"""The healthy servers of a group: their order, their version, and readers and writers side by side."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel

from wsproxy.backend.healthy import HealthyServers

ORDER = {"a": 0, "b": 1, "c": 2, "c2": 2}


def make(*items: str) -> HealthyServers[str]:
    return HealthyServers(ORDER.__getitem__, items)


def test_starts_in_the_configured_order_at_version_zero() -> None:
    healthy = make("c", "a", "b", "a")
    assert healthy.snapshot() == ("a", "b", "c")
    assert healthy.version == 0


def test_an_item_returns_to_its_own_place() -> None:
    async def main() -> None:
        healthy = make("a", "b", "c")
        assert await healthy.discard("b")
        assert healthy.snapshot() == ("a", "c")
        assert await healthy.add("b")
        assert healthy.snapshot() == ("a", "b", "c")
        assert healthy.version == 2

    anyio.run(main)


def test_of_items_at_one_place_the_first_added_leads() -> None:
    async def main() -> None:
        healthy = make("c2")
        await healthy.add("c")
        assert healthy.snapshot() == ("c2", "c")

    anyio.run(main)


def test_what_changes_nothing_keeps_the_version_and_the_tuple() -> None:
    async def main() -> None:
        healthy = make("a", "b")
        before = healthy.snapshot()
        assert not await healthy.add("a")
        assert not await healthy.discard("c")
        assert not await healthy.replace(["b", "a"])
        assert healthy.snapshot() is before
        assert healthy.version == 0

    anyio.run(main)


def test_replace_holds_exactly_the_given_items() -> None:
    async def main() -> None:
        healthy = make("a", "b")
        assert await healthy.replace(iter(["c", "b"]))
        assert healthy.snapshot() == ("b", "c")
        assert await healthy.replace(())
        assert healthy.snapshot() == ()
        assert healthy.version == 2

    anyio.run(main)


def test_a_snapshot_does_not_change_under_its_reader() -> None:
    async def main() -> None:
        healthy = make("a", "b")
        snapshot = healthy.snapshot()
        await healthy.discard("a")
        assert snapshot == ("a", "b")

    anyio.run(main)


def test_readers_and_writers_meet_at_the_lock() -> None:
    async def main() -> None:
        healthy = make("a", "b")
        lock = healthy._lock
        assert lock.try_read()  # a reader that takes its time, so that the writers have to line up
        tasks = [asyncio.ensure_future(healthy.discard("a")), asyncio.ensure_future(healthy.add("a"))]
        tasks.append(asyncio.ensure_future(healthy.discard("b")))
        reader = asyncio.ensure_future(healthy.wait_snapshot())
        await anyio.lowlevel.checkpoint()
        assert healthy.snapshot() is None
        lock.release_read()
        # In their order: the add sees what the first discard left, though both were built from the same tuple.
        assert await asyncio.gather(*tasks) == [True, True, True]
        assert await reader == ("a",)
        assert healthy.snapshot() == ("a",)
        assert healthy.version == 3

    anyio.run(main)
