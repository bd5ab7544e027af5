"""Kept answers as bytes, for a store outside this process.

Pure. What is read back was written by some proxy, maybe of another version, maybe damaged: what does not fit is no
answer, and never an error beyond ValueError.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final

from wsproxy.cache.freshness import Terms
from wsproxy.cache.store import Pointer
from wsproxy.cache.stored import StoredAnswer

_ANSWER: Final = b"wsA1"
_POINTER: Final = b"wsP1"
"""What a value begins with; another layout gets another number."""
_lengths: Final = struct.Struct(">II")
_START: Final = 4 + _lengths.size


def pack(value: StoredAnswer | Pointer) -> bytes:
    """The bytes of an answer or a pointer."""
    if isinstance(value, Pointer):
        told = {"names": [name.decode("latin-1") for name in value.names], "prefix": value.prefix.decode("latin-1")}
        return _POINTER + json.dumps(told).encode()
    terms = value.terms
    meta: dict[str, Any] = {
        "status": value.status,
        "reason": value.reason.decode("latin-1"),
        "received_at": value.received_at,
        "backend": value.backend,
        "terms": [
            *(terms.lifetime_s, terms.age_s, terms.validates_always, terms.never_stale),
            *(terms.stale_while_s, terms.stale_error_s),
        ],
    }
    about = json.dumps(meta).encode()
    return b"".join((_ANSWER, _lengths.pack(len(about), len(value.fields)), about, value.fields, value.body))


def unpack(data: bytes) -> StoredAnswer | Pointer:
    """The other way. Raises ValueError."""
    try:
        if data.startswith(_POINTER):
            told = json.loads(data[len(_POINTER) :])
            return Pointer(tuple(name.encode("latin-1") for name in told["names"]), told["prefix"].encode("latin-1"))
        if not data.startswith(_ANSWER):
            raise ValueError("neither an answer nor a pointer")
        return _answer(data)
    except (KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise ValueError(f"damaged: {error}") from None


def _answer(data: bytes) -> StoredAnswer:
    meta_size, fields_size = _lengths.unpack_from(data, len(_ANSWER))
    fields_start = _START + meta_size
    body_start = fields_start + fields_size
    told: dict[str, Any] = json.loads(data[_START:fields_start])
    lifetime_s, age_s, validates_always, never_stale, stale_while_s, stale_error_s = told["terms"]
    terms = Terms(
        float(lifetime_s),
        float(age_s),
        bool(validates_always),
        bool(never_stale),
        float(stale_while_s),
        float(stale_error_s),
    )
    fields, reason = data[fields_start:body_start], told["reason"].encode("latin-1")
    received_at, backend = float(told["received_at"]), str(told["backend"])
    return StoredAnswer(int(told["status"]), reason, fields, data[body_start:], terms, received_at, backend)
