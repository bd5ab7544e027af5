"""Signals: which ones stop, what the others have done, and that no reload is lost or ends the process."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from tests.integration.harness import in_loop
from wsproxy.app import Application
from wsproxy.config.build import load
from wsproxy.config.diff import Plan, make_plan
from wsproxy.config.model import Config
from wsproxy.reload import ReloadError
from wsproxy.signals import StopSignals

CONFIG = load("[frontend]\nhost = 127.0.0.1\nport = 0\n[http]\nserver1 = 127.0.0.1:1\n", "test.ini", {}, "/")


class Obedient:
    """Notes what it is asked for. wrong: what a reload raises."""

    def __init__(self, wrong: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.config: Config = CONFIG
        self._wrong = wrong

    async def reload(self) -> Plan:
        self.asked.append("reload")
        if self._wrong is not None:
            raise self._wrong
        return make_plan(CONFIG, CONFIG)

    def reopen_logs(self) -> None:
        self.asked.append("reopen")

    def upgrade(self) -> None:
        self.asked.append("upgrade")


async def received(*numbers: signal.Signals) -> AsyncIterator[signal.Signals]:
    for number in numbers:
        yield number


@in_loop
async def test_each_is_obeyed_and_two_of_them_stop() -> None:
    obedient = Obedient()
    rest = received(signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM)
    signals = StopSignals(rest, obedient)
    await signals.wait(reloads=True)
    assert obedient.asked == ["reopen", "upgrade", "reload"]
    await signals.wait(reloads=True)
    assert obedient.asked[3:] == ["reopen"]


@in_loop
async def test_a_bug_in_a_reload_is_logged_and_does_not_end_the_traffic(caplog: pytest.LogCaptureFixture) -> None:
    rest = received(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)
    await StopSignals(rest, Obedient(LookupError("a mistake of ours"))).wait(reloads=True)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "internal error in a reload: it may be in force in part, restart soon"
    ]
    assert [number async for number in rest] == [signal.SIGHUP], "it waited for the one that stops it"


@in_loop
async def test_each_reason_against_a_reload_is_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    refused = Obedient(ReloadError("a.ini:1: no\na.ini:2: nor this"))
    await StopSignals(received(signal.SIGHUP, signal.SIGTERM), refused).wait(reloads=True)
    assert caplog.messages == ["reload refused: a.ini:1: no", "reload refused: a.ini:2: nor this"]


@in_loop
async def test_a_reload_that_is_wanted_before_the_start_is_over_comes_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    obedient = Obedient()
    rest = received(signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM)
    signals = StopSignals(rest, obedient)
    await signals.wait()
    assert obedient.asked == []
    await signals.wait(reloads=True)
    assert obedient.asked == ["reload"]
    assert caplog.messages == ["reloading test.ini", "reloaded: nothing has changed"]


@in_loop
async def test_a_proxy_without_a_place_for_a_successor_says_so(caplog: pytest.LogCaptureFixture) -> None:
    Application(CONFIG).upgrade()
    assert caplog.messages == ["SIGUSR2: no successor can be started now"]
