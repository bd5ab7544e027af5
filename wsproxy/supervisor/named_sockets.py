"""Listening sockets on their way from one process to another, each with the name of its section beside it.

Knows names and sockets; how they travel is the channel's business, and what is done without one the receiver's.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from wsproxy.net.systemd import InheritedSockets


def laid_out(listeners: Mapping[str, list[socket.socket]]) -> tuple[list[str], list[socket.socket]]:
    """The sockets of all sections in a row, with a name for each: what `NamedSockets.give` takes."""
    names = [name for name, sockets in listeners.items() for _ in sockets]
    return names, [each for sockets in listeners.values() for each in sockets]


class NamedSockets(InheritedSockets):
    """Those that came from another process. by_name: what nobody has taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, list[socket.socket]] = {}

    def give(self, names: Sequence[str], sockets: Sequence[socket.socket]) -> None:
        """These came, in place of any before. Raises ValueError where there is not a name for each socket."""
        found: dict[str, list[socket.socket]] = {}
        for name, listening in zip(names, sockets, strict=True):
            found.setdefault(name, []).append(listening)
        self.by_name = found

    def take(self, name: str, host: str, port: int) -> list[socket.socket]:  # noqa: ARG002 - others go by the place
        """Those of the section of this name; none where none came."""
        return self.by_name.pop(name, [])

    def close(self) -> list[str]:
        """Close those that no section wants: whoever gave them has them too. None was kept for us."""
        for sockets in self.by_name.values():
            for unused in sockets:
                unused.close()
        self.by_name = {}
        return []
