"""Every case against the product: one process of it, a lane for each case, all cases side by side.

The tables are in the modules beside this one. `python -m tests.conformance --peer nginx` runs them against others.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.conformance.cases import Case
from tests.conformance.suite import CASES, run_all

KNOWN: Final[dict[str, str]] = {}
"""Cases that the product does not pass yet, and why. Each of them must fail: who mends one takes it out of here."""

Results = tuple[dict[str, list[str]], str]


def _param(case: Case) -> object:
    marks = [pytest.mark.xfail(strict=True, reason=KNOWN[case.name])] if case.name in KNOWN else []
    return pytest.param(case, id=case.name, marks=marks)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> Results:
    """The complaints about each case that was asked for, and the product's log."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = {item.callspec.id for item in items if hasattr(item, "callspec")}
    return asyncio.run(run_all("wsproxy", [case for case in CASES if case.name in wanted]))


@pytest.mark.parametrize("case", [_param(case) for case in CASES])
def test_case(case: Case, results: Results) -> None:
    assert results[0][case.name] == [], case.why


def test_nothing_unforeseen_is_in_the_log(results: Results) -> None:
    assert "Traceback" not in results[1]


def test_names_are_unique_and_known_failures_exist() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert set(KNOWN) <= set(names)
