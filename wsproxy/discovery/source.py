"""The source that settings name. The libraries of each are imported only where one is used."""

from __future__ import annotations

from wsproxy.config.discovery_settings import DiscoverySettings
from wsproxy.discovery.file import watch_file
from wsproxy.discovery.found import FoundSink


async def discover(settings: DiscoverySettings, sink: FoundSink) -> None:
    """Tell `sink` which servers there are until cancelled."""
    target = settings.target
    if target.kind == "file":
        await watch_file(target.path, settings.interval_s, sink)
    elif target.kind == "kubernetes":
        from wsproxy.discovery.kubernetes import watch_service

        await watch_service(settings, sink)
    else:
        from wsproxy.discovery.dns import Resolver, watch_name

        await watch_name(target.name, target.port, settings.interval_s, Resolver(settings.resolver), sink)
