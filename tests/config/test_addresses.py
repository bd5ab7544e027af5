"""Addresses as operators write them, right and wrong."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from wsproxy.config.addresses import LISTEN_HOST, NETWORKS, UPSTREAM
from wsproxy.config.group_settings import Address
from wsproxy.config.values import Parser


@pytest.mark.parametrize(
    ("parser", "written", "value"),
    [
        (UPSTREAM, "127.0.0.1:9001", Address("127.0.0.1", 9001)),
        (UPSTREAM, "es1_hc:8080", Address("es1_hc", 8080)),
        (UPSTREAM, "Example.ORG.:80", Address("example.org.", 80)),
        (UPSTREAM, "[0:0::1]:80", Address("::1", 80)),
        (UPSTREAM, "unix:/run/./a.sock", Address(unix_path="/run/a.sock")),
        (UPSTREAM, "unix:a.sock", Address(unix_path="/etc/proxy/a.sock")),
        (UPSTREAM, "http://Api.example", Address("api.example", 80, authority="Api.example")),
        (UPSTREAM, "HTTP://a:81/", Address("a", 81, authority="a:81")),
        (UPSTREAM, "http://[::1]:81/v1/", Address("::1", 81, authority="[::1]:81", base_path="/v1")),
        (UPSTREAM, "http://[::1]", Address("::1", 80, authority="[::1]")),
        (LISTEN_HOST, "0.0.0.0", "0.0.0.0"),
        (LISTEN_HOST, "::", "::"),
        (LISTEN_HOST, "[::]", "::"),
        (LISTEN_HOST, "localhost", "localhost"),
        (NETWORKS, "10.0.0.0/8, 127.0.0.1 ::1", tuple(map(ip_network, ("10.0.0.0/8", "127.0.0.1/32", "::1/128")))),
    ],
)
def test_a_place(parser: Parser, written: str, value: Any) -> None:
    assert parser(written, "/etc/proxy") == value


_TOO_LONG = (
    f"'/etc/proxy/{'x' * 97}' has 108 bytes, more than the 107 of a unix socket's path (choose a shorter directory)"
)


@pytest.mark.parametrize(
    ("parser", "written", "message"),
    [
        (UPSTREAM, "es1", "'es1' has no port (write es1:80)"),
        (UPSTREAM, "[::1]", "'[::1]' has no port (write [::1]:80)"),
        (UPSTREAM, "es1:", "'' is not a port (1 to 65535)"),
        (UPSTREAM, "es1:0", "'0' is not a port (1 to 65535)"),
        (UPSTREAM, "es1:65536", "'65536' is not a port (1 to 65535)"),
        (UPSTREAM, "es1:x", "'x' is not a port (1 to 65535)"),
        (UPSTREAM, ":80", "'' is not a host name or an IP address"),
        (UPSTREAM, "a b:80", "'a b' is not a host name or an IP address"),
        (UPSTREAM, "user@a:80", "'user@a' is not a host name or an IP address"),
        (UPSTREAM, "1.2.3.400:80", "'1.2.3.400' is not an IPv4 address"),
        (UPSTREAM, "::1:80", "'::1:80': an IPv6 address stands in brackets (write [::1]:8080)"),
        (UPSTREAM, "[::1", "'[::1' is not an address (write [::1]:8080)"),
        (UPSTREAM, "[::1]80", "'[::1]80' is not an address (write [::1]:8080)"),
        (UPSTREAM, "[::x]:80", "'[::x]' is not an IPv6 address"),
        (UPSTREAM, "unix:", "'unix:' has no path (write unix:/run/app.sock)"),
        (UPSTREAM, "/run/a.sock", "'/run/a.sock' is a path (write unix:/run/a.sock)"),
        (UPSTREAM, "ws://a:80", "'ws://a:80': ws:// is not known (write http://\u2026, for WebSockets too)"),
        (UPSTREAM, "http://", "'' is not a host name or an IP address"),
        (UPSTREAM, "http://a?b", "'?b' is more than a path ('?' and '#' cannot stand in it)"),
        (UPSTREAM, "http://a/b?c", "'/b?c' is more than a path ('?' and '#' cannot stand in it)"),
        (
            UPSTREAM,
            f"unix:{'x' * 97}",
            _TOO_LONG,
        ),
        (LISTEN_HOST, "*", "'*' is not a host name or an IP address"),
        (LISTEN_HOST, "a:80", "'a:80' is not an IPv6 address"),
        (NETWORKS, "10.0.0.0/8 x", "'x' is not an IP address or network (write 10.0.0.0/8)"),
        (NETWORKS, "10.0.0.1/8", "'10.0.0.1/8' has bits behind its prefix (write 10.0.0.0/8)"),
    ],
)
def test_a_mistake(parser: Parser, written: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".*") as caught:
        parser(written, "/etc/proxy")
    assert str(caught.value) == message


def test_a_unix_path_of_107_bytes_fits() -> None:
    assert UPSTREAM(f"unix:{'x' * 96}", "/etc/proxy").unix_path == f"/etc/proxy/{'x' * 96}"


def test_https_means_tls_on_port_443() -> None:
    assert UPSTREAM("https://a", "/") == Address("a", 443, tls=True, authority="a")


@pytest.mark.parametrize("written", ["127.0.0.1:9001", "[::1]:9001", "unix:/run/a.sock", "http://a.example:81/v1"])
def test_an_address_is_written_as_it_was_read(written: str) -> None:
    assert str(UPSTREAM(written, "/")) == written
