"""What holds for every test: it leaves the process as it found it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """No handler of the product's log is left behind, which would write into the tests that follow; the level, which
    every reload in this process sets, is put back."""
    logger = logging.getLogger("wsproxy")
    handlers, level, propagate = [*logger.handlers], logger.level, logger.propagate
    yield
    left = [handler for handler in logger.handlers if handler not in handlers]
    logger.handlers[:] = handlers
    logger.setLevel(level)
    logger.propagate = propagate
    assert not left, "set_up_logging was called: take its handlers away again"
