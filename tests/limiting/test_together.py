"""What several processes count together, with real ones: no token twice, none lost, whoever is killed or stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

from wsproxy.config.model import Rate, RateLimit
from wsproxy.limiting import together as module
from wsproxy.limiting.places import Place
from wsproxy.limiting.together import CommonCounts, remembered
from wsproxy.net.shared_memory import SharedMemory
from wsproxy.protection.bucket_table import BucketTableState

YEARLY = Rate(1, 365 * 86400.0)
SECRET = b"of this proxy"

TAKER = """
import sys
from wsproxy.net import shared_memory
shared_memory._PATIENCE_S = 30.0  # the machine of a test may be so busy that one is off the CPU for long
from time import monotonic
from wsproxy.config.model import Rate, RateLimit
from wsproxy.limiting.together import CommonCounts
from wsproxy.limiting.places import Place
from wsproxy.net.shared_memory import SharedMemory
descriptor, sets, burst = map(int, sys.argv[1:])
rate = Rate(1, 365 * 86400.0)
counts = CommonCounts(SharedMemory(descriptor), b"of this proxy")
counts.prepare((Place("a", 0, sets, rate, burst),))
counts.commit()
state = counts.state("a", RateLimit(rate, burst))
print("ready", flush=True)
for line in sys.stdin:
    key, wanted = line.split()
    print(sum(state.try_take(key, monotonic()) >= 0 for _ in range(int(wanted))), flush=True)
"""


HOLDER = """
import sys
from wsproxy.net.shared_memory import RecordLocks, SharedMemory
assert RecordLocks(SharedMemory(int(sys.argv[1])), 0).try_lock(0)
print("held", flush=True)
sys.stdin.read()
"""


class Taker:
    """A process that takes what it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, key: str, wanted: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{key} {wanted}\n")
        self.process.stdin.flush()

    def hear(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def takers(memory: SharedMemory, place: Place, count: int = 2) -> Iterator[list[Taker]]:
    arguments = [str(each) for each in (memory.descriptor, place.sets, place.burst)]
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-c", TAKER, *arguments],
                pass_fds=(memory.descriptor,),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            found.append(Taker(process))
        for taker in found:
            assert taker.process.stdout is not None
            assert taker.process.stdout.readline() == "ready\n"
        yield found


def placed(burst: int = 20_000, sets: int = 512) -> tuple[SharedMemory, Place]:
    memory = SharedMemory()
    place = Place("a", 0, sets, YEARLY, burst)
    memory.grow(place.end)
    return memory, place


def counts_of(memory: SharedMemory, place: Place, is_asked: bool = False) -> CommonCounts:
    counts = CommonCounts(memory, SECRET, is_asked)
    counts.prepare((place,))
    counts.commit()
    return counts


def state_of(counts: CommonCounts, place: Place) -> BucketTableState:
    state = counts.state(place.name, RateLimit(place.rate, place.burst))
    assert state is not None
    return state


def test_two_processes_that_hammer_one_bucket_get_exactly_what_it_holds() -> None:
    memory, place = placed()
    with takers(memory, place) as both:
        for taker in both:
            taker.tell("client", 30_000)
        got = [taker.hear() for taker in both]
    assert sum(got) == 20_000
    assert min(got) > 0


def test_who_is_killed_in_the_middle_loses_none() -> None:
    memory, place = placed(burst=5000)
    with takers(memory, place) as (victim, other):
        victim.tell("client", 10**9)
        other.tell("client", 500)
        assert other.hear() <= 500
        os.kill(victim.process.pid, signal.SIGKILL)
        victim.process.wait()
        other.tell("client", 20_000)
        other.hear()
        state = state_of(counts_of(memory, place), place)
        assert state.try_take("client", monotonic()) < 0
        assert state.try_take("another", monotonic()) >= 0, "every set can be had"


def test_who_is_stopped_with_a_set_in_hand_is_not_waited_for() -> None:
    memory, place = placed(burst=100, sets=1)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(memory.descriptor)],
        pass_fds=(memory.descriptor,),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGSTOP)
        state = state_of(counts_of(memory, place), place)
        began = monotonic()
        assert sum(state.try_take("client", monotonic()) >= 0 for _ in range(150)) == 100
        assert monotonic() - began < 2.0
        holder.kill()
    other = state_of(counts_of(memory, place), place)
    assert other.try_take("client", monotonic()) >= 0, "what is owed is not known to others yet"
    assert state.try_take("client", monotonic()) < 0
    assert other.try_take("client", monotonic()) < 0


def test_who_comes_later_finds_what_was_counted() -> None:
    memory, place = placed(burst=3)
    first = state_of(counts_of(memory, place), place)
    for _ in range(3):
        first.try_take("client", monotonic())
    assert state_of(counts_of(memory, place), place).try_take("client", monotonic()) < 0


def test_another_configuration_is_taken_over_whole_or_not_at_all() -> None:
    memory, place = placed()
    counts = counts_of(memory, place)
    state = state_of(counts, place)
    far = Place("b", 2**40, 1, YEARLY, 1)
    with pytest.raises(ValueError, match="mmap"):
        counts.prepare((place, far))
    assert state_of(counts, place) is state
    other = Place("b", 0, 8, YEARLY, 1)
    counts.prepare((other,))
    assert state_of(counts, place) is state
    counts.abandon()
    counts.commit()
    assert state_of(counts, place) is state
    counts.prepare((place, other))
    counts.commit()
    assert state_of(counts, place) is state
    assert counts.state("c", RateLimit(YEARLY, 1)) is None


def test_how_many_are_remembered_is_told_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, place = placed(sets=4096)
    told, silent = (state_of(counts_of(memory, place, is_asked), place) for is_asked in (True, False))
    assert (len(told), len(silent)) == (0, 0)
    for number in range(3000):
        silent.try_take(str(number), monotonic())
    assert (len(told), len(silent)) == (3000, 0)
    monkeypatch.setattr(module, "MOST_READ", 32)
    assert remembered(memory, place, monotonic()) == pytest.approx(3000, rel=0.15)
    assert remembered(memory, place, monotonic() + 2 * 365 * 86400 * 20_000) == 0
