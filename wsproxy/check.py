"""What only the files that a configuration names can tell: whether they can be read, and are what they should be.

Assembly, as it does I/O for a checked Config. `--check` and the start ask the same, so that neither meets a surprise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISDIR

from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.group_settings import ServerSettings
from wsproxy.config.model import Config, LogSettings
from wsproxy.config.share import effective_total
from wsproxy.frontend.own_answers import ErrorPageError, read_page
from wsproxy.net.cpus import usable_cpus
from wsproxy.net.tls import TlsError, TlsIdentities, client_context


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for a person: `proxy.ini:7:19: /etc/site.pem cannot be read: permission denied`."""

    place: str
    message: str
    is_fatal: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def check_files(config: Config) -> list[Finding]:
    """Everything wrong or doubtful, in the order of the configuration."""
    servers = (server for group in config.groups for server in group.servers)
    pools = [finding for group in config.groups for server in group.servers for finding in _pool(server, config)]
    trust = dict.fromkeys(finding for server in servers for finding in _trust(server))
    files = (*_identities(config), *_pages(config), *_directories(config), *_access_log(config.log))
    return [*files, *trust, *pools, *_libraries(config), *_cache(config.cache)]


def _libraries(config: Config) -> Iterator[Finding]:
    """What a setting needs that is not installed with the proxy itself."""
    for route in config.routes:
        if route.rate_limit.store == "redis" and find_spec("redis") is None:
            message = "rate_limit_store = redis needs the Redis client (pip install 'wsproxy[redis]')"
            yield Finding(route.rate_limit.place, message)
        if route.sticky_redis is not None and find_spec("redis") is None:
            message = f"[{route.name}]: sticky_redis needs the Redis client (pip install 'wsproxy[redis]')"
            yield Finding(config.source, message)


def _access_log(settings: LogSettings) -> Iterator[Finding]:
    """What would keep the access log from being opened; nothing is made here."""
    if settings.access in ("stdout", "off"):
        return
    path = Path(settings.access)
    if reason := _said(_why_not_written, path):
        yield Finding(settings.access_place, f"{path} cannot be written: {reason}")


def _why_not_written(path: Path) -> str:
    if (mode := _mode(path)) is not None:
        if S_ISDIR(mode):
            return "it is a directory"
        return "" if os.access(path, os.W_OK) else "permission denied"
    if not S_ISDIR(_mode(path.parent) or 0):
        return f"there is no directory {path.parent}"
    return "" if os.access(path.parent, os.W_OK) else f"permission denied in {path.parent}"


def _why_not_served(path: Path) -> str:
    if not S_ISDIR(mode := _mode(path) or 0):
        return "it is not a directory" if mode else "there is no such directory"
    return "" if os.access(path, os.R_OK | os.X_OK) else "permission denied"


def _mode(path: Path) -> int | None:
    """What stands there, None for nothing. Raises OSError where that cannot be seen."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _said(look: Callable[[Path], str], path: Path) -> str:
    """What a look at a path says; that it cannot be looked at (no way in, too long) is an answer too."""
    try:
        return look(path)
    except OSError as error:
        return (error.strerror or str(error)).lower()


def _cache(settings: CacheSettings) -> Iterator[Finding]:
    if settings.store == "redis" and find_spec("redis") is None:
        yield Finding(settings.place, "'store = redis' needs the Redis client (pip install 'wsproxy[redis]')")


def _identities(config: Config) -> Iterator[Finding]:
    for listener in config.listeners:
        for pair in listener.certificates:
            try:
                identities = TlsIdentities([pair])
            except TlsError as error:
                yield Finding(error.place, str(error))
            else:
                for place, warning in identities.warnings:
                    yield Finding(place, warning, is_fatal=False)


def _pages(config: Config) -> Iterator[Finding]:
    for settings in (page for frontend in config.frontends for page in frontend.error_pages):
        try:
            read_page(settings)
        except ErrorPageError as error:
            yield Finding(error.place, str(error))


def _directories(config: Config) -> Iterator[Finding]:
    """What would keep the files of a static route from being found."""
    for settings in (route.static for route in config.routes if route.static is not None):
        path = Path(settings.directory)
        if reason := _said(_why_not_served, path):
            yield Finding(settings.place, f"{path} cannot be served: {reason}")


def _pool(server: ServerSettings, config: Config) -> Iterator[Finding]:
    """A pool that is too small to be shared out."""
    count = config.processes or usable_cpus()
    if server.enabled and "max_workers" in server.pool_keys and server.max_workers < count:
        total = effective_total(server.max_workers, count)
        message = f"max_workers = {server.max_workers} of {server.name} is below processes = {count}"
        yield Finding(config.source, f"{message}: each has one at least, so it is {total} in total", is_fatal=False)


def _trust(server: ServerSettings) -> Iterator[Finding]:
    address = server.address
    if not address.tls:
        return
    if not address.tls_verify:
        yield Finding(server.tls_place, f"{address}: anybody may pose as this server (tls_verify = no)", is_fatal=False)
        return
    try:
        client_context(True, address.tls_ca)
    except TlsError as error:
        yield Finding(server.tls_place, str(error))
