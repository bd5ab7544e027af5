"""Where log lines go."""

from __future__ import annotations

import json
import logging
import re
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


def test_json_is_an_object_a_line_and_a_traceback_stays_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logger = logging.getLogger("wsproxy.part")
    logger.warning('a "quoted" %s\nand more', "word")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("internal error")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"]) == ("warning", "wsproxy.part")
    assert first["message"] == 'a "quoted" word\nand more'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", first["time"])
    assert second["error"].startswith("Traceback")
    assert second["error"].endswith("ValueError: broken")
