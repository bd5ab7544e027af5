"""Ini text -> the frozen settings of `model`, or every problem at once.

Pure: the caller reads the file, and hands in the environment and the directory that relative paths begin at. First all
is checked (reader, sections, crosscheck); what is built after that has no mistake left to meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from wsproxy.config import reader, sections
from wsproxy.config.budget_settings import OverloadSettings
from wsproxy.config.cache_settings import CacheSettings
from wsproxy.config.choosing import MEASURING
from wsproxy.config.content_keys import COMPRESSION, STATIC
from wsproxy.config.content_settings import CompressionSettings, StaticSettings
from wsproxy.config.crosscheck import check, written_once
from wsproxy.config.discovery_settings import DiscoverySettings
from wsproxy.config.errors import ConfigError
from wsproxy.config.group_checks import group_name, is_on, server_name
from wsproxy.config.group_settings import (
    Address,
    GroupSettings,
    HealthSettings,
    ManagedSettings,
    ScalingSettings,
    ServerSettings,
)
from wsproxy.config.model import (
    AdminSettings,
    CertificateSettings,
    Config,
    ErrorPageSettings,
    FrontendSettings,
    LogSettings,
    RouteSettings,
    TcpSettings,
    WebSocketSettings,
)
from wsproxy.config.pages import media_type
from wsproxy.config.rate_limits import rate_limit_settings
from wsproxy.config.route_checks import answers_itself, frontend_name
from wsproxy.config.route_keys import HTTP_ROUTE
from wsproxy.config.schema import (
    ADMIN,
    CACHE,
    FRONTEND,
    LOG,
    MATCH,
    MATCHING_KINDS,
    OVERLOAD,
    ROUTE,
    ROUTE_KINDS,
    TCP,
    TCP_LISTENER,
    WEBSOCKET,
)
from wsproxy.config.sections import ParsedSection, Sections, Setting
from wsproxy.config.server_keys import BREAKER, HEALTH, MANAGED, OUTLIER, POOL, SCALING, SERVER, WATCH
from wsproxy.config.watch_settings import BreakerSettings, OutlierSettings, WatchSettings


def load(text: str | bytes, source: str, environment: Mapping[str, str], directory: str) -> Config:
    """Check ini text and build its settings.

    source: the file's name in problems. environment: for `${NAME}`. directory: the ini file's, for relative paths.
    Raises ConfigError with every problem.
    """
    document = reader.read(text, source, environment)
    problems = list(document.problems)
    parsed = sections.parse(document, directory, problems)
    problems.extend(check(parsed, source))
    if problems:
        raise ConfigError(problems)
    log, admin, overload = parsed.get("log"), parsed.get("admin"), parsed.get("overload")
    cache = parsed.get("cache")
    return Config(
        source=source,
        frontends=tuple(_frontend(section) for section in parsed.values() if section.kind.name == "frontend"),
        routes=tuple(_route(section, parsed) for section in parsed.values() if section.kind.name in MATCHING_KINDS),
        groups=_groups(parsed),
        admin=None if admin is None else _admin(admin),
        log=LogSettings() if log is None else _log(log),
        overload=OverloadSettings() if overload is None else OverloadSettings(**overload.fields(OVERLOAD)),
        tcp=tuple(_tcp(section) for section in parsed.values() if section.kind.name == "tcp"),
        cache=CacheSettings() if cache is None else _cache(cache),
        processes=next((written.value for written in written_once(parsed, "processes")), 1),
        takeover_socket=next((written.value for written in written_once(parsed, "takeover_socket")), None),
    )


def _frontend(section: ParsedSection) -> FrontendSettings:
    port = section.get("port")
    return FrontendSettings(
        name=section.name,
        place=str(section.place if port is None else port.place),
        certificates=_certificates(section),
        error_pages=_error_pages(section),
        **section.fields(FRONTEND),
    )


def _tcp(section: ParsedSection) -> TcpSettings:
    port, group = section.get("port"), section.get("group")
    listener = FrontendSettings(
        name=section.name,
        place=str(section.place if port is None else port.place),
        certificates=_certificates(section),
        **section.fields(TCP_LISTENER),
    )
    return TcpSettings(listener, section.name if group is None else group.value, **section.fields(TCP))


def _log(section: ParsedSection) -> LogSettings:
    access = section.get("access")
    return LogSettings(access_place="" if access is None else str(access.place), **section.fields(LOG))


def _admin(section: ParsedSection) -> AdminSettings:
    port = section.get("port")
    return AdminSettings(place=str(section.place if port is None else port.place), **section.fields(ADMIN))


def _cache(section: ParsedSection) -> CacheSettings:
    store = section.get("redis_url") or section.get("store")
    return CacheSettings(place=str(section.place if store is None else store.place), **section.fields(CACHE))


def _certificates(section: ParsedSection) -> tuple[CertificateSettings, ...]:
    chains, keys = section.get("tls_certificate"), section.get("tls_key")
    if chains is None or keys is None:
        return ()
    pairs = zip(chains.value, keys.value, chains.places, keys.places, strict=True)
    return tuple(CertificateSettings(chain, key, str(place), str(at)) for chain, key, place, at in pairs)


def _error_pages(section: ParsedSection) -> tuple[ErrorPageSettings, ...]:
    pages = section.get("error_page")
    if pages is None:
        return ()
    lines = zip(pages.value, pages.places, strict=True)
    return tuple(ErrorPageSettings(statuses, path, media_type(path), str(at)) for (statuses, path), at in lines)


def _route(section: ParsedSection, parsed: Sections) -> RouteSettings:
    frontend = section.get("frontend")
    bound_to = None if frontend is None else frontend_name(frontend.value, parsed)
    if section.kind.name == "static":
        return RouteSettings(
            name=section.name,
            kind="http",
            group="",
            frontend=bound_to,
            rate_limit=rate_limit_settings(section, parsed),
            compression=_compression(section),
            static=StaticSettings(place=str(section.settings["directory"].place), **section.fields(STATIC)),
            **section.fields(MATCH),
        )
    group = section.get("group")
    is_websocket = section.kind.name == "websocket"
    own_group = "" if answers_itself(section) else section.name
    fields = section.fields(ROUTE) | ({} if is_websocket else section.fields(HTTP_ROUTE))
    if any(header.name.lower() == "host" for header in fields.get("set_request_headers", ())):
        fields["preserve_host"] = True  # the route has said what servers get, be they written as a URL or not
    return RouteSettings(
        name=section.name,
        kind="websocket" if is_websocket else "http",
        group=own_group if group is None else group.value,
        rate_limit=rate_limit_settings(section, parsed),
        frontend=bound_to,
        compression=None if is_websocket else _compression(section),
        websocket=WebSocketSettings(**section.fields(WEBSOCKET)) if is_websocket else WebSocketSettings(),
        **fields,
    )


def _compression(section: ParsedSection) -> CompressionSettings | None:
    settings = CompressionSettings(**section.fields(COMPRESSION))
    return settings if settings.codings else None


def _groups(parsed: Sections) -> tuple[GroupSettings, ...]:
    timed: set[str] = set()
    for section in parsed.values():
        if section.kind.name in ROUTE_KINDS and (algorithm := section.get("algorithm")) is not None:
            group = section.get("group")
            if algorithm.value == MEASURING:
                timed.add(section.name if group is None else group.value)
    named = ((section, group_name(section)) for section in parsed.values())
    return tuple(_group(section, name, parsed, name in timed) for section, name in named if name is not None)


def _group(section: ParsedSection, name: str, parsed: Sections, timed: bool) -> GroupSettings:
    managed, discovery = _managed(section), _discovery(section)
    template = ServerSettings("", Address(), **section.fields(POOL), pool_keys=_pool_keys(section.get))
    return GroupSettings(
        name=name,
        servers=tuple(_server(section, number) for number in sorted(section.servers)),
        template=template if managed or discovery else None,
        health=_health(section),
        watch=_watch(section, timed),
        managed=managed,
        scaling=_scaling(section, parsed, managed),
        discovery=discovery,
    )


def _server(section: ParsedSection, number: int) -> ServerSettings:
    fields = section.server_fields(number, SERVER)
    verify, authorities = section.server_get(number, "tls_verify"), section.server_get(number, "tls_ca")
    if fields["address"].tls:
        is_checked = verify is None or verify.value
        ca = authorities.value if is_checked and authorities is not None else ""
        fields["address"] = replace(fields["address"], tls_verify=is_checked, tls_ca=ca)
    told = authorities or verify or section.servers[number]["addr"]
    keys = _pool_keys(lambda key: section.server_get(number, key))
    fields |= {"name": server_name(section, number), "tls_place": str(told.place), "pool_keys": keys}
    return ServerSettings(**fields)


def _pool_keys(get: Callable[[str], Setting | None]) -> frozenset[str]:
    return frozenset(key.name for key in POOL.keys if get(key.name) is not None)


def _health(section: ParsedSection) -> HealthSettings:
    fields = section.fields(HEALTH)
    enabled = section.get("enable_health_check")
    if enabled is None or not enabled.value:
        fields["path"] = None  # a connect is the probe
    return HealthSettings(**fields)


def _watch(section: ParsedSection, timed: bool) -> WatchSettings:
    has_breaker = is_on(section, "breaker", False)
    has_outlier = is_on(section, "outlier", not has_breaker)
    return WatchSettings(
        timed=timed,
        outlier=OutlierSettings(**section.fields(OUTLIER)) if has_outlier else None,
        breaker=BreakerSettings(**section.fields(BREAKER)) if has_breaker else None,
        **section.fields(WATCH),
    )


def _discovery(section: ParsedSection) -> DiscoverySettings | None:
    target, interval = section.get("discover"), section.get("discover_interval")
    if target is None:
        return None
    resolver, zone, api = (section.get(f"discover_{word}") for word in ("resolver", "zone", "api"))
    return DiscoverySettings(
        target.value,
        DiscoverySettings(target.value).interval_s if interval is None else interval.value,
        None if resolver is None else resolver.value,
        None if zone is None else zone.value,
        None if api is None else api.value,
    )


def _scaling(section: ParsedSection, parsed: Sections, managed: ManagedSettings | None) -> ScalingSettings | None:
    """What the group says itself, else `[scaling]`, else the defaults; nothing where there is nothing to scale."""
    if managed is None or managed.max_servers <= managed.startup_servers:
        return None
    fields = parsed["scaling"].fields(SCALING) if "scaling" in parsed else {}
    own = section.fields(SCALING)
    said = {key.target for key in SCALING.keys if section.get(key.name) is not None}
    return ScalingSettings(**{name: own[name] if name in said else fields.get(name, own[name]) for name in own})


def _managed(section: ParsedSection) -> ManagedSettings | None:
    if section.get("command") is None:
        return None
    fields = section.fields(MANAGED)
    if (arguments := section.get("args")) is not None:
        fields["command"] += arguments.value
    fields["max_servers"] = max(fields["max_servers"], fields["startup_servers"])
    return ManagedSettings(**fields)
