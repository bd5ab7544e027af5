"""What the parent has its processes be: the same text, sockets, secret and servers for every one of them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

import wsproxy
from wsproxy.limiting.places import Place
from wsproxy.supervisor.channel import Body
from wsproxy.supervisor.following import GroupState
from wsproxy.supervisor.named_sockets import laid_out
from wsproxy.supervisor.plain import plain
from wsproxy.supervisor.source import Source


@dataclass(frozen=True, slots=True)
class Orders:
    """All that a process needs to know. listeners: the open sockets of each frontend. places: of rate limits."""

    source: Source
    count: int
    secret: bytes
    listeners: dict[str, list[socket.socket]]
    states: tuple[GroupState, ...]
    places: tuple[Place, ...] = ()

    def start(self, index: int) -> Body:
        """For a process that has just been started."""
        return {"version": wsproxy.__version__, "secret": self.secret.hex(), **self.prepare(index), **self.follow()}

    def prepare(self, index: int) -> Body:
        """For one that is to make ready for another configuration."""
        names, _ = laid_out(self.listeners)
        return {
            "source": plain(self.source),
            "index": index,
            "count": self.count,
            "listeners": names,
            "places": plain(self.places),
        }

    def follow(self) -> Body:
        """For one that is to know which servers there are."""
        return {"states": plain(self.states)}

    @property
    def sockets(self) -> list[socket.socket]:
        """Those that go with `start` and `prepare`, in the order of the names there."""
        _, sockets = laid_out(self.listeners)
        return sockets
