"""Signals: a reload that comes too early is carried out later; what goes wrong in one does not end the process."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from tests.integration.harness import in_loop
from wsproxy.app import Application
from wsproxy.config.build import load
from wsproxy.config.model import Config
from wsproxy.signals import StopSignals

TEXT = "[frontend]\nhost = 127.0.0.1\nport = 0\n[http]\nserver1 = 127.0.0.1:1\n"


def broken() -> Config:
    raise LookupError("a mistake of ours")


async def received(*numbers: signal.Signals) -> AsyncIterator[signal.Signals]:
    for number in numbers:
        yield number


@in_loop
async def test_a_bug_in_a_reload_is_logged_and_does_not_end_the_traffic(caplog: pytest.LogCaptureFixture) -> None:
    application = Application(load(TEXT, "test.ini", {}, "/"), broken)
    rest = received(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)
    await StopSignals(rest, application).wait(reloads=True)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "internal error in a reload: it may be in force in part, restart soon"
    ]
    assert [number async for number in rest] == [signal.SIGHUP], "it waited for the one that stops it"


@in_loop
async def test_a_reload_that_is_wanted_before_the_start_is_over_comes_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    application = Application(load(TEXT, "test.ini", {}, "/"), lambda: load(TEXT, "test.ini", {}, "/"))
    signals = StopSignals(received(signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM), application)
    await signals.wait()
    assert "reloading test.ini" not in caplog.messages
    await signals.wait(reloads=True)
    assert caplog.messages.count("reloading test.ini") == 1
    assert "reloaded: nothing has changed" in caplog.messages
