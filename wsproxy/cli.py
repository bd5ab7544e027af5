"""The command line: which file to run, and what to do with it instead of running it.

Exit codes: 0 after an orderly end; 2 when the command line, the file or an address in it is wrong: nothing was
started then.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio

import wsproxy
from wsproxy.app import Application, BindError
from wsproxy.check import check_files
from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.help import reference
from wsproxy.config.model import Config
from wsproxy.net.allocator import collect_seldom, keep_buffers_mapped
from wsproxy.net.descriptors import raise_descriptor_limit
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.observe.logs import set_up_logging
from wsproxy.reload import ReloadError

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if chosen.help_config:
        sys.stdout.write(reference())
        return 0
    if (chosen.file is None) == (chosen.config is None):
        parser.error("name one configuration file: python -m wsproxy proxy.ini")
    try:
        config = read_config(chosen.file or chosen.config)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    findings = check_files(config)
    if any(finding.is_fatal for finding in findings):
        sys.stderr.writelines(f"{finding}\n" for finding in findings if finding.is_fatal)
        return USAGE_ERROR
    sys.stderr.writelines(f"{finding} (a warning)\n" for finding in findings)
    if chosen.check:
        sys.stdout.write(
            f"{config.source}: ok ({len(config.frontends)} frontends, {len(config.routes)} routes, "
            f"{sum(len(group.servers) for group in config.groups)} servers)\n"
        )
        return 0
    return _serve(config, lambda: _read_again(chosen.file or chosen.config))


def _read_again(path: str) -> Config:
    """The configuration for a reload. Raises ConfigError, ReloadError."""
    config = read_config(path)
    fatal = [str(finding) for finding in check_files(config) if finding.is_fatal]
    if fatal:
        raise ReloadError("\n".join(fatal))
    return config


def read_config(path: str) -> Config:
    """Read and check the file at `path`. Raises ConfigError, also for a file that cannot be read."""
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError.unreadable(path, error.strerror or str(error)) from None
    return load(text, path, os.environ, str(Path(path).resolve().parent))


def _serve(config: Config, read_again: Callable[[], Config]) -> int:
    set_up_logging(config.log.level, config.log.format)
    raise_descriptor_limit()
    keep_buffers_mapped()
    collect_seldom()

    async def run() -> None:
        manager = ServiceManager.from_environment(os.environ)
        await Application(config, read_again, manager, InheritedSockets.from_environment(os.environ)).run()

    try:
        anyio.run(run, backend="asyncio", backend_options={"use_uvloop": _has_uvloop()})
    except BindError as error:
        for settings, reason in error.failures:
            sys.stderr.write(f"{settings.place}: {reason}\n")
        return USAGE_ERROR
    return 0


def _has_uvloop() -> bool:
    """uvloop halves the cost of a request; where it has no wheel, asyncio's own loop does the same work."""
    try:
        import uvloop  # noqa: F401
    except ImportError:
        return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wsproxy", description=wsproxy.__doc__)
    parser.add_argument("file", nargs="?", help="the ini file to run")
    parser.add_argument("--config", metavar="FILE", help="the same")
    parser.add_argument("--check", action="store_true", help="check the file and say what is wrong with it")
    parser.add_argument("--help-config", action="store_true", help="list every section and key of the ini file")
    parser.add_argument("--version", action="version", version=f"wsproxy {wsproxy.__version__}")
    return parser
