"""Where servers are found that no file lists: what `discover` and its kin may say.

Pure; how servers are found is `discovery`'s business.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final

from wsproxy.config.addresses import UPSTREAM
from wsproxy.config.discovery_settings import Target
from wsproxy.config.values import Parser, joined

_HOST: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?"
_dns: Final = re.compile(rf"(?P<name>{_HOST})(?::(?P<port>[0-9]+))?").fullmatch
_service: Final = re.compile(r"(?P<namespace>[a-z0-9\-]+)/(?P<name>[a-z0-9\-]+):(?P<port>[a-z0-9\-]+)").fullmatch
_resolver: Final = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]+))?").fullmatch
_HIGHEST_PORT: Final = 65535
_LIBRARIES: Final = {
    "dns": ("dns", "discovery"),
    "srv": ("dns", "discovery"),
    "kubernetes": ("httpx", "kubernetes"),
}
"""What each kind is asked with, and the extra that brings it."""
_SHAPE: Final = "dns://name:port | dns://_service._tcp.name | file:///path.json | kubernetes://namespace/service:port"


def _discover(written: str) -> Target:
    target = _target(written)
    library, extra = _LIBRARIES.get(target.kind, ("", ""))
    if library and find_spec(library) is None:
        raise ValueError(f"'{written}' needs the library {library} (pip install wsproxy[{extra}])")
    return target


def _target(written: str) -> Target:
    scheme, separator, rest = written.partition("://")
    found: Target | None = None
    if separator and scheme == "file" and rest:
        found = Target("file", path=rest)
    elif separator and scheme == "dns" and (match := _dns(rest)) is not None:
        is_service = rest.startswith("_") and "._tcp." in rest and match["port"] is None
        if is_service:
            found = Target("srv", match["name"])
        elif match["port"] is not None and 0 < int(match["port"]) <= _HIGHEST_PORT:
            found = Target("dns", match["name"], match["port"])
        else:
            remedy = f"write dns://{match['name']}:80, or dns://_http._tcp.NAME for SRV"
            raise ValueError(f"'{written}' has no port ({remedy})")
    elif separator and scheme == "kubernetes" and (match := _service(rest)) is not None:
        found = Target("kubernetes", match["name"], match["port"], match["namespace"])
    if found is None:
        raise ValueError(f"'{written}' says nowhere to look (write {_SHAPE})")
    return found


def _in_directory(target: Target, directory: str) -> Target:
    return Target("file", path=joined(target.path, directory)) if target.kind == "file" else target


def _resolver_address(written: str) -> str:
    match = _resolver(written)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) <= _HIGHEST_PORT):
        raise ValueError(f"'{written}' is not the address of a DNS server (write 10.0.0.2 or 10.0.0.2:53)")
    return f"{match['v6'] or match['v4']}#{match['port'] or 53}"


def _api(written: str) -> str:
    if not written.startswith(("http://", "https://")):
        raise ValueError(f"'{written}' is not a URL (write https://host:port)")
    UPSTREAM.parse(written)  # what the client library would find wrong only when it asks
    return written.rstrip("/")


DISCOVER: Final = Parser(_SHAPE, _discover, resolve=_in_directory)
RESOLVER: Final = Parser("address[:port]", _resolver_address)
API: Final = Parser("URL", _api)
