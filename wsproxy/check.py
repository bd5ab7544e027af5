"""What only the files that a configuration names can tell: whether they can be read, and are what they should be.

Assembly, as it does I/O for a checked Config. `--check` and the start ask the same, so that neither meets a surprise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wsproxy.config.model import Config, ServerSettings
from wsproxy.frontend.own_answers import ErrorPageError, read_page
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
    trust = dict.fromkeys(finding for server in servers for finding in _trust(server))
    return [*_identities(config), *_pages(config), *trust]


def _identities(config: Config) -> Iterator[Finding]:
    for frontend in config.frontends:
        for pair in frontend.certificates:
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
