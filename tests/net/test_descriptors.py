"""net/descriptors.py: the last descriptors are kept for servers, not given to clients."""

from __future__ import annotations

import os

import pytest

from wsproxy.net.descriptors import DescriptorReserve


@pytest.mark.parametrize(("limit", "last_free"), [(64, 55), (1024, 895), (2048, 1791), (20_000, 19_743)])
def test_an_eighth_and_at_most_256_are_kept_back(limit: int, last_free: int) -> None:
    reserve = DescriptorReserve(limit)
    assert not reserve.is_touched_by(last_free)
    assert reserve.is_touched_by(last_free + 1)


def test_the_next_descriptor_tells_how_many_are_in_use() -> None:
    following = os.open(os.devnull, os.O_RDONLY)
    os.close(following)
    assert DescriptorReserve(8 * (following + 1)).is_touched() is False
    assert DescriptorReserve(following).is_touched() is True
    assert DescriptorReserve().is_touched() is False
