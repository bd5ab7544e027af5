"""The bounded queue: its size, its order, its head's age, and slots freed in the middle."""

from __future__ import annotations

from dataclasses import dataclass

from wsproxy.backend.queue import BoundedQueue


@dataclass(eq=False)
class Item:
    offered_at: float = 0.0
    give_up_at: float = 5.0


def test_takes_as_many_as_it_has_slots() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(2)
    assert [(queue.is_full, queue.try_put(Item())) for _ in range(3)] == [(False, True), (False, True), (True, False)]
    assert len(queue) == 2


def test_a_queue_without_slots_takes_nothing() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(0)
    assert queue.is_full
    assert not queue.try_put(Item())


def test_gives_back_in_the_order_of_arrival() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(3)
    items = [Item(), Item(), Item()]
    for item in items:
        queue.try_put(item)
    assert [queue.try_get() for _ in range(4)] == [*items, None]


def test_one_who_leaves_the_middle_frees_a_slot() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(3)
    first, second, third = items = Item(), Item(), Item()
    for item in items:
        queue.try_put(item)
    assert queue.discard(second)
    assert not queue.discard(second)
    assert list(queue) == [first, third]
    assert not queue.is_full


def test_the_age_of_the_head() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(3)
    assert queue.head_age_s(100.0) == 0.0
    queue.try_put(Item(offered_at=99.0))
    queue.try_put(Item(offered_at=50.0))
    assert queue.head_age_s(100.0) == 1.0


def test_takes_out_who_has_waited_long_enough_wherever_they_stand() -> None:
    queue: BoundedQueue[Item] = BoundedQueue(4)
    items = [Item(give_up_at=5.0), Item(give_up_at=1.0), Item(give_up_at=9.0), Item(give_up_at=5.0)]
    for item in items:
        queue.try_put(item)
    assert queue.expired(0.5) == []
    assert queue.expired(5.0) == [items[0], items[1], items[3]]
    assert list(queue) == [items[2]]
