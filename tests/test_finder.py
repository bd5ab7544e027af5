"""What sources say becomes the servers of a group: what cannot be a server, too many, and none."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest

from wsproxy.config.discovery_settings import DiscoverySettings, Target
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.discovery.found import MOST_SERVERS, Found
from wsproxy.finder import Finder

TEMPLATE = ServerSettings("template", Address("template", 1))


class Taken:
    """sets: the names of each set that was taken over. held: of the last one, those that get nothing new."""

    def __init__(self) -> None:
        self.sets: list[list[str]] = []
        self.held: frozenset[str] = frozenset()

    async def use(self, servers: Sequence[ServerSettings], held: frozenset[str]) -> None:
        self.sets.append([server.name for server in servers])
        self.held = held


def finder(taken: Taken) -> Finder:
    return Finder("http", DiscoverySettings(Target("dns", "app.test", "80")), TEMPLATE, taken.use)


def test_what_cannot_be_asked_is_left_out_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken()
    finding = finder(taken)
    for _ in range(3):
        anyio.run(finding.found, [Found("10.0.0.1:0"), Found("not a host:80"), Found("10.0.0.2:80")])
    assert taken.sets == [["10.0.0.2:80"]]
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == [
        "http: dns://app.test:80: 2 of 3 servers are left out: '0' is not a port (1 to 65535)"
    ]


def test_of_too_many_those_are_used_that_take_requests(caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken()
    many = [
        Found(f"10.0.{number // 256}.{number % 256}:80", takes_new=number > 9) for number in range(MOST_SERVERS + 10)
    ]
    anyio.run(finder(taken).found, many)
    assert taken.sets == [sorted(each.address for each in many if each.takes_new)]
    assert "1010 servers, of which 1000 are used" in caplog.records[0].message


@pytest.mark.parametrize(
    ("target", "reasons", "said"),
    [
        (
            Target("dns", "app.test", "80"),
            ["away after 5.1 s", "away after 5.2 s", "REFUSED", "REFUSED"],
            ["dns://app.test:80: away after 5.1 s", "dns://app.test:80: REFUSED"],
        ),
        (
            Target("file", path="/s.json"),
            ["/s.json:1:2: no", "/s.json:1:2: no", "/s.json:3:1: no"],
            ["/s.json:1:2: no", "/s.json:3:1: no"],
        ),
    ],
)
def test_of_failures_in_a_row_each_kind_is_told_once(
    target: Target, reasons: list[str], said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    finding = Finder("http", DiscoverySettings(target), TEMPLATE, Taken().use)
    for reason in reasons:
        finding.not_found(reason)
    assert [each.message for each in caplog.records] == [f"http: {each}: no server is known" for each in said]
    assert finding.errors == len(reasons)


@pytest.mark.parametrize("servers", [[], [Found("10.0.0.1:80", takes_new=False)]])
def test_that_nobody_is_left_is_a_warning(servers: list[Found], caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken()
    anyio.run(finder(taken).found, servers)
    (record,) = caplog.records
    assert (record.levelname, "requests get 503" in record.message) == ("WARNING", True)
    assert taken.sets == [[each.address for each in servers]]
