"""How many connections one address may have."""

from __future__ import annotations

import pytest

from wsproxy.protection.address_limit import AddressLimitState


def test_each_address_has_its_own_count_and_none_is_remembered_without_connections() -> None:
    limit = AddressLimitState(2)
    assert [limit.try_enter("a") for _ in range(3)] == [True, True, False]
    assert limit.try_enter("b")
    assert len(limit) == 2
    limit.leave("a")
    assert [limit.try_enter("a") for _ in range(2)] == [True, False]
    limit.leave("b")
    assert len(limit) == 1
    limit.leave("a")
    limit.leave("a")
    assert len(limit) == 0


def test_who_was_not_counted_cannot_leave() -> None:
    limit = AddressLimitState(1)
    with pytest.raises(KeyError):
        limit.leave("a")
