"""Problems as people and editors read them."""

from __future__ import annotations

from wsproxy.config.errors import ConfigError, Place, Problem


def test_a_problem_reads_as_source_line_column_message() -> None:
    assert str(Problem("proxy.ini", 41, 9, "unknown key 'x'")) == "proxy.ini:41:9: unknown key 'x'"


def test_an_error_holds_each_problem_once_sorted_by_position() -> None:
    late, early = Place("a.ini", 10, 1).problem("late"), Place("a.ini", 9, 3).right(2).problem("early")
    error = ConfigError([late, early, late])
    assert error.problems == (early, late)
    assert str(error) == "a.ini:9:5: early\na.ini:10:1: late"


def test_a_file_that_cannot_be_read_is_an_error_at_its_beginning() -> None:
    assert str(ConfigError.unreadable("no.ini", "No such file")) == "no.ini:1:1: cannot be read: no such file"
