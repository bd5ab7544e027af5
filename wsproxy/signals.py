"""Assembly: the signals of a process: which of them stop it, and what the others have done.

Knows signals and what an application can be told; how it stops or reloads is its own business.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator
from typing import Final, Protocol

from wsproxy.config.diff import Plan
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import Config
from wsproxy.reload import ReloadError

OBEYED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Those that are looked at; what others do is the system's to say."""

_logger = logging.getLogger("wsproxy")


class Stop(Protocol):
    """Who says when to stop."""

    async def wait(self, reloads: bool = False) -> None:
        """Return when it is time to; `reloads`: whether a reload may be carried out meanwhile."""
        ...


class Signalled(Protocol):
    """Who does what signals ask for."""

    @property
    def config(self) -> Config:
        """What is in force."""
        ...

    async def reload(self) -> Plan:
        """Take over the configuration as it is now. Raises ConfigError, ReloadError."""
        ...

    def reopen_logs(self) -> None:
        """Write to new files."""
        ...

    def upgrade(self) -> None:
        """Start a successor, or say why not."""
        ...


class StopSignals:
    """The signals of one process: those that stop it are waited for, others are obeyed in between."""

    def __init__(self, signals: AsyncIterator[signal.Signals], signalled: Signalled) -> None:
        self._signals = signals
        self._signalled = signalled
        self._reload_is_due = False

    async def wait(self, reloads: bool = False) -> None:
        """Return at the next SIGTERM or SIGINT. A reload that may not be carried out yet is not forgotten."""
        if reloads and self._reload_is_due:
            await self._reload()
        async for number in self._signals:
            if number == signal.SIGUSR1:
                self._signalled.reopen_logs()
            elif number == signal.SIGUSR2:
                self._signalled.upgrade()
            elif number != signal.SIGHUP:
                return
            elif reloads:
                await self._reload()
            else:
                self._reload_is_due = True

    async def _reload(self) -> None:
        self._reload_is_due = False
        _logger.info("reloading %s", self._signalled.config.source)
        try:
            plan = await self._signalled.reload()
        except (ConfigError, ReloadError) as error:
            for line in str(error).splitlines():
                _logger.error("reload refused: %s", line)
        except Exception:  # a bug in here must not end the traffic
            _logger.exception("internal error in a reload: it may be in force in part, restart soon")
        else:
            _logger.info("reloaded%s", ": nothing has changed" if plan.is_empty else "")
