"""The application of one of several data plane processes: the whole proxy but for what runs once, in the parent.

Its groups follow the parent's words, and its listeners take turns on the parent's sockets. What concerns the proxy as a
whole is for the parent to log.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable

from wsproxy.app import Application
from wsproxy.config.group_settings import GroupSettings
from wsproxy.config.model import Config
from wsproxy.config.share import Share, share_config
from wsproxy.limiting.together import CommonCounts
from wsproxy.net.listen import ListenError
from wsproxy.net.turns import AcceptTurn
from wsproxy.supervisor.following import FollowingGroup, GroupState
from wsproxy.supervisor.named_sockets import NamedSockets

_logger = logging.getLogger("wsproxy.process")


class GivenSockets(NamedSockets):
    """The listening sockets that came from the parent; none is opened here."""

    def take(self, name: str, host: str, port: int) -> list[socket.socket]:
        """Those of a section. Raises ListenError when none came."""
        if name not in self.by_name:
            raise ListenError(f"no socket came for {host}:{port}")
        return super().take(name, host, port)


class DataPlane(Application):
    """The application of one of several processes. counts: what it counts together with the others."""

    def __init__(
        self, config: Config, share: Share, sticky_secret: bytes, turn: AcceptTurn, counts: CommonCounts
    ) -> None:
        self.share = share
        self.counts = counts
        self.states: tuple[GroupState, ...] = ()
        self.given = GivenSockets()
        super().__init__(share_config(config, share), inherited=self.given, sticky_secret=sticky_secret)
        self._turn = self.listeners.turn = turn
        self.routes.caching.tell_siblings()
        self.routes.guards.count_together(counts)

    def make_group(self, settings: GroupSettings) -> FollowingGroup:
        """A group that the parent's words are followed in."""
        return FollowingGroup(settings, self.deadlines, self.rng)

    async def come_up(self) -> None:
        """Take over what the parent knows of the servers."""
        await self.follow(self.states)

    async def follow(self, states: tuple[GroupState, ...]) -> None:
        """Have each group become what the parent says."""
        self.states = states
        for state in states:
            running = self.groups.get(state.name)
            if isinstance(running, FollowingGroup):
                await running.follow(state, self.share)

    async def say_goodbye(self, next_signal: Callable[[], Awaitable[object]]) -> None:  # noqa: ARG002
        """Be no longer ready; the parent has waited for `drain_delay`."""
        self.ready = False
        self._turn.close()

    def say(self, message: str, *arguments: object) -> None:
        """The parent speaks for all processes."""
        _logger.debug(message, *arguments)

    def warn(self, message: str, *arguments: object) -> None:
        """The parent speaks for all processes."""
        _logger.debug(message, *arguments)
