"""What holds for every test: it leaves the process as it found it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for unix sockets, whose whole path may be 107 bytes long: tmp_path, below TMPDIR, may be longer."""
    with tempfile.TemporaryDirectory(prefix="wsproxy-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


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
