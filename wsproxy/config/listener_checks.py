"""What the sections that listen must say of themselves and of each other: places, certificates, budgets.

Pure. Part of `crosscheck`, with its rule: a setting that was refused already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

from wsproxy.config.admin_token import is_loopback
from wsproxy.config.errors import Place, Problem
from wsproxy.config.schema import FRONTEND, LISTENING_KINDS, TCP_LISTENER
from wsproxy.config.sections import ParsedSection, Sections


def check_listeners(sections: Sections) -> Iterator[Problem]:
    """Every problem of frontends, TCP listeners, `[admin]` and the budget over all of them."""
    listeners = [section for section in sections.values() if section.kind.name in LISTENING_KINDS]
    frontends = [section for section in listeners if section.kind.name == "frontend"]
    has_tls = any("tls_certificate" in section.settings for section in frontends)
    yield from _places(listeners)
    for section in frontends:
        yield from _redirect(section, has_tls)
        yield from _error_pages(section)
    for section in listeners:
        yield from _certificates(section)
        yield from _proxy_protocol(section)
    if (admin := sections.get("admin")) is not None:
        yield from _admin(admin)
    if (overload := sections.get("overload")) is not None:
        yield from _overload(overload, listeners)


def _places(listeners: list[ParsedSection]) -> Iterator[Problem]:
    """No two listen at one place."""
    seen: dict[tuple[str, int], ParsedSection] = {}
    for section in listeners:
        port = section.get("port")
        host = section.settings.get("host")
        if port is None or port.value == 0:  # any free port is never the same twice
            continue
        if host is not None and not host.valid:
            continue
        listener = (section.fields(FRONTEND)["host"], port.value)
        first = seen.setdefault(listener, section)
        if first is not section:
            where = f"[{first.name}] (line {first.place.line})"
            yield port.place.problem(f"[{section.name}] listens on the same host and port as {where}")


def _redirect(section: ParsedSection, has_tls: bool) -> Iterator[Problem]:
    redirect = section.get("redirect_https")
    if redirect is None or not redirect.value:
        return
    if "tls_certificate" in section.settings:
        message = f"[{section.name}] has a tls_certificate: its requests come over https already"
        yield redirect.key_place.problem(message)
    elif not has_tls:
        yield redirect.key_place.problem("'redirect_https' needs a frontend with a tls_certificate to redirect to")


def _error_pages(section: ParsedSection) -> Iterator[Problem]:
    """A status has one page."""
    pages = section.get("error_page")
    seen: dict[int, Place] = {}
    for (statuses, _), place in zip(pages.value, pages.places, strict=True) if pages is not None else ():
        for status in statuses:
            first = seen.setdefault(status, place)
            if first is not place:
                yield place.problem(f"{status} has a page already (line {first.line})")


def _certificates(section: ParsedSection) -> Iterator[Problem]:
    """As many keys as certificates, and nothing that needs one without one."""
    settings = section.settings
    for key, wanted in (("tls_certificate", "tls_key"), ("tls_key", "tls_certificate"), ("hsts", "tls_certificate")):
        if key in settings and wanted not in settings:
            yield settings[key].key_place.problem(f"'{key}' needs a '{wanted}' in [{section.name}]")
    chains, keys = section.get("tls_certificate"), section.get("tls_key")
    for name, files in (("tls_certificate", chains), ("tls_key", keys)):
        if files is not None and not files.value:
            yield files.key_place.problem(f"'{name}' has no value (write one, or remove the key)")
            return
    if chains is not None and keys is not None and len(chains.value) != len(keys.value):
        counts = f"{len(chains.value)} and {len(keys.value)}"
        yield keys.place.problem(f"each tls_certificate needs its tls_key, in the same order (there are {counts})")


def _proxy_protocol(section: ParsedSection) -> Iterator[Problem]:
    proxy_protocol, trusted = section.get("proxy_protocol"), section.settings.get("trusted_proxies")
    if proxy_protocol is not None and (trusted is None or (trusted.valid and not trusted.value)):
        yield proxy_protocol.key_place.problem("'proxy_protocol' needs 'trusted_proxies' (who may send the header)")


def _admin(section: ParsedSection) -> Iterator[Problem]:
    """A host that others can reach needs a token: who comes in there can take servers away."""
    host = section.get("host")
    if host is not None and "token" not in section.settings and not is_loopback(host.value):
        yield host.place.problem(f"'{host.value}' can be reached from elsewhere, so [admin] needs a 'token'")


def _overload(section: ParsedSection, listeners: list[ParsedSection]) -> Iterator[Problem]:
    """Clients who find a frontend full wait outside, so that a budget of more than all frontends is never met."""
    limit = section.get("max_connections")
    together = sum(listener.fields(TCP_LISTENER)["max_connections"] for listener in listeners)
    if limit is not None and listeners and limit.value >= together:
        message = f"{limit.value} has no effect: the listeners take {together} together"
        yield limit.place.problem(f"{message} (raise their max_connections)")
