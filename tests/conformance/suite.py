"""All cases, and one run of them against one peer.

Cases run side by side, each on a lane of its own, so a run takes little longer than its slowest cases.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.conformance import (
    answers,
    chunked_bodies,
    connections,
    framing,
    gateway,
    hop_by_hop,
    interim,
    reuse,
    targets,
    upstreams,
)
from tests.conformance.bench import Lane, run_case
from tests.conformance.cases import Case
from tests.conformance.judge import judge
from tests.conformance.peers import open_lanes, running

CASES: Final[tuple[Case, ...]] = (
    *framing.CASES,
    *chunked_bodies.CASES,
    *targets.CASES,
    *hop_by_hop.CASES,
    *interim.CASES,
    *connections.CASES,
    *answers.CASES,
    *upstreams.CASES,
    *reuse.CASES,
    *gateway.CASES,
)

AT_A_TIME: Final = 24
"""Cases in progress: enough that those which wait for a timeout cost nothing, few enough that none waits long."""


async def run_all(peer: str, cases: Sequence[Case]) -> tuple[dict[str, list[str]], str]:
    """The complaints for each case, by name, and the peer's log."""
    lanes = open_lanes([case.upstream_listens for case in cases])
    complaints: dict[str, list[str]] = {}
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(case: Case, lane: Lane) -> None:
        async with places:
            complaints[case.name] = judge(case, await run_case(case, lane))

    try:
        with tempfile.TemporaryDirectory() as directory:
            async with running(peer, lanes, Path(directory)) as log:
                await asyncio.gather(*(one(case, lane) for case, lane in zip(cases, lanes, strict=True)))
                return complaints, log.read_text(errors="replace")
    finally:
        for lane in lanes:
            if lane.listener is not None:
                lane.listener.close()
