"""The cases that wsproxy is known to fail, by test name, each with what it does instead.

Each is an expected failure, and a strict one: a case that passes has to leave this list.
"""

from __future__ import annotations

KNOWN: dict[str, str] = {}
