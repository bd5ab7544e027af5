"""The command line: which file to run, and what to do with it instead of running it.

Exit codes: 0 after an orderly end; 2 when the command line, the file or an address in it is wrong: nothing was
started then.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import anyio

import wsproxy
from wsproxy.app import Application, BindError
from wsproxy.check import check_files
from wsproxy.config.errors import ConfigError
from wsproxy.config.help import reference
from wsproxy.config.model import Config
from wsproxy.net.allocator import collect_seldom, keep_buffers_mapped
from wsproxy.net.cpus import usable_cpus
from wsproxy.net.descriptors import raise_descriptor_limit
from wsproxy.net.loop import has_uvloop
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.observe.logs import set_up_logging
from wsproxy.supervisor.source import Source

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
        source = Source.read(chosen.file or chosen.config)
        config = source.load()
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
    return _serve(config, source)


def read_config(path: str) -> Config:
    """Read and check the file at `path`. Raises ConfigError, also for a file that cannot be read."""
    return Source.read(path).load()


def _serve(config: Config, source: Source) -> int:
    set_up_logging(config.log.level, config.log.format)
    raise_descriptor_limit()
    keep_buffers_mapped()
    collect_seldom()

    async def run() -> None:
        await _application(config, source).run()

    try:
        anyio.run(run, backend="asyncio", backend_options={"use_uvloop": has_uvloop()})
    except BindError as error:
        for settings, reason in error.failures:
            sys.stderr.write(f"{settings.place}: {reason}\n")
        return USAGE_ERROR
    return 0


def _application(config: Config, source: Source) -> Application:
    """One that serves by itself, or the parent of processes that do."""
    manager = ServiceManager.from_environment(os.environ)
    inherited = InheritedSockets.from_environment(os.environ)
    count = config.processes or usable_cpus()
    if count == 1:
        return Application(config, lambda: Source.read(source.path).reload(), manager, inherited)
    from wsproxy.supervisor.controlplane import ControlPlane  # only where it is needed: a start should be short

    return ControlPlane(source, count, manager, inherited)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wsproxy", description=wsproxy.__doc__)
    parser.add_argument("file", nargs="?", help="the ini file to run")
    parser.add_argument("--config", metavar="FILE", help="the same")
    parser.add_argument("--check", action="store_true", help="check the file and say what is wrong with it")
    parser.add_argument("--help-config", action="store_true", help="list every section and key of the ini file")
    parser.add_argument("--version", action="version", version=f"wsproxy {wsproxy.__version__}")
    return parser
