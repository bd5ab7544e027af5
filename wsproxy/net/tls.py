"""TLS on both sides: the certificates we show, chosen by the name a client asks for, and whom we believe upstream.

The only place with `ssl`. Knows files, contexts and the words for what goes wrong; a connection's bytes are the
transport's. TLS 1.2 and later (RFC 9325 section 3.1.1), ALPN `http/1.1` (RFC 7301), on both sides.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Never

from wsproxy.config.model import CertificateSettings
from wsproxy.net.certificate import Certificate, read_certificate

ALPN: Final = ["http/1.1"]
"""What we speak; a client that offers other protocols only is told so by the lack of an answer, as nginx does."""
HANDSHAKE: Final = b"\x16"
"""The first byte that a TLS client sends: the type of a handshake record (RFC 8446 section 5.1)."""
TRUSTS: Final = 64
"""Different ways of checking servers that are kept ready; a configuration has a handful."""


class TlsError(Exception):
    """A file that cannot be used; str() names it and says why. place: of its key in the ini file, or ""."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class TlsIdentities:
    """The certificates of a frontend, each with its key. `context` is for the next handshake: ask anew for each one."""

    def __init__(self, certificates: Sequence[CertificateSettings]) -> None:
        self._certificates = tuple(certificates)
        self.warnings: tuple[tuple[str, str], ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read all files again. What is served changes at once and as a whole, or not at all. Raises TlsError.

        Sets `warnings`: (place, text) for each certificate that has expired. Established connections go on.
        """
        read = [_read_identity(settings) for settings in self._certificates]
        by_name: dict[str, ssl.SSLContext] = {}
        for context, certificate in reversed(read):  # of two certificates for a name the first one counts
            by_name.update(dict.fromkeys(certificate.names, context))
        context = read[0][0]
        if len(read) > 1:
            context.sni_callback = _chooser(by_name, context)
        self.context = context
        now = datetime.now(UTC)
        self.warnings = tuple(
            (settings.place, f"{settings.certificate} has expired ({certificate.expires_at:%Y-%m-%d})")
            for settings, (_, certificate) in zip(self._certificates, read, strict=True)
            if certificate.expires_at < now
        )


def _chooser(by_name: dict[str, ssl.SSLContext], default: ssl.SSLContext) -> Callable[..., None]:
    """A callback for the name a client asks for (RFC 6066 section 3); an unknown name gets the first certificate."""

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            name = name.lower()
            wildcard = "*." + name.partition(".")[2]
            connection.context = by_name.get(name) or by_name.get(wildcard) or default

    return choose


def _read_identity(settings: CertificateSettings) -> tuple[ssl.SSLContext, Certificate]:
    chain = _read(settings.certificate, settings.place)
    key = _read(settings.key, settings.key_place)  # OpenSSL does not say which of the two files an error is about
    try:
        certificate = read_certificate(chain)
    except ValueError as error:
        raise TlsError(f"{settings.certificate} {error}", settings.place) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could make us sign for each one
    context.set_alpn_protocols(ALPN)

    def refuse_to_ask() -> Never:
        raise TlsError(f"{settings.key} is encrypted (write it without a passphrase)", settings.key_place)

    try:
        context.load_cert_chain(settings.certificate, settings.key, refuse_to_ask)
    except ssl.SSLError as error:
        if "PRIVATE KEY-----" not in key:
            message = f"{settings.key} holds no PEM private key"
        elif error.reason == "KEY_VALUES_MISMATCH":
            message = f"{settings.key} is not the key of {settings.certificate}"
        else:
            message = f"{settings.key} cannot be used with {settings.certificate} ({tls_reason(error)})"
        raise TlsError(message, settings.key_place) from None
    return context, certificate


def _read(path: str, place: str) -> str:
    try:
        return Path(path).read_text("ascii", "replace")
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}", place) from None


@lru_cache(maxsize=TRUSTS)  # reading the system's authorities takes 20 ms: not for each dial, nor for each probe
def client_context(verify: bool, authorities: str) -> ssl.SSLContext:
    """How servers are checked: by the authorities in a file, the system's for "", or not at all. Raises TlsError.

    `client_context.cache_clear()` has the files read again.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authorities:
        _read(authorities, "")
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # one may trust a server's own certificate
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError:
            raise TlsError(f"{authorities} holds no PEM certificate") from None
    else:
        context.load_default_certs()
    return context


def server_name(host: str) -> str:
    """What a server is asked for and its certificate is checked against: a name as certificates hold it, or an IP."""
    return host.partition("%")[0].rstrip(".")


def tls_reason(error: BaseException) -> str | None:
    """What TLS says of a failed handshake, in lower case; None for an error that is not TLS's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"tls: {(getattr(error, 'reason', None) or 'failure').lower().replace('_', ' ')}"
    return None
