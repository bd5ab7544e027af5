"""Values, one at a time: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest

from wsproxy.config import values
from wsproxy.config.model import HeaderMatch
from wsproxy.config.values import Parser

_NUMBER = values.integer(1, 10)
_CHOICE = values.choice("random", "round-robin")
_SIZE = values.size(256)
_LIMIT = values.size(1, optional=True)


@pytest.mark.parametrize(
    ("parser", "written", "value"),
    [
        (values.text("x"), "any", "any"),
        (_NUMBER, "1", 1),
        (_NUMBER, "010", 10),
        (_CHOICE, "Round-Robin", "round-robin"),
        (values.DURATION, "3", 3.0),
        (values.DURATION, "3s", 3.0),
        (values.DURATION, "500ms", 0.5),
        (values.DURATION, "1.5s", 1.5),
        (values.DURATION, "5m", 300.0),
        (values.DURATION, "2h", 7200.0),
        (values.DURATION, "1d", 86400.0),
        (_SIZE, "300", 300),
        (_SIZE, "64k", 65536),
        (_SIZE, "1M", 1024**2),
        (_SIZE, "1g", 1024**3),
        (_LIMIT, "0", None),
        (_LIMIT, "None", None),
        (_LIMIT, "1", 1),
        (values.BOOLEAN, "yes", True),
        (values.BOOLEAN, "True", True),
        (values.BOOLEAN, "ON", True),
        (values.BOOLEAN, "1", True),
        (values.BOOLEAN, "no", False),
        (values.BOOLEAN, "false", False),
        (values.BOOLEAN, "off", False),
        (values.BOOLEAN, "0", False),
        (values.PROCESSES, "1", 1),
        (values.PROCESSES, "256", 256),
        (values.PROCESSES, "auto", 0),
        (values.SECTION_NAME, "api-1", "api-1"),
        (values.SECTION_NAME, "http:api", "http:api"),
        (values.SERVER_NAME, "unix:/run/a.sock", "unix:/run/a.sock"),
        (values.URL_PATH, "/", "/"),
        (values.URL_PATH, "/a%20b/c", "/a%20b/c"),
        (values.PROBE_TARGET, "/health", "/health"),
        (values.PROBE_TARGET, "/health?deep=1", "/health?deep=1"),
        (values.HOST_PATTERNS, "Chat.Example.org", ("chat.example.org",)),
        (values.HOST_PATTERNS, "*.example.org, [::1] b", ("*.example.org", "[::1]", "b")),
        (values.METHODS, "get, POST  m-search", ("GET", "POST", "M-SEARCH")),
        (values.HEADER_MATCHES, "X-Version: 2: b", (HeaderMatch("x-version", "2: b"),)),
        (values.HEADER_MATCHES, "X-Version", (HeaderMatch("x-version"),)),
        (values.VARIABLES, "NAME = a=b", (("NAME", "a=b"),)),
        (values.VARIABLES, "NAME=", (("NAME", ""),)),
        (values.WORDS, "<python> -m app 'a b' \"c d\"", ("<python>", "-m", "app", "a b", "c d")),
        (values.PATH, "/a/./b", "/a/b"),
        (values.PATH, "../b", "/etc/b"),
        (values.LOG_TARGET, "stdout", "stdout"),
        (values.LOG_TARGET, "off", "off"),
        (values.LOG_TARGET, "log/access", "/etc/proxy/log/access"),
    ],
)
def test_a_value(parser: Parser, written: str, value: Any) -> None:
    assert parser(written, "/etc/proxy") == value


_NOT_A_NAME = "(letters, digits, '_', '-' and '.')"
_HEADER = "(write 'Name: value', or 'Name' for any value)"
_VARIABLE = "is not an environment variable (write NAME=value, one a line)"


@pytest.mark.parametrize(
    ("parser", "written", "message"),
    [
        (_NUMBER, "x", "'x' is not a whole number (1 to 10)"),
        (_NUMBER, "-1", "'-1' is not a whole number (1 to 10)"),
        (_NUMBER, "\u0663", "'\u0663' is not a whole number (1 to 10)"),
        (_NUMBER, "0", "0 is out of range (1 to 10)"),
        (_NUMBER, "11", "11 is out of range (1 to 10)"),
        (_NUMBER, "9" * 5000, f"{'9' * 5000} is out of range (1 to 10)"),
        (_CHOICE, "best", "'best' is not one of random, round-robin"),
        (values.DURATION, "abc", "'abc' is not a duration (write 500ms, 3s, 5m)"),
        (values.DURATION, "3 s", "'3 s' is not a duration (write 500ms, 3s, 5m)"),
        (values.DURATION, "-3", "'-3' is not a duration (write 500ms, 3s, 5m)"),
        (values.DURATION, "0", "'0' is out of range (more than 0, at most 366d)"),
        (values.DURATION, "367d", "'367d' is out of range (more than 0, at most 366d)"),
        (values.DURATION, "9" * 400, f"'{'9' * 400}' is out of range (more than 0, at most 366d)"),
        (_SIZE, "64kb", "'64kb' is not a size (write 64k, 1m, 1g)"),
        (_SIZE, "none", "'none' is not a size (write 64k, 1m, 1g)"),
        (_SIZE, "255", "'255' is out of range (at least 256 bytes)"),
        (_LIMIT, "-1", "'-1' is not a size (write 64k, 1m, 1g; none for no limit)"),
        (_LIMIT, "9" * 5000, f"'{'9' * 5000}' is out of range (at least 1 bytes)"),
        (values.BOOLEAN, "maybe", "'maybe' is neither yes nor no"),
        (values.PROCESSES, "0", "'0' is not a number of processes (1 to 256, or auto)"),
        (values.PROCESSES, "257", "'257' is not a number of processes (1 to 256, or auto)"),
        (values.PROCESSES, "all", "'all' is not a number of processes (1 to 256, or auto)"),
        (values.METHODS, "GET;POST", "'GET;POST' is not a method (write GET, POST)"),
        (values.METHODS, "connect", "CONNECT is never served (a reverse proxy opens no tunnels)"),
        (values.SECTION_NAME, "a b", f"'a b' is not a name {_NOT_A_NAME}"),
        (values.SECTION_NAME, "http:", f"'' is not a name {_NOT_A_NAME}"),
        (values.SERVER_NAME, "a b", "'a b' is not a server's name (visible ASCII without quotes and backslashes)"),
        (
            values.SERVER_NAME,
            "\u00e4",
            "'\u00e4' is not a server's name (visible ASCII without quotes and backslashes)",
        ),
        (values.URL_PATH, "api", "'api' is not a path (write '/api')"),
        (values.URL_PATH, "/a b", "'/a b' holds characters that a path must percent-encode (write %20 for a space)"),
        (
            values.URL_PATH,
            "/\u00e4",
            "'/\u00e4' holds characters that a path must percent-encode (write %20 for a space)",
        ),
        (values.URL_PATH, "/a?b", "'/a?b' is more than a path ('?' and '#' cannot stand in it)"),
        (values.URL_PATH, "/a#b", "'/a#b' is more than a path ('?' and '#' cannot stand in it)"),
        (values.URL_PATH, "/a/../b", "'/a/../b' holds a '.' or '..' segment, which no request path keeps"),
        (values.PROBE_TARGET, "health", "'health' is not a path (write '/health')"),
        (values.PROBE_TARGET, "/h?a b", "'/h?a b' holds a space or characters beyond ASCII (percent-encode them)"),
        (values.HOST_PATTERNS, "a.*.org", "'a.*.org': '*.' may stand in front only (write *.example.org)"),
        (
            values.HOST_PATTERNS,
            "a.org:80",
            "'a.org:80' is not a host name (write chat.example.org or *.example.org, without a port)",
        ),
        (values.HEADER_MATCHES, "a b: c", f"'a b: c' is not a header {_HEADER}"),
        (values.HEADER_MATCHES, ": c", f"': c' is not a header {_HEADER}"),
        (values.HEADER_MATCHES, "a:", f"'a:' has no value after ':' {_HEADER}"),
        (values.VARIABLES, "NAME", f"'NAME' {_VARIABLE}"),
        (values.VARIABLES, "1A=b", f"'1A=b' {_VARIABLE}"),
        (values.WORDS, "sh -c 'a", "no closing quotation in 'sh -c 'a' (' #' outside double quotes begins a comment)"),
    ],
)
def test_a_mistake(parser: Parser, written: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        parser(written, "/etc/proxy")
    assert str(caught.value) == message
