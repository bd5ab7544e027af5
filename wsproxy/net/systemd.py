"""The service manager's side of a process: what it is told (sd_notify), and the sockets that it has opened for us.

Knows the protocol of systemd, without its library: datagrams to $NOTIFY_SOCKET, and descriptors from 3 on that
$LISTEN_FDS counts. Without these variables all of it does nothing.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

import anyio

FIRST_DESCRIPTOR: Final = 3
"""Where inherited sockets begin: behind standard input, output and error (sd_listen_fds(3))."""

STORED: Final = "stored-"
"""How the names of sockets begin that the service manager keeps: no frontend is called so."""

_VARIABLES: Final = (
    *("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE"),
    *("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"),
)
_EVERY_ADDRESS: Final = frozenset({"", "*", "0.0.0.0", "::"})

_logger = logging.getLogger("wsproxy")


class ServiceManager:
    """Tells the service manager how we are. watchdog_s: how often it wants to hear so, None if never.

    for_successor: the variables of the process that is to take our place. keeps: how many of our sockets it would hold
    over a restart, so that clients wait in their backlog meanwhile (FileDescriptorStoreMax=, systemd from 254 on).
    """

    def __init__(self, address: str = "", watchdog_s: float | None = None, keeps: int = 0) -> None:
        self.for_successor = {name: value for name, value in (("NOTIFY_SOCKET", address),) if value}
        if watchdog_s is not None:
            self.for_successor["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        if keeps:
            self.for_successor["FDSTORE"] = str(keeps)
        self._keeps = keeps
        self._kept: set[str] = set()
        self._unwanted: set[str] = set()
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> ServiceManager:
        """As the variables say, which are taken out: no child of ours is to speak in our name."""
        told = {name: environment.pop(name, "") for name in _VARIABLES[:4]}
        period = told["WATCHDOG_USEC"]
        is_meant = told["WATCHDOG_PID"] in ("", str(os.getpid()))
        watchdog_s = int(period) / 1e6 if is_meant and period.isdecimal() and int(period) else None
        keeps = int(told["FDSTORE"]) if told["FDSTORE"].isdecimal() else 0
        return cls(told["NOTIFY_SOCKET"], watchdog_s, keeps)

    def ready(self, status: str, listening: Iterable[socket.socket] = ()) -> None:
        """Started, or done with a reload; these are the sockets that clients come in on now."""
        if self._keeps:
            self._have_kept({stored_name(each): each for each in listening})
        self._send("READY=1", f"STATUS={status}")

    def _have_kept(self, listening: Mapping[str, socket.socket]) -> None:
        """A restart finds them among the inherited ones, by their address; those that are ours no more are let go."""
        names = list(listening)[: self._keeps]
        for name in (self._kept | self._unwanted).difference(names):
            self._send("FDSTOREREMOVE=1", f"FDNAME={name}")
        self._unwanted.clear()
        for name in names:
            if name not in self._kept:
                self._send("FDSTORE=1", f"FDNAME={name}", sockets=[listening[name]])
        self._kept = set(names)

    def forget(self, names: Iterable[str]) -> None:
        """Sockets of these names were kept for us, or who was before us, in vain: they are let go once we serve."""
        self._unwanted.update(name for name in names if name.startswith(STORED))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time is what the manager tells this one from an older one by."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def replaced(self, pid: int) -> None:
        """Another process is the service from now on."""
        self._send(f"MAINPID={pid}")

    def stopping(self, status: str) -> None:
        """The end has begun."""
        self._send("STOPPING=1", f"STATUS={status}")

    async def run(self) -> None:
        """Feed the watchdog from the event loop, twice in each period: a loop that hangs is not fed, and restarted."""
        if self.watchdog_s is None or not self._address:
            return
        while True:
            self._send("WATCHDOG=1")
            await anyio.sleep(self.watchdog_s / 2)

    def _send(self, *assignments: str, sockets: Sequence[socket.socket] = ()) -> None:
        if not self._address:
            return
        lines = (line.replace("\n", " ") for line in assignments)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.connect(self._address)
                socket.send_fds(out, ["\n".join(lines).encode()], [each.fileno() for each in sockets])
        except OSError as error:  # nobody is served worse for it
            _logger.warning("the service manager cannot be told %s: %s", assignments[0], error.strerror or error)


class InheritedSockets:
    """Listening sockets that were opened before us, each with its name, until a frontend takes them.

    are_in_use: whether another proxy accepts on them until we serve.
    """

    are_in_use = False

    def __init__(self, sockets: list[tuple[str, socket.socket]] | None = None) -> None:
        self._sockets = sockets or []

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], first: int = FIRST_DESCRIPTOR) -> InheritedSockets:
        """Those that the variables give to this process, as listeners for TCP. The variables are taken out."""
        told = {name: environment.pop(name, "") for name in _VARIABLES[4:]}
        if told["LISTEN_PID"] != str(os.getpid()) or not told["LISTEN_FDS"].isdecimal():
            return cls()
        names = told["LISTEN_FDNAMES"].split(":")
        count = int(told["LISTEN_FDS"])
        names += [""] * (count - len(names))
        found = []
        for descriptor, name in zip(range(first, first + count), names, strict=False):
            inherited = _listener(descriptor)
            if inherited is None:
                _logger.warning("inherited descriptor %d (%s) is no TCP listener: not used", descriptor, name)
            else:
                found.append((name, inherited))
        return cls(found)

    def take(self, name: str, host: str, port: int) -> list[socket.socket]:
        """Those for a frontend: named as it is (`[frontend:web]`: `web`), else bound to its host and port."""
        name = name.partition(":")[2] or name
        chosen = [item for item in self._sockets if item[0] == name]
        chosen = chosen or [item for item in self._sockets if port and is_bound(item[1], host, port)]
        self._sockets = [item for item in self._sockets if item not in chosen]
        return [taken for _, taken in chosen]

    def close(self) -> list[str]:
        """Close what nobody has taken, as clients would wait in its backlog for ever; return the names."""
        names = [name for name, _ in self._sockets]
        for name, unused in self._sockets:
            shown = name or "without a name"
            _logger.warning("no frontend for the inherited socket %s at %s: closed", shown, _where(unused))
            unused.close()
        self._sockets = []
        return names


def _listener(descriptor: int) -> socket.socket | None:
    with suppress(OSError):
        inherited = socket.socket(fileno=descriptor)
        if (
            inherited.family in (socket.AF_INET, socket.AF_INET6)
            and inherited.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
            and inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            inherited.set_inheritable(False)
            inherited.setblocking(False)
            return inherited
        inherited.detach()
    return None


def is_bound(listening: socket.socket, host: str, port: int) -> bool:
    """Whether a listening socket is what this host and port stand for."""
    own_host, own_port = listening.getsockname()[:2]
    if own_port != port:
        return False
    if host in _EVERY_ADDRESS:
        return own_host in _EVERY_ADDRESS
    if host == "localhost":
        return ip_address(own_host).is_loopback
    return bool(own_host == host)


def stored_name(listening: socket.socket) -> str:
    """What the service manager calls it, where a colon cannot stand (sd_pid_notify_with_fds(3))."""
    return STORED + _where(listening).replace(":", ".")


def _where(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{host}:{port}"
