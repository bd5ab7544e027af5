"""Inputs made of the corpus by a seeded generator: for the bounded run, and for the long one without atheris."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

MAX_BYTES: Final = 4096
"""Longer inputs find nothing that these do not, and cost what ten of them cost."""


def mutated(corpus: list[bytes], tokens: tuple[bytes, ...], seed: int) -> Iterator[bytes]:
    """Inputs without end, the same ones for the same arguments."""
    rng = random.Random(seed)
    while True:
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            _mutate(data, rng, corpus, tokens)
        yield bytes(data[:MAX_BYTES])


def _mutate(data: bytearray, rng: random.Random, corpus: list[bytes], tokens: tuple[bytes, ...]) -> None:
    at = rng.randint(0, len(data))
    match rng.randrange(7):
        case 0:
            data[at:at] = rng.choice(tokens)
        case 1:
            data[at : at + rng.randint(1, 4)] = rng.choice(tokens)
        case 2:
            del data[at : at + rng.choice((1, 1, 2, 8))]
        case 3:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 4:
            end = min(len(data), at + rng.randint(1, 40))
            data[at:at] = data[at:end]
        case 5:
            other = rng.choice(corpus)
            data[at:] = other[rng.randint(0, len(other)) :]
        case _:
            if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
