"""Parsers of what says how a server is chosen: the algorithm, and the part of a request that it goes by.

Pure; the parsers of single values that every section has in common are in `values`.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.config.model import RequestKey
from wsproxy.config.values import Parser

ALGORITHMS: Final = (
    "random",
    "round-robin",
    "weighted-round-robin",
    "least-connections",
    "two-choices",
    "least-time",
    "ip-hash",
    "hash",
)
WITHOUT_WEIGHTS: Final = frozenset({"random", "round-robin"})
"""The algorithms that give each server the same share."""
MEASURING: Final = "least-time"
"""The algorithm for which the time of each answer has to be measured."""
_OF_CONNECTIONS: Final = tuple(word for word in ALGORITHMS if word not in {"hash", MEASURING})
"""Those that need no request."""
_OTHER_NAMES: Final = {
    "least-conn": "least-connections",
    "latency": MEASURING,
    "ewma": MEASURING,
    "peak-ewma": MEASURING,
}

_token: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch  # RFC 9110 section 5.6.2, RFC 6265 section 4.1.1
_parameter: Final = re.compile(r"[!-~]+").fullmatch
_COOKIE_LONGEST: Final = 64
_SECRET_SHORTEST: Final = 16  # characters: what is shorter can be found by trying


def _algorithm(written: str) -> str:
    word = _OTHER_NAMES.get(written.lower(), written.lower())
    if word not in ALGORITHMS:
        raise ValueError(f"'{written}' is not one of {', '.join(ALGORITHMS)}")
    return word


def _connection_algorithm(written: str) -> str:
    word = _algorithm(written)
    if word not in _OF_CONNECTIONS:
        raise ValueError(f"'{written}' needs requests to look at (write one of {', '.join(_OF_CONNECTIONS)})")
    return word


def _request_key(written: str, shapes: str) -> RequestKey:
    """Any key there is; raises ValueError, which names the `shapes` that there are."""
    source, colon, name = (part.strip() for part in written.partition(":"))
    match source.lower():
        case "ip" | "path" | "route" as whole if not colon:
            return RequestKey(whole)
        case "header" if _token(name):
            return RequestKey("header", name.lower())
        case "cookie" if _token(name) and len(name) <= _COOKIE_LONGEST:
            return RequestKey("cookie", name)
        case "cookie" if not colon:
            return RequestKey("cookie")
        case "query" if _parameter(name) and not set(name) & set("&=#"):
            return RequestKey("query", name)
    raise ValueError(f"'{written}' is not a part of a request (write {shapes})")


_LIMIT_SHAPES: Final = "ip, header:NAME, cookie:NAME, query:NAME, path or route"
_HASH_SHAPES: Final = "header:NAME, cookie:NAME, query:NAME, path or ip"
_STICKY_SHAPES: Final = "cookie, cookie:NAME, header:NAME, query:NAME or ip"


def _hash_key(written: str) -> RequestKey:
    key = _named_key(written, _HASH_SHAPES)
    if key.source == "route":
        raise ValueError(f"'{written}' tells no request from another (write {_HASH_SHAPES})")
    return key


def _limit_key(written: str) -> tuple[RequestKey]:
    return (_named_key(written, _LIMIT_SHAPES),)


def _named_key(written: str, shapes: str) -> RequestKey:
    key = _request_key(written, shapes)
    if key == RequestKey("cookie"):
        raise ValueError(f"'{written}' does not say which cookie (write cookie:NAME)")
    return key


def _sticky(written: str) -> RequestKey:
    key = _request_key(written, _STICKY_SHAPES)
    if key.source in ("path", "route"):
        raise ValueError(f"'{written}' tells no client from another (write {_STICKY_SHAPES})")
    return key


def _secret(written: str) -> str:
    if len(written) < _SECRET_SHORTEST:
        raise ValueError(f"the secret is too short ({_SECRET_SHORTEST} characters at least)")
    return written


ALGORITHM: Final = Parser(" | ".join(ALGORITHMS), _algorithm)
CONNECTION_ALGORITHM: Final = Parser(" | ".join(_OF_CONNECTIONS), _connection_algorithm)
HASH_KEY: Final = Parser("header:NAME | cookie:NAME | query:NAME | path | ip", _hash_key)
LIMIT_KEYS: Final = Parser("ip | header:NAME | cookie:NAME | query:NAME | path | route", _limit_key, many=True)
STICKY: Final = Parser("cookie[:NAME] | header:NAME | query:NAME | ip", _sticky)
STICKY_SECRET: Final = Parser("text", _secret)
