"""Which event loop there is."""

from __future__ import annotations


def has_uvloop() -> bool:
    """uvloop halves the cost of a request; where it has no wheel, asyncio's own loop does the same work."""
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True
