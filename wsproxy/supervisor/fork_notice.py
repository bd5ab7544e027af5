"""What the fork server says to the parent: a record for each process that it has forked, and for each that has ended.

Knows bytes. It stands alone because the parent reads it, and has no use for what the fork server imports.
"""

from __future__ import annotations

import struct
from typing import Final

NOTICE: Final = struct.Struct("=ii")
"""A process's id, and FORKED or its return code as of `subprocess`; 0 and errno where no process could be forked."""

FORKED: Final = 1 << 16
"""Beyond every return code."""
