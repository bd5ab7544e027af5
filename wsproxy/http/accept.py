"""Which content coding a client is given: Accept-Encoding against what there is (RFC 9110 section 12.5.3).

Pure. Codings are named as Content-Encoding names them; "" stands for none at all, which is always there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

IDENTITY: Final = ""
"""No coding."""
MAX_CODINGS: Final = 16
"""Items of an Accept-Encoding that are looked at; browsers send four."""

_item: Final = re.compile(
    r"[ \t]*+([!#$%&'*+\-.^_`|~0-9a-z]++)[ \t]*+"  # possessive: thousands of spaces are gone through but once
    r"(?:;[ \t]*+q[ \t]*+=[ \t]*+(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*+)?"
).fullmatch
_ALIASES: Final = {"x-gzip": "gzip", "identity": IDENTITY}  # RFC 9110 section 8.4.1.3


def preferred_coding(values: Iterable[bytes], offers: Sequence[str]) -> str:
    """The offered coding that the client likes best, the first of the offers where it does not care; IDENTITY if none.

    values: of the request's Accept-Encoding lines. A client that sends none gets IDENTITY: it may know no coding. So
    does one that accepts nothing at all: better an answer that it does not like than none.
    """
    weights = _weights(b",".join(values))
    if not weights:
        return IDENTITY
    others = weights.get("*", 0.0)
    best = IDENTITY
    best_weight = weights.get(IDENTITY, 0.0)  # below any coding unless the client gives it a weight of its own
    for offer in offers:
        weight = weights.get(offer, others)
        if weight > best_weight or (weight == best_weight > 0 and best == IDENTITY):
            best, best_weight = offer, weight
    return best


def _weights(value: bytes) -> dict[str, float]:
    """Each coding's weight; what is malformed is passed over."""
    weights: dict[str, float] = {}
    for written in value.decode("latin-1").lower().split(",", MAX_CODINGS)[:MAX_CODINGS]:
        if (match := _item(written)) is not None:
            weights[_ALIASES.get(match[1], match[1])] = float(match[2] or 1)
    return weights
