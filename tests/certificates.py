"""Certificate authorities and what they sign, as files: for the tests of TLS."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import trustme


class Authority:
    """A certificate authority of its own, with its files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self._issued = 0
        directory.mkdir(parents=True, exist_ok=True)

    @cached_property
    def certificate(self) -> Path:
        """Its own certificate."""
        path = self._directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def issue(self, *names: str, not_after: datetime | None = None) -> tuple[Path, Path]:
        """A certificate for these names, and its key."""
        self._issued += 1
        not_before = None if not_after is None else datetime(2000, 1, 1, tzinfo=UTC)
        leaf = self._ca.issue_cert(*names, not_before=not_before, not_after=not_after)
        chain, key = (self._directory / f"{self._issued}.{kind}" for kind in ("pem", "key"))
        for number, part in enumerate(leaf.cert_chain_pems):
            part.write_to_path(str(chain), append=number > 0)
        leaf.private_key_pem.write_to_path(str(key))
        return chain, key

    def client_context(self) -> ssl.SSLContext:
        """For a client that believes this authority alone."""
        return ssl.create_default_context(cafile=self.certificate)

    def server_context(self, *names: str) -> ssl.SSLContext:
        """For a server of these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(*names))
        return context
