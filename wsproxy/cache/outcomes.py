"""The words for what a cache did with a request, as logs, metrics and Cache-Status have them.

Pure data.
"""

from __future__ import annotations

from typing import Final

HIT: Final = "hit"
MISS: Final = "miss"
EXPIRED: Final = "expired"
REVALIDATED: Final = "revalidated"
STALE: Final = "stale"
COLLAPSED: Final = "collapsed"
BYPASS: Final = "bypass"

MEANINGS: Final = {
    HIT: "answered from the cache",
    MISS: "nothing was kept, or nothing that fits",
    EXPIRED: "what was kept was too old, and the server sent another answer",
    REVALIDATED: "what was kept was too old, and the server said that it still holds",
    STALE: "answered with what was too old, by permission",
    COLLAPSED: "answered with what another request had just fetched",
    BYPASS: "not a matter for the cache",
}
"""Every outcome; the manual is made from it."""
