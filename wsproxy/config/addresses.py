"""Parsers of network places: where a listener binds, where an upstream server listens, which peers are trusted.

Pure: names are not resolved here. Raises ValueError as the parsers of `values` do.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from wsproxy.config.group_settings import Address
from wsproxy.config.model import IPNetwork
from wsproxy.config.values import Parser, joined, url_path

_SCHEMES: Final = {"http": 80, "https": 443}
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)(.*)")
_HOST: Final = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*\.?")  # underscores are legal in names of containers
_HIGHEST_PORT: Final = 65535
_LONGEST_UNIX_PATH_BYTES: Final = 107  # sockaddr_un holds 108 with the closing NUL (Linux unix(7))


def _host(written: str) -> str:
    """A host name in lower case or an IP address without brackets, in its shortest spelling."""
    if ":" in written or written.startswith("["):
        try:
            return str(IPv6Address(written.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise ValueError(f"'{written}' is not an IPv6 address") from None
    if _HOST.fullmatch(written) is None:
        raise ValueError(f"'{written}' is not a host name or an IP address")
    if written.rpartition(".")[2].isdigit():  # a name never ends in a number (RFC 3696 section 2), so it is IPv4
        try:
            return str(IPv4Address(written))
        except ValueError:
            raise ValueError(f"'{written}' is not an IPv4 address") from None
    return written.lower()


def _port(written: str) -> int:
    if not (written.isascii() and written.isdigit()) or not 1 <= int(written[:6]) <= _HIGHEST_PORT:
        raise ValueError(f"'{written}' is not a port (1 to {_HIGHEST_PORT})")
    return int(written)


def _split_port(written: str) -> tuple[str, str | None]:
    """`host:port` or `[IPv6]:port` as two texts; the port is None where no `:` follows the host."""
    if written.startswith("["):
        inside, closed, rest = written.partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"'{written}' is not an address (write [::1]:8080)")
        return inside + "]", rest[1:] if rest else None
    if written.count(":") > 1:
        raise ValueError(f"'{written}': an IPv6 address stands in brackets (write [::1]:8080)")
    host, colon, port = written.partition(":")
    return host, port if colon else None


def _unix(written: str, path: str) -> Address:
    if not path:
        raise ValueError(f"'{written}' has no path (write unix:/run/app.sock)")
    return Address(unix_path=path)


def _url(written: str, scheme: str, authority: str, path: str) -> Address:
    if scheme not in _SCHEMES:
        raise ValueError(f"'{written}': {scheme}:// is not known (write http://…, for WebSockets too)")
    host, port = _split_port(authority)
    return Address(
        host=_host(host),
        port=_SCHEMES[scheme] if port is None else _port(port),
        tls=scheme == "https",
        authority=authority,
        base_path=url_path(path).rstrip("/") if path else "",
    )


def _upstream(written: str) -> Address:
    if written.startswith("unix:"):
        return _unix(written, written.removeprefix("unix:"))
    if written.startswith(("/", "./", "../")):
        raise ValueError(f"'{written}' is a path (write unix:{written})")
    url = _URL.fullmatch(written)
    if url is not None:
        return _url(written, url[1].lower(), url[2], url[3])
    host, port = _split_port(written)
    if port is None:
        raise ValueError(f"'{written}' has no port (write {written}:80)")
    return Address(host=_host(host), port=_port(port))


def _resolve_upstream(address: Address, directory: str) -> Address:
    if not address.unix_path:
        return address
    path = joined(address.unix_path, directory)
    length = len(path.encode(errors="surrogateescape"))
    if length > _LONGEST_UNIX_PATH_BYTES:
        message = f"'{path}' has {length} bytes, more than the {_LONGEST_UNIX_PATH_BYTES} of a unix socket's path"
        raise ValueError(f"{message} (choose a shorter directory)")
    return replace(address, unix_path=path)


def _networks(written: str) -> tuple[IPNetwork, ...]:
    return tuple(_network(item) for item in written.replace(",", " ").split())


def _network(written: str) -> IPNetwork:
    try:
        network = ip_network(written, strict=False)
    except ValueError:
        raise ValueError(f"'{written}' is not an IP address or network (write 10.0.0.0/8)") from None
    if "/" in written and ip_address(written.partition("/")[0]) != network.network_address:
        raise ValueError(f"'{written}' has bits behind its prefix (write {network})")
    return network


LISTEN_HOST: Final = Parser("host", _host)
UPSTREAM: Final = Parser(
    "host:port | unix:/path | http://host[:port][/path] | https://…",
    _upstream,
    resolve=_resolve_upstream,
)
NETWORKS: Final = Parser("addresses and networks", _networks, many=True)
