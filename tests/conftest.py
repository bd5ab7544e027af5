"""What holds for every test: where it runs changes nothing, and it leaves the process as it found it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

FOREIGN_VARIABLES = ("_proxy", "NOTIFY_", "WATCHDOG_", "LISTEN_", "RUNTIME_DIRECTORY", "KUBERNETES_", "COLUMNS")
"""How names of variables begin or end that would lead clients elsewhere, or tell the product of a service manager, a
cluster or a terminal that is not the test's."""

LONGEST_PLACE = 30
"""How long the path of temporary files may be: that of a unix socket some directories below has 107 bytes at most."""

MOST_WORKERS = 4
WORKER_BYTES = 1024**3
"""What a worker needs with all that its tests start: too many on a small machine end in nothing at all."""


PLACE = pytest.StashKey[str]()
"""The directory of a run."""


def pytest_configure(config: pytest.Config) -> None:
    """Take away what this machine has that others have not; put all temporary files into one place."""
    for name in [*os.environ]:
        if name.lower().endswith(FOREIGN_VARIABLES) or name.startswith(FOREIGN_VARIABLES):
            del os.environ[name]
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_PLACE:
        os.environ["TMPDIR"] = "/tmp"
        tempfile.tempdir = None  # found anew
    if "PYTEST_XDIST_WORKER" not in os.environ:  # they use that of the process which started them
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())  # pytest's own last three are kept
        os.environ["TMPDIR"] = config.stash[PLACE] = tempfile.mkdtemp(prefix="wsproxy-")
        tempfile.tempdir = None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take away what tests, and browsers that were killed, have left there."""
    if (place := config.stash.get(PLACE, None)) is not None:
        shutil.rmtree(place, ignore_errors=True)


@pytest.hookimpl(optionalhook=True)  # there is none without pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: tests wait more than they compute, so two for each processor, as far as memory goes."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(2 * (os.cpu_count() or 1), memory_bytes // WORKER_BYTES, MOST_WORKERS))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory with a short name, for sockets in directories of their own."""
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
