"""Assembly: the signals of a process: which of them stop it, and what the others have the application do.

Knows signals and what an application can be told; how it stops or reloads is its own business.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Protocol

from wsproxy.config.errors import ConfigError
from wsproxy.reload import ReloadError

if TYPE_CHECKING:
    from wsproxy.app import Application

OBEYED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Those that are looked at; what others do is the system's to say."""

_logger = logging.getLogger("wsproxy")


class Stop(Protocol):
    """Who says when to stop."""

    async def wait(self, reloads: bool = False) -> None:
        """Return when it is time to; `reloads`: whether a reload may be carried out meanwhile."""
        ...


class StopSignals:
    """The signals of one process: those that stop it are waited for, others are obeyed in between."""

    def __init__(self, signals: AsyncIterator[signal.Signals], app: Application) -> None:
        self._signals = signals
        self._app = app
        self._reload_is_due = False

    async def wait(self, reloads: bool = False) -> None:
        """Return at the next SIGTERM or SIGINT. A reload that may not be carried out yet is not forgotten."""
        if reloads and self._reload_is_due:
            await self._reload()
        async for number in self._signals:
            if number == signal.SIGUSR1:
                self._app.reopen_logs()
            elif number == signal.SIGUSR2:
                if self._app.handover is None or not self._app.ready:
                    _logger.warning("SIGUSR2: no successor can be started now")
                else:
                    self._app.handover.upgrade()
            elif number != signal.SIGHUP:
                return
            elif reloads:
                await self._reload()
            else:
                self._reload_is_due = True

    async def _reload(self) -> None:
        self._reload_is_due = False
        _logger.info("reloading %s", self._app.config.source)
        try:
            plan = await self._app.reload()
        except (ConfigError, ReloadError) as error:
            for line in str(error).splitlines():
                _logger.error("reload refused: %s", line)
        except Exception:  # a bug in here must not end the traffic
            _logger.exception("internal error in a reload: it may be in force in part, restart soon")
        else:
            _logger.info("reloaded%s", ": nothing has changed" if plan.is_empty else "")
