"""The long run: `python -m tests.fuzz TARGET --minutes 10`, with coverage feedback where atheris is installed.

An input that breaks an invariant is written to the target's corpus, as `found-…`: it is a test from then on. Inputs
that merely reach something new stay in a directory of their own, under the system's temporary one.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.mutations import MAX_BYTES, mutated

if TYPE_CHECKING:
    from tests.fuzz.targets import Target


def main() -> int:
    """Fuzz one target; 0 when nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", help="request, response, chunked, frames, relay, closing, ini, forwarded, …")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--plain", action="store_true", help="mutations without coverage feedback")
    chosen = parser.parse_args()
    atheris = None
    if not chosen.plain:
        try:
            atheris = importlib.import_module("atheris")
        except ImportError:
            sys.stderr.write("atheris is not installed (pip install atheris): mutations without coverage feedback\n")
    if atheris is None:
        return _run_plain(_target(chosen.target, parser), chosen.minutes)
    with atheris.instrument_imports(include=["wsproxy"]):
        target = _target(chosen.target, parser)
    return _run_atheris(atheris, target, chosen.minutes)


def _target(name: str, parser: argparse.ArgumentParser) -> Target:
    from tests.fuzz.targets import TARGETS  # not earlier: atheris looks at modules as they are imported

    if name not in TARGETS:
        parser.error(f"no target {name!r}: {', '.join(TARGETS)}")
    return TARGETS[name]


def _run_plain(target: Target, minutes: float) -> int:
    end_at = time.monotonic() + 60 * minutes
    count = 0
    seed = time.time_ns()
    for data in mutated(target.corpus(), target.tokens, seed):
        if not _passes(target, data):
            return 1
        count += 1
        if time.monotonic() > end_at:
            break
    sys.stdout.write(f"{target.name}: {count} inputs, nothing found (seed {seed})\n")
    return 0


def _run_atheris(atheris: object, target: Target, minutes: float) -> int:
    from tests.fuzz.targets import CORPUS

    own = Path(tempfile.gettempdir()) / "wsproxy-fuzz" / target.name
    own.mkdir(parents=True, exist_ok=True)
    words = own.parent / f"{target.name}.dict"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in target.tokens))

    def check(data: bytes) -> None:
        if not _passes(target, data):
            sys.exit(1)

    options = [f"-max_total_time={int(60 * minutes)}", f"-max_len={MAX_BYTES}", f"-dict={words}", "-timeout=10"]
    options += ["-print_final_stats=1", str(own), str(CORPUS / target.name)]
    atheris.Setup([sys.argv[0], *options], check)  # type: ignore[attr-defined]
    atheris.Fuzz()  # type: ignore[attr-defined] # ends the process
    return 0


def _passes(target: Target, data: bytes) -> bool:
    from tests.fuzz.targets import CORPUS

    try:
        target.check(data)
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        name = "found-" + hashlib.sha256(data).hexdigest()[:12]
        (CORPUS / target.name / name).write_bytes(data)
        traceback.print_exc()
        sys.stderr.write(f"{target.name}: {data!r} written to {CORPUS / target.name / name}\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
