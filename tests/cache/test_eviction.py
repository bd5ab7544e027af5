"""The bounded map: never over its limit, and no crawl empties it."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from wsproxy.cache.eviction import BoundedMap


def key(number: int) -> bytes:
    return b"%d" % number


def test_what_is_put_can_be_got() -> None:
    kept: BoundedMap[int] = BoundedMap(100)
    assert kept.put(b"a", 1, 60) == []
    assert kept.put(b"a", 2, 50) == []
    assert (kept.get(b"a"), kept.get(b"b"), kept.used, len(kept)) == (2, None, 50, 1)
    assert kept.pop(b"a") == 2
    assert kept.pop(b"a") is None
    assert (kept.used, len(kept)) == (0, 0)


def test_what_is_too_large_goes_at_once() -> None:
    kept: BoundedMap[int] = BoundedMap(100)
    kept.put(b"a", 1, 60)
    assert kept.put(b"a", 2, 101) == [(b"a", 2)]
    assert len(kept) == 0


def test_a_crawl_does_not_push_out_what_is_used() -> None:
    kept: BoundedMap[int] = BoundedMap(1000)
    for number in range(80):
        kept.put(key(number), number, 10)
    for number in range(80):
        kept.get(key(number))
    for number in range(1000, 100_000):
        kept.put(key(number), number, 10)
    assert sum(kept.get(key(number)) is not None for number in range(80)) == 80
    assert kept.used <= 1000


def test_what_is_used_no_more_makes_room_in_the_end() -> None:
    kept: BoundedMap[int] = BoundedMap(1000)
    for number in range(100):
        kept.put(key(number), number, 10)
        kept.get(key(number))
    for number in range(1000, 1500):
        kept.put(key(number), number, 10)
        for _ in range(3):
            kept.get(key(number))
    assert sum(kept.get(key(number)) is not None for number in range(100)) == 0


def test_what_comes_again_soon_after_it_went_stays_longer() -> None:
    kept: BoundedMap[int] = BoundedMap(100)
    for number in range(20):
        kept.put(key(number), number, 10)
    gone = next(number for number in range(20) if kept.get(key(number)) is None)
    kept.put(key(gone), gone, 10)
    for number in range(100, 110):
        kept.put(key(number), number, 10)
    assert kept.get(key(gone)) == gone


def test_more_hits_than_a_plain_queue_on_skewed_traffic_with_crawls() -> None:
    rng = random.Random(7)
    kept: BoundedMap[int] = BoundedMap(1000)
    queue: dict[bytes, int] = {}
    hits = queue_hits = 0
    for step in range(60_000):
        number = int(rng.paretovariate(0.8)) if step % 3 else 1_000_000 + step
        name = key(number)
        if kept.get(name) is not None:
            hits += 1
        else:
            kept.put(name, number, 10)
        if queue.pop(name, None) is not None:
            queue_hits += 1
        queue[name] = number
        if len(queue) > 100:
            del queue[next(iter(queue))]
    assert hits > 1.05 * queue_hits


def test_a_smaller_limit_holds_at_once() -> None:
    kept: BoundedMap[int] = BoundedMap(1000)
    for number in range(100):
        kept.put(key(number), number, 10)
    gone = kept.resize(100)
    assert (len(gone), kept.used, kept.evicted) == (90, 100, 90)
    kept.clear()
    assert (len(kept), kept.used) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("gpd"), st.integers(0, 12), st.integers(1, 60)), max_size=200))
def test_the_books_are_right_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    kept: BoundedMap[int] = BoundedMap(100)
    sizes: dict[bytes, int] = {}
    for what, number, size in steps:
        name = key(number)
        if what == "g":
            assert (kept.get(name) is not None) == (name in sizes)
        elif what == "d":
            assert (kept.pop(name) is not None) == (sizes.pop(name, None) is not None)
        else:
            sizes[name] = size
            for gone, _ in kept.put(name, number, size):
                del sizes[gone]
        assert kept.used == sum(sizes.values()) <= 100
        assert set(kept) == set(sizes)
        assert len(kept._gone) <= max(len(kept) + 1, 13)
