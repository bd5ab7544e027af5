"""The store in memory: answers by URL, by what Vary names, by tag."""

from __future__ import annotations

import asyncio

from tests.cache.answers import PLAIN, asked, stored
from wsproxy.cache.selecting import key_of
from wsproxy.cache.store import MemoryStore

FOO = (b"foo",)


def test_one_answer_a_url() -> None:
    store = MemoryStore(100_000)
    first, second = stored("A: 1"), stored("A: 2")
    store.keep(b"k", (), PLAIN, first)
    assert store.look_up(b"k", PLAIN) is first
    store.keep(b"k", (), PLAIN, second)
    assert store.look_up(b"k", PLAIN) is second
    assert store.look_up(b"other", PLAIN) is None
    assert store.entries == 1
    store.forget(b"k")
    assert store.look_up(b"k", PLAIN) is None
    assert store.used_bytes == 0


def test_answers_that_vary() -> None:
    store = MemoryStore(100_000)
    one, two = asked("Foo: 1"), asked("Foo: 2")
    first, second = stored("A: 1"), stored("A: 2")
    store.keep(b"k", FOO, one, first)
    store.keep(b"k", FOO, two, second)
    assert store.look_up(b"k", one) is first
    assert store.look_up(b"k", two) is second
    assert store.look_up(b"k", PLAIN) is None
    assert asyncio.run(store.drop(b"k")) == 2
    assert store.look_up(b"k", one) is None
    assert (store.entries, store.used_bytes, store._by_tag) == (0, 0, {})


def test_what_was_let_go_does_not_come_back_with_another_variant() -> None:
    store = MemoryStore(100_000)
    one, two = asked("Foo: 1"), asked("Foo: 2")
    store.keep(b"k", FOO, one, stored())
    store.forget(b"k")
    store.keep(b"k", FOO, two, stored())
    assert store.look_up(b"k", one) is None


def test_a_url_that_begins_or_ends_to_vary() -> None:
    store = MemoryStore(100_000)
    one = asked("Foo: 1")
    store.keep(b"k", (), one, stored())
    store.keep(b"k", FOO, one, stored())
    assert store.look_up(b"k", PLAIN) is None
    store.keep(b"k", (b"bar",), one, stored())
    assert store.look_up(b"k", PLAIN) is not None
    store.keep(b"k", (), one, stored())
    assert store.look_up(b"k", asked("Bar: 3")) is not None
    assert store.entries == 1


def test_what_a_route_keeps_is_let_go_without_the_others() -> None:
    store = MemoryStore(100_000)
    mine, theirs = (key_of(name, b"http", b"a", b"/") for name in ("http", "http:api"))
    for key in (mine, theirs):
        store.keep(key, FOO, asked("Foo: 1"), stored())
        store.keep(key, FOO, asked("Foo: 2"), stored())
    assert store.drop_route("http") == 2
    assert store.drop_route("http") == 0
    assert [store.look_up(key, asked("Foo: 1")) is None for key in (mine, theirs)] == [True, False]
    assert store.drop_route("http:api") == 2
    assert (store.entries, store.used_bytes, store._by_tag) == (0, 0, {})


def test_tags() -> None:
    store = MemoryStore(100_000)
    store.keep(b"k", FOO, asked("Foo: 1"), stored("Cache-Tag: a, b"))
    store.keep(b"l", (), PLAIN, stored("Cache-Tag: b"))
    store.keep(b"m", (), PLAIN, stored())
    assert asyncio.run(store.drop_tag(b"b")) == 2
    assert asyncio.run(store.drop_tag(b"b")) == 0
    assert store.look_up(b"m", PLAIN) is not None
    assert asyncio.run(store.clear()) == 1
    assert (store.entries, store._by_tag) == (0, {})


def test_it_is_bounded_and_so_is_what_it_knows_of_tags() -> None:
    store = MemoryStore(50_000)
    for number in range(2000):
        request = asked(f"Foo: {number}")
        answer = stored(f"Cache-Tag: all, t{number}", body=b"x" * 500)
        store.keep(b"k%d" % (number % 7), FOO, request, answer)
        assert store.used_bytes <= 50_000
    assert len(store._by_tag) <= 2 * store.entries + 8
    assert store.evicted > 1900
    store.resize(2_000)
    assert store.used_bytes <= 2_000
