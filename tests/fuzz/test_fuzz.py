"""The bounded run: every input of the corpus, and some thousands made of them, the same ones each time."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import CORPUS, TARGETS, Target

INPUTS = 3000
"""A second or two a target."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_the_corpus_and_its_mutations(target: Target) -> None:
    corpus = target.corpus()
    assert len(corpus) >= 5
    for data in corpus:
        target.check(data)
    for data in islice(mutated(corpus, target.tokens, seed=1), INPUTS):
        try:
            target.check(data)
        except Exception as error:  # noqa: BLE001 - shown with the input that did it
            pytest.fail(f"{data!r}: {error!r}")


def test_no_corpus_is_forgotten() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
