"""How a process has ended, in words.

Knows return codes as `subprocess` gives them: the exit status, or the signal's number below zero.
"""

from __future__ import annotations

import signal
from contextlib import suppress


def in_words(code: int | None) -> str:
    """How a process has ended, by its return code."""
    if code is None:
        return "how is not known"
    if code >= 0:
        return f"exit status {code}"
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
