"""Where log lines go."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from wsproxy.observe.logs import set_up_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("wsproxy")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_lines_from_the_level_up_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning")
    logging.getLogger("wsproxy.part").info("too little")
    logging.getLogger("wsproxy.part").warning("enough %d", 1)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(" WARNING enough 1\n")
    assert "too little" not in err


def test_setting_up_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    set_up_logging("info")
    logging.getLogger("wsproxy").info("once")
    assert capsys.readouterr().err.count("once") == 1
