"""The command line: which file to run, and what to do with it instead of running it.

Exit codes: 0 after an orderly end; 1 when it was to take over from another proxy, which goes on instead; 2 when the
command line, the file or an address in it is wrong: nothing was started then.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

import anyio

import wsproxy
from wsproxy.app import Application, BindError
from wsproxy.check import check_files
from wsproxy.config.errors import ConfigError
from wsproxy.config.help import reference
from wsproxy.config.model import AdminSettings, Config, FrontendSettings
from wsproxy.limiting.places import NoRoomError
from wsproxy.net.allocator import collect_seldom, keep_buffers_mapped
from wsproxy.net.cpus import usable_cpus
from wsproxy.net.descriptors import raise_descriptor_limit
from wsproxy.net.loop import has_uvloop
from wsproxy.net.systemd import InheritedSockets, ServiceManager
from wsproxy.observe.logs import set_up_logging
from wsproxy.supervisor.meeting import usual_path
from wsproxy.supervisor.predecessor import Predecessor, TakeoverError
from wsproxy.supervisor.source import Source
from wsproxy.supervisor.takeover import Handover, successor_command

USAGE_ERROR = 2
NOT_TAKEN_OVER = 1


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
        sys.stdout.write(f"{config.source}: ok ({_contents(config)})\n")
        return 0
    return _serve(config, source, chosen.takeover)


def _contents(config: Config) -> str:
    """`1 frontend, 2 routes, 3 servers`."""
    servers = sum(len(group.servers) for group in config.groups)
    counts = {"frontend": len(config.frontends), "route": len(config.routes), "server": servers}
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in counts.items())


def _serve(config: Config, source: Source, takes_over: bool) -> int:
    set_up_logging(config.log.level, config.log.format)
    raise_descriptor_limit()
    keep_buffers_mapped()
    collect_seldom()

    code = 0
    try:
        anyio.run(_run, config, source, takes_over, backend="asyncio", backend_options={"use_uvloop": has_uvloop()})
    except* BindError as group:
        for settings, reason in _failures(group):
            sys.stderr.write(f"{settings.place}: {reason}\n")
        code = USAGE_ERROR
    except* TakeoverError as group:
        sys.stderr.write(f"{config.source}: {_first(group)}\n")
        code = NOT_TAKEN_OVER
    except* NoRoomError as group:
        sys.stderr.write(f"{config.source}: {_first(group)}\n")
        code = USAGE_ERROR
    return code


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """One of the errors inside, however deep."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _failures(group: BaseExceptionGroup[BindError]) -> list[tuple[FrontendSettings | AdminSettings, str]]:
    """All failures of the errors inside, however deep."""
    return [
        failure
        for error in group.exceptions
        for failure in (_failures(error) if isinstance(error, BaseExceptionGroup) else error.failures)
    ]


async def _run(config: Config, source: Source, takes_over: bool) -> None:
    """Serve, in the place of a predecessor if there is to be one. Raises BindError inside of a group."""
    path = _takeover_path(config, source)
    async with anyio.create_task_group() as tasks:
        predecessor = await Predecessor.meet(path, tasks) if takes_over and path else None
        app = _application(config, source, predecessor)
        if path:
            app.handover = Handover(app, path, successor_command(), predecessor)
        await app.run()
        tasks.cancel_scope.cancel()


def _takeover_path(config: Config, source: Source) -> str:
    """Where a successor asks for the listeners, "" where there is no place for that."""
    try:
        return config.takeover_socket or usual_path(source.path)
    except OSError as error:
        logging.getLogger("wsproxy.takeover").warning("no successor can take over: %s", error)
        return ""


def _application(config: Config, source: Source, predecessor: Predecessor | None) -> Application:
    """One that serves by itself, or the parent of processes that do."""
    manager = ServiceManager.from_environment(os.environ)
    inherited = InheritedSockets.from_environment(os.environ) if predecessor is None else predecessor.sockets
    secret = b"" if predecessor is None else predecessor.secret
    count = config.processes or usable_cpus()
    if count == 1:
        return Application(config, lambda: Source.read(source.path).reload(), manager, inherited, secret)
    from wsproxy.supervisor.controlplane import ControlPlane  # only where it is needed: a start should be short

    return ControlPlane(source, count, manager, inherited, secret)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wsproxy", description=wsproxy.__doc__)
    parser.add_argument("file", nargs="?", help="the ini file to run")
    parser.add_argument("--config", metavar="FILE", help="the same")
    parser.add_argument("--check", action="store_true", help="check the file and say what is wrong with it")
    parser.add_argument("--takeover", action="store_true", help="take the listeners over from the proxy that runs")
    parser.add_argument("--help-config", action="store_true", help="list every section and key of the ini file")
    parser.add_argument("--version", action="version", version=f"wsproxy {wsproxy.__version__}")
    return parser
