"""Runs the cases against any peer: `python -m tests.conformance [--peer nginx] [CASE...]`.

Prints the failures and the totals.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

from tests.conformance.peers import PEERS
from tests.conformance.suite import CASES, run_all


def main() -> None:
    """Print the failures, then the totals of each topic."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--peer", choices=PEERS, default="wsproxy")
    parser.add_argument("words", nargs="*", help="run only cases whose name holds one of these")
    options = parser.parse_args()
    cases = [case for case in CASES if not options.words or any(word in case.name for word in options.words)]
    complaints, log = asyncio.run(run_all(options.peer, cases))
    passed, all_ = Counter[str](), Counter[str]()
    for case in cases:
        for topic in (case.name.partition("/")[0], "strict" if case.strict else "core"):
            all_[topic] += 1
            passed[topic] += not complaints[case.name]
        if complaints[case.name]:
            print(f"FAILED {case.name}  ({case.why})")
            print(*(f"    {complaint}" for complaint in complaints[case.name]), sep="\n")
    print(f"{options.peer}:", ", ".join(f"{topic} {passed[topic]}/{all_[topic]}" for topic in all_))
    if "Traceback" in log:
        print("its log holds a traceback:", log[log.index("Traceback") :][:2000])


if __name__ == "__main__":
    main()
