"""How a server is chosen, as a person writes it."""

from __future__ import annotations

import re

import pytest

from wsproxy.config.choosing import ALGORITHM, ALGORITHMS, HASH_KEY, STICKY, STICKY_SECRET, WITHOUT_WEIGHTS
from wsproxy.config.model import RequestKey
from wsproxy.config.values import Parser


@pytest.mark.parametrize(
    ("parser", "written", "value"),
    [
        (ALGORITHM, "Two-Choices", "two-choices"),
        (ALGORITHM, "least-conn", "least-connections"),
        (HASH_KEY, "path", RequestKey("path")),
        (HASH_KEY, "IP", RequestKey("ip")),
        (HASH_KEY, "cookie:Sid", RequestKey("cookie", "Sid")),
        (HASH_KEY, "header: X-Room", RequestKey("header", "x-room")),
        (HASH_KEY, "query:room[id]", RequestKey("query", "room[id]")),
        (STICKY, "cookie", RequestKey("cookie")),
        (STICKY, "cookie:sid", RequestKey("cookie", "sid")),
        (STICKY, "ip", RequestKey("ip")),
        (STICKY_SECRET, "correct horse battery", "correct horse battery"),
    ],
)
def test_what_is_meant(parser: Parser, written: str, value: object) -> None:
    assert parser(written, "/") == value


_HASH = "is not a part of a request (write header:NAME, cookie:NAME, query:NAME, path or ip)"
_STICKY = "cookie, cookie:NAME, header:NAME, query:NAME or ip"


@pytest.mark.parametrize(
    ("parser", "written", "message"),
    [
        (ALGORITHM, "fair", f"'fair' is not one of {', '.join(ALGORITHMS)}"),
        (HASH_KEY, "url", f"'url' {_HASH}"),
        (HASH_KEY, "path:/a", f"'path:/a' {_HASH}"),
        (HASH_KEY, "header", f"'header' {_HASH}"),
        (HASH_KEY, "header:", f"'header:' {_HASH}"),
        (HASH_KEY, "header:X Y", f"'header:X Y' {_HASH}"),
        (HASH_KEY, "cookie:a=b", f"'cookie:a=b' {_HASH}"),
        (HASH_KEY, "cookie:", f"'cookie:' {_HASH}"),
        (HASH_KEY, "cookie:" + "a" * 65, f"'cookie:{'a' * 65}' {_HASH}"),
        (HASH_KEY, "query:a&b", f"'query:a&b' {_HASH}"),
        (HASH_KEY, "cookie", "'cookie' does not say which cookie (write cookie:NAME)"),
        (STICKY, "path", f"'path' tells no client from another (write {_STICKY})"),
        (STICKY, "sid", f"'sid' is not a part of a request (write {_STICKY})"),
        (STICKY_SECRET, "123456789012345", "the secret is too short (16 characters at least)"),
    ],
)
def test_what_is_refused(parser: Parser, written: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parser(written, "/")


def test_those_without_weights_are_algorithms() -> None:
    assert set(ALGORITHMS) > WITHOUT_WEIGHTS
