"""Parsers of single values: numbers, durations, sizes, booleans, choices, names, paths and what matches a request.

Pure; knows how a value is written, not which key it belongs to. A parser raises ValueError whose text names the value
and the remedy; the place is the caller's.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from wsproxy.config.model import HeaderMatch

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|)")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_S: Final = 366 * 86400.0  # a year: beyond it a timer means "never", and event loops overflow
_SIZE: Final = re.compile(r"([0-9]+)([kmg]?)", re.IGNORECASE)
_UNIT_BYTES: Final = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_LARGEST_BYTES: Final = 2**63 - 1  # what a Content-Length may say at most
_YES: Final = frozenset({"yes", "true", "on", "1"})
_NO: Final = frozenset({"no", "false", "off", "0"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+")
MOST_PROCESSES: Final = 256
"""More than any machine has cores for: a longer number is a mistake."""
_HOST_PATTERN: Final = re.compile(r"(\*\.)?[a-z0-9_\-]+(\.[a-z0-9_\-]+)*|\[[0-9a-f:.]+\]")


class PartError(ValueError):
    """A value of which one part is wrong; `offset` is where that begins, in characters from the value's first."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Parser:
    """How the value of a key is read.

    shape: how a person writes it, for --help-config.
    parse: text -> value; raises ValueError.
    suffix: the unit that the model's field name ends in ("_s", "_bytes").
    many: the value may have several lines (and none); each line gives a tuple, and the value is all of them in one.
    resolve: (value, directory of the ini file) -> value, for what holds a relative path; raises ValueError.
    """

    shape: str
    parse: Callable[[str], Any]
    suffix: str = ""
    many: bool = False
    resolve: Callable[[Any, str], Any] | None = None

    def __call__(self, text: str, directory: str) -> Any:
        """Parse one line of a value; raises ValueError."""
        value = self.parse(text)
        return value if self.resolve is None else self.resolve(value, directory)


def text(shape: str) -> Parser:
    """Any text."""
    return Parser(shape, str)


def integer(low: int, high: int) -> Parser:
    """A whole number between the two, both included."""

    def parse(written: str) -> int:
        if not (written.isascii() and written.isdigit()):
            raise ValueError(f"'{written}' is not a whole number ({low} to {high})")
        # Nineteen digits hold every bound; int() of a huge literal raises an error of its own.
        if len(written) > 19 or not low <= int(written) <= high:
            raise ValueError(f"{written} is out of range ({low} to {high})")
        return int(written)

    return Parser(f"{low}..{high}", parse)


def choice(*words: str) -> Parser:
    """One of the words, in any case."""

    def parse(written: str) -> str:
        word = written.lower()
        if word not in words:
            raise ValueError(f"'{written}' is not one of {', '.join(words)}")
        return word

    return Parser(" | ".join(words), parse)


def size(low: int, optional: bool = False) -> Parser:
    """Bytes, at least `low`; with `optional`, `0` and `none` mean no limit (None)."""
    examples = "write 64k, 1m, 1g; none for no limit" if optional else "write 64k, 1m, 1g"

    def parse(written: str) -> int | None:
        if optional and written.lower() in {"0", "none"}:
            return None
        match = _SIZE.fullmatch(written)
        if match is None:
            raise ValueError(f"'{written}' is not a size ({examples})")
        value = int(match[1][:20]) * _UNIT_BYTES[match[2].lower()]  # twenty digits are out of range already
        if not low <= value <= _LARGEST_BYTES:
            raise ValueError(f"'{written}' is out of range (at least {low} bytes)")
        return value

    return Parser("size | none" if optional else "size", parse, suffix="_bytes")


def _duration(written: str) -> float:
    match = _DURATION.fullmatch(written)
    if match is None:
        raise ValueError(f"'{written}' is not a duration (write 500ms, 3s, 5m)")
    seconds = float(match[1]) * _UNIT_S[match[2]]
    if not 0 < seconds <= _LONGEST_S:
        raise ValueError(f"'{written}' is out of range (more than 0, at most 366d)")
    return seconds


def _boolean(written: str) -> bool:
    word = written.lower()
    if word not in _YES | _NO:
        raise ValueError(f"'{written}' is neither yes nor no")
    return word in _YES


def _name(written: str) -> str:
    if _NAME.fullmatch(written) is None:
        raise ValueError(f"'{written}' is not a name (letters, digits, '_', '-' and '.')")
    return written


def _section_name(written: str) -> str:
    head, colon, rest = written.partition(":")
    return f"{_name(head)}{colon}{_name(rest) if colon else ''}"


def _server_name(written: str) -> str:
    if not (written.isascii() and written.isprintable()) or re.search(r"[\s\"\\]", written):
        raise ValueError(f"'{written}' is not a server's name (visible ASCII without quotes and backslashes)")
    return written


def _processes(written: str) -> int:
    if written == "auto":
        return 0
    if not (written.isascii() and written.isdigit() and len(written) <= 4 and 1 <= int(written) <= MOST_PROCESSES):
        raise ValueError(f"'{written}' is not a number of processes (1 to {MOST_PROCESSES}, or auto)")
    return int(written)


def url_path(written: str) -> str:
    """A path as a request target holds it: from `/`, visible ASCII, no query, no fragment, no dot segments."""
    if "?" in written or "#" in written:
        raise ValueError(f"'{written}' is more than a path ('?' and '#' cannot stand in it)")
    if not written.startswith("/"):
        raise ValueError(f"'{written}' is not a path (write '/{written}')")
    if not (written.isascii() and written.isprintable()) or " " in written:
        raise ValueError(f"'{written}' holds characters that a path must percent-encode (write %20 for a space)")
    if {".", ".."} & set(written.split("/")):
        raise ValueError(f"'{written}' holds a '.' or '..' segment, which no request path keeps")
    return written


def _probe_target(written: str) -> str:
    path, _, query = written.partition("?")
    url_path(path)
    if not (query.isascii() and query.isprintable()) or " " in query or "#" in query:
        raise ValueError(f"'{written}' holds a space or characters beyond ASCII (percent-encode them)")
    return written


def _host_pattern(written: str) -> str:
    host = written.lower()
    if "*" in host.removeprefix("*."):
        raise ValueError(f"'{written}': '*.' may stand in front only (write *.example.org)")
    if _HOST_PATTERN.fullmatch(host) is None:
        raise ValueError(f"'{written}' is not a host name (write chat.example.org or *.example.org, without a port)")
    return host


def _host_patterns(written: str) -> tuple[str, ...]:
    return tuple(_host_pattern(word) for word in written.replace(",", " ").split())


def _methods(written: str) -> tuple[str, ...]:
    methods = tuple(word.upper() for word in written.replace(",", " ").split())
    for method in methods:
        if _TOKEN.fullmatch(method) is None:
            raise ValueError(f"'{method}' is not a method (write GET, POST)")
        if method == "CONNECT":
            raise ValueError("CONNECT is never served (a reverse proxy opens no tunnels)")
    return methods


def _header_match(written: str) -> tuple[HeaderMatch]:
    name, colon, value = (part.strip() for part in written.partition(":"))
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"'{written}' is not a header (write 'Name: value', or 'Name' for any value)")
    if colon and not value:
        raise ValueError(f"'{written}' has no value after ':' (write 'Name: value', or 'Name' for any value)")
    return (HeaderMatch(name.lower(), value if colon else None),)


def _variable(written: str) -> tuple[tuple[str, str]]:
    name, equals, value = written.partition("=")
    if not equals or _VARIABLE.fullmatch(name.strip()) is None:
        raise ValueError(f"'{written}' is not an environment variable (write NAME=value, one a line)")
    return ((name.strip(), value.strip()),)


def _words(written: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(written))
    except ValueError as error:
        message = str(error).lower()
        raise ValueError(f"{message} in '{written}' (' #' outside double quotes begins a comment)") from None


def joined(path: str, directory: str) -> str:
    """The path, relative to the ini file's directory unless it is absolute."""
    return posixpath.normpath(posixpath.join(directory, path))


def _one_path(written: str) -> tuple[str]:
    return (written,)


def _joined_each(paths: tuple[str, ...], directory: str) -> tuple[str, ...]:
    return tuple(joined(path, directory) for path in paths)


def _log_target(written: str, directory: str) -> str:
    return written if written in {"stdout", "off"} else joined(written, directory)


DURATION: Final = Parser("duration", _duration, suffix="_s")
BOOLEAN: Final = Parser("yes | no", _boolean)
PROCESSES: Final = Parser("N | auto", _processes)
SECTION_NAME: Final = Parser("NAME", _section_name)
SERVER_NAME: Final = Parser("name", _server_name)
URL_PATH: Final = Parser("/path", url_path)
PROBE_TARGET: Final = Parser("/path", _probe_target)
HOST_PATTERNS: Final = Parser("hosts, each name | *.domain", _host_patterns, many=True)
METHODS: Final = Parser("methods", _methods, many=True)
HEADER_MATCHES: Final = Parser("Name: value, one a line", _header_match, many=True)
VARIABLES: Final = Parser("NAME=value, one a line", _variable, many=True)
WORDS: Final = Parser("words, as a shell splits them", _words, many=True)
PATH: Final = Parser("path", str, resolve=joined)
PATHS: Final = Parser("path, one a line", _one_path, many=True, resolve=_joined_each)
LOG_TARGET: Final = Parser("stdout | off | path", str, resolve=_log_target)
