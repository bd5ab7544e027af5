"""What the kernel does for a process that asks it to (prctl).

Where it is another kernel, nothing happens.
"""

from __future__ import annotations

import ctypes
import signal
from contextlib import suppress
from typing import Final

from wsproxy.managed.guard import PR_SET_PDEATHSIG

PR_SET_NAME: Final = 15  # <linux/prctl.h>


def go_on_without_parent() -> None:
    """Have the kernel wake a process that was stopped, or it would keep the listeners for ever."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGCONT)


def call_this_process(name: str) -> None:
    """Give it a name for `ps` and `top`, of at most 15 bytes: all are started by one command line."""
    _prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()))


def _prctl(option: int, value: object) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)
