"""Where the limits of several processes are counted: places that stay, and that others get when they are free."""

from __future__ import annotations

from itertools import pairwise

import pytest

from wsproxy.config.build import load
from wsproxy.config.model import Rate, RouteSettings
from wsproxy.limiting.places import NoRoomError, Place, Places, bucket_names
from wsproxy.net.shared_memory import PART_BYTES, SharedMemory
from wsproxy.protection.bucket_table import sets_for

SMALL = "rate_limit_entries = 1000"


def routes(*lines: str) -> tuple[RouteSettings, ...]:
    text = "[frontend]\nport = 0\n"
    for number, each in enumerate(lines):
        text += f"[http:{number}]\npath_prefix = /{number}\nserver1 = 127.0.0.1:1\n{each}\n"
    return load(text, "test.ini", {}, "/").routes


def changed(places: Places, *lines: str, at: float = 7.0) -> tuple[Place, ...]:
    planned = places.planned(routes(*lines), at)
    places.use(planned)
    return planned


def are_apart(places: tuple[Place, ...]) -> bool:
    ordered = sorted(places, key=lambda place: place.offset)
    return all(one.end <= other.offset for one, other in pairwise(ordered))


def test_each_limit_has_room_of_its_own() -> None:
    memory = SharedMemory()
    two = "rate_limit = 1/s\n  5/m\nrate_limit_key = ip\n  ip"
    places = changed(Places(memory), f"{two}\n{SMALL}", "", "rate_limit = 3/s")
    assert [place.rate for place in places] == [Rate(1, 1.0), Rate(5, 60.0), Rate(3, 1.0)]
    assert [place.sets for place in places] == [sets_for(1000)] * 2 + [sets_for(200_000)]
    assert are_apart(places)
    assert len({place.name for place in places}) == 3
    assert all(place.offset % PART_BYTES == 0 for place in places)
    memory.part(places[-1].offset, places[-1].size_bytes)[-1] = 1


def test_what_is_kept_elsewhere_or_not_limited_needs_none() -> None:
    redis = "rate_limit = 1/s\nrate_limit_store = redis\nredis_url = redis://127.0.0.1:1/0"
    assert changed(Places(SharedMemory()), "", redis) == ()


def test_a_place_stays_while_its_limit_does_and_another_rate_is_told_with_its_time() -> None:
    places = Places(SharedMemory())
    first, second = changed(places, f"rate_limit = 1/s\n{SMALL}", f"rate_limit = 2/s\n{SMALL}")
    again, other = changed(places, f"rate_limit = 1/s\n{SMALL}", f"rate_limit = 9/s\n{SMALL}", at=8.0)
    assert again == first
    assert (other.offset, other.rate, other.changed_at) == (second.offset, Rate(9, 1.0), 8.0)
    (kept,) = changed(places, "", f"rate_limit = 9/s\n{SMALL}", at=9.0)
    assert kept == other


def test_a_place_that_is_free_is_given_again_and_empty() -> None:
    memory = SharedMemory()
    places = Places(memory)
    first, second = changed(places, f"rate_limit = 1/s\n{SMALL}", f"rate_limit = 2/s\n{SMALL}")
    memory.part(first.offset, first.size_bytes)[0] = 1
    changed(places, "", f"rate_limit = 2/s\n{SMALL}")
    assert memory.read(first.offset, 1) == b"\0"
    new, kept = changed(places, f"rate_limit = 1/s\nrate_limit_key = path\n{SMALL}", f"rate_limit = 2/s\n{SMALL}")
    assert (new.offset, kept.offset) == (first.offset, second.offset)


def test_another_size_is_another_place_while_the_old_one_is_in_use() -> None:
    places = Places(SharedMemory())
    (first,) = changed(places, f"rate_limit = 1/s\n{SMALL}")
    (planned,) = places.planned(routes("rate_limit = 1/s\nrate_limit_entries = 5000"), 8.0)
    assert planned.offset >= first.end
    assert places.now == (first,), "nothing has come of it yet"


def test_names_tell_limits_apart() -> None:
    lines = "rate_limit = 1/s\n  2/s\n  3/s\n  4/s\nrate_limit_key = ip\n  header:A\n  ip\n  header:B"
    (route,) = routes(lines)
    assert len(set(bucket_names(route.name, route.rate_limit))) == 4


def test_too_much_is_refused_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SharedMemory()
    places = Places(memory)

    def full(size_bytes: int) -> None:
        raise OSError(27, "File too large")

    monkeypatch.setattr(memory, "grow", full)
    with pytest.raises(NoRoomError, match=r"4,800,000 bytes .*\(File too large\): lower .rate_limit_entries"):
        places.planned(routes("rate_limit = 1/s"), 1.0)
    assert places.now == ()
