"""Where log lines go."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from wsproxy.observe import line_writer
from wsproxy.observe.logs import MessageHandler, messages_dropped, set_up_logging, use_logging


def written(capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What stands on standard output and standard error, once the thread has written it."""
    for handler in logging.getLogger("wsproxy").handlers:
        handler.flush()
    captured = capfd.readouterr()
    return captured.out, captured.err


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    logger = logging.getLogger("wsproxy")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_lines_from_the_level_up_go_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning")
    logging.getLogger("wsproxy.part").info("too little")
    logging.getLogger("wsproxy.part").warning("enough %d", 1)
    out, err = written(capfd)
    assert out == ""
    assert err.endswith(" WARNING enough 1\n")
    assert "too little" not in err


def test_setting_up_twice_writes_once(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    set_up_logging("info")
    logging.getLogger("wsproxy").info("once")
    assert written(capfd)[1].count("once") == 1


def test_json_is_an_object_a_line_and_a_traceback_stays_on_it(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json")
    logger = logging.getLogger("wsproxy.part")
    logger.warning('a "quoted" %s\nand more', "word")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("internal error")
    first, second = (json.loads(line) for line in written(capfd)[1].splitlines())
    assert (first["level"], first["logger"]) == ("warning", "wsproxy.part")
    assert first["message"] == 'a "quoted" word\nand more'
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", first["time"])
    assert second["error"].startswith("Traceback")
    assert second["error"].endswith("ValueError: broken")


def test_another_level_and_form_count_from_now_on(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning")
    logger = logging.getLogger("wsproxy.part")
    logger.info("too little")
    use_logging("debug", "json")
    logger.debug("enough")
    (line,) = written(capfd)[1].splitlines()
    assert json.loads(line)["message"] == "enough"


def test_a_reader_who_stops_holds_nobody_up_and_learns_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_writer, "MAX_BUFFERED_BYTES", 300_000)
    reading, writing = os.pipe()
    handler = MessageHandler(writing)
    logger = logging.getLogger("wsproxy")
    logger.handlers[:] = [handler]
    for _ in range(5):
        logger.error("x" * 99_000)  # more than a pipe holds: the thread is stuck in the first of them
    assert messages_dropped() == 2
    with os.fdopen(reading, "rb") as pipe:
        assert [len(pipe.readline()) for _ in range(3)] == [99_001] * 3
        handler.flush()
        logger.error("here again")
        assert [pipe.readline() for _ in range(2)] == [b"2 messages were lost before this one\n", b"here again\n"]
    os.close(writing)


@pytest.mark.parametrize("end", ["raise ValueError('broken')", "sys.exit(3)", "pass"])
def test_however_the_process_ends_its_last_messages_are_written(end: str) -> None:
    program = f"""
import logging, sys
from wsproxy.observe.logs import set_up_logging
set_up_logging("info")
for number in range(1000):
    logging.getLogger("wsproxy.part").info("message %d", number)
{end}
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    # What the interpreter writes itself may come in between.
    rest, messages = re.subn(r"[\d-]{10}T[\d:]{8} INFO +message \d+\n", "", ended.stderr)
    assert messages == 1000
    assert ("ValueError: broken" in rest) is ("broken" in end)
