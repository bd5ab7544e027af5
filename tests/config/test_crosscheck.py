"""What keys and sections must say of each other, by the lines that a user sees."""

from __future__ import annotations

import pytest

from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError

_FRONTEND = "[frontend]\nport = 80\n"  # lines 1 and 2
_HTTP = "[http]\nserver1 = a:1\n"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text, "a.ini", {}, "/etc/proxy")
    return [str(problem) for problem in caught.value.problems]


_NO_FRONTEND = "1:1: no [frontend]: nothing would listen (write [frontend] with a port)"
_NO_ROUTE = "1:1: no route: nothing would be served (write [http] or [websocket] with server1)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [_NO_FRONTEND, _NO_ROUTE]),
        (_FRONTEND, [_NO_ROUTE]),
        (_HTTP, [_NO_FRONTEND]),
        (_FRONTEND + "[cache]", [_NO_ROUTE]),
        (
            _HTTP + "[frontend]\nport = 80\n[frontend:b]\nhost = 0.0.0.0\nport = 80",
            ["7:8: [frontend:b] listens on the same host and port as [frontend] (line 3)"],
        ),
        (
            "[frontend]\nport = x\n[frontend:b]\nport = 80\nhost = ?\n[frontend:c]\nport = 80\n" + _HTTP,
            ["2:8: 'x' is not a whole number (0 to 65535)", "5:8: '?' is not a host name or an IP address"],
        ),
    ],
)
def test_the_file_and_its_listeners(text: str, expected: list[str]) -> None:
    assert problems(text) == [f"a.ini:{line}" for line in expected]


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        (
            _HTTP + "[http:b]\nserver1 = b:1",
            ["5:1: [http:b] matches the same requests as [http] (line 3)"],
        ),
        (
            _HTTP + "path_prefix = /\nheader = A: 1\n  B\n[http:b]\nserver1 = b:1\nheader = b\n  a: 1",
            ["8:1: [http:b] matches the same requests as [http] (line 3)"],
        ),
        (
            "[http:a]\nfrontend = frontend\nserver1 = a:1\n[http:b]\nserver1 = b:1\nfrontend = frontend",
            ["6:1: [http:b] matches the same requests as [http:a] (line 3)"],
        ),
        (
            "[http:a]\nmethod=GET, PUT\nserver1=a:1\n[http:b]\nmethod=POST PUT GET\nserver1=b:1\n[http:c]\nserver1=c:1",
            ["6:1: [http:b] matches the same requests as [http:a] (line 3)"],
        ),
        (
            "[http:a]\nhost = a.x, b.x\nserver1 = a:1\n[http:b]\nhost = b.x\n  c.x\nserver1 = b:1",
            ["6:1: [http:b] matches the same requests as [http:a] (line 3)"],
        ),
        (
            _HTTP + "[http:b]\nserver1 = b:1\nhost = ?",
            ["7:8: '?' is not a host name (write chat.example.org or *.example.org, without a port)"],
        ),
        (_HTTP + "frontend = web", ["5:12: there is no [frontend:web]"]),
        (_HTTP + "frontend = http", ["5:12: there is no [frontend:http]"]),
        (_HTTP + "frontend = frontent", ["5:12: there is no [frontend:frontent] (did you mean 'frontend'?)"]),
        ("[http]\ngroup = apps\n[group:app]\nserver1 = a:1", ["4:9: there is no [group:apps] (did you mean 'app'?)"]),
        ("[http]\ngroup = zzz", ["4:9: there is no [group:zzz]"]),
        ("[http]\ngroup = http", ["4:9: there is no [group:http]"]),
        (
            "[http]\ngroup = app\nmax_workers = 2\nmin_workers = x\n[group:app]\nserver1 = a:1",
            [
                "5:1: 'max_workers' has no effect beside 'group = app' (write it where the servers are)",
                "6:15: 'x' is not a whole number (0 to 10000)",
            ],
        ),
        (
            "[http]\ngroup = app\nserver1 = a:1\ncommand = run <sock>\n[group:app]\nserver1 = a:1",
            [
                "5:1: [http] has 'server1' beside 'group' of line 4 (keep one)",
                "6:1: [http] has 'command' beside 'group' of line 4 (keep one)",
            ],
        ),
        ("[http]", ["3:1: [http] needs servers (server1 = host:port), a command, discover or group = NAME"]),
        (
            _HTTP + "[group:a]\nmax_workers = 2",
            ["5:1: [group:a] needs servers (server1 = host:port), a command, discover"],
        ),
        ("[http]\nserver1 = a", ["4:11: 'a' has no port (write a:80)"]),
        (
            "[http]\ndiscover = dns://a",
            ["4:12: 'dns://a' has no port (write dns://a:80, or dns://_http._tcp.NAME for SRV)"],
        ),
        (
            "[http]\nserver1 = a:1\ndiscover = file:///x\ndiscover_zone = a",
            [
                "5:1: [http] has 'discover' beside 'server1' of line 4 (keep one)",
                "6:1: 'discover_zone' has no effect with discover = file:///x",
            ],
        ),
        ("[http]\nserver1 = a:1\ndiscover_interval = 1s", ["5:1: 'discover_interval' needs a 'discover' in [http]"]),
        (
            "[http]\nserver1 = a:1\nsticky = ip\nsticky_redis = redis://a",
            ["6:1: 'sticky_redis' has no effect without sticky = query:sid"],
        ),
        (
            _HTTP + "[group:http]\nserver1 = a:1",
            ["5:1: the name 'http' belongs to the servers of [http] (line 3) (choose another)"],
        ),
    ],
)
def test_routes_and_groups(routes: str, expected: list[str]) -> None:
    assert problems(_FRONTEND + routes) == [f"a.ini:{line}" for line in expected]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("server1_name = x\nserver2 = a:1", ["4:1: server1 has no address in [http] (write server1 = host:port)"]),
        ("server1 = a:1\nserver2 = A:1", ["5:11: server2 has the same address as the server in line 4"]),
        (
            "server1 = a:1\nserver2 = b:1\nserver2_name = a:1",
            ["6:16: server2 has the same name as the server in line 4: 'a:1'"],
        ),
        (
            "server2 = a:1\nserver2_name = x\nserver1 = b:1\nserver1_name = x",
            ["5:16: server2 has the same name as the server in line 7: 'x'"],
        ),
        (
            "server1 = a:1\nserver2 = a:1\nserver2_name = x y",
            ["6:16: 'x y' is not a server's name (visible ASCII without quotes and backslashes)"],
        ),
        ("server1 = a:1\nserver1_enabled = no", ["3:1: [http] has no enabled server"]),
        ("server1 = a:1\nserver1_enabled = x", ["5:19: 'x' is neither yes nor no"]),
        (
            "server1 = a:1\nserver1_min_workers = 5\nserver1_max_workers = 4",
            ["5:23: min_workers = 5 is more than max_workers = 4 (line 6)"],
        ),
        (
            "min_workers = 5\nserver1 = a:1\nserver2 = b:1\nserver2_max_workers = 9",
            ["4:15: min_workers = 5 is more than max_workers = 3 (the default)"],
        ),
        (
            "max_workers = 2\nserver1 = a:1\nserver1_min_workers = 3",
            ["6:23: min_workers = 3 is more than max_workers = 2 (line 4)"],
        ),
        (
            "command = run <sock>\nmin_workers = 4",
            ["5:15: min_workers = 4 is more than max_workers = 3 (the default)"],
        ),
        (
            "server1 = a:1\nstartup_servers = 2\nenvironment = A=1",
            ["5:1: 'startup_servers' needs a 'command' in [http]", "6:1: 'environment' needs a 'command' in [http]"],
        ),
        ("command = run", ["4:11: the command has no <sock> (its server must listen on that unix socket)"]),
        ("command =", ["4:1: the command has no <sock> (its server must listen on that unix socket)"]),
        (
            "command = run 'x",
            ["4:11: no closing quotation in 'run 'x' (' #' outside double quotes begins a comment)"],
        ),
    ],
)
def test_servers(keys: str, expected: list[str]) -> None:
    assert problems(f"{_FRONTEND}[http]\n{keys}") == [f"a.ini:{line}" for line in expected]


_TLS = "tls_certificate = a.pem\ntls_key = a.key\n"  # lines 3 and 4 of a frontend


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("tls_certificate = a", ["3:1: 'tls_certificate' needs a 'tls_key' in [frontend]"]),
        ("tls_key = a", ["3:1: 'tls_key' needs a 'tls_certificate' in [frontend]"]),
        ("hsts = 365d", ["3:1: 'hsts' needs a 'tls_certificate' in [frontend]"]),
        (
            "tls_certificate = a\n  b\ntls_key = a",
            ["5:11: each tls_certificate needs its tls_key, in the same order (there are 2 and 1)"],
        ),
        (
            "tls_certificate =\ntls_key = a",
            ["3:1: 'tls_certificate' has no value (write one, or remove the key)"],
        ),
        ("redirect_https = yes", ["3:1: 'redirect_https' needs a frontend with a tls_certificate to redirect to"]),
        (
            _TLS + "redirect_https = yes",
            ["5:1: [frontend] has a tls_certificate: its requests come over https already"],
        ),
        ("proxy_protocol = accept", ["3:1: 'proxy_protocol' needs 'trusted_proxies' (who may send the header)"]),
        (
            "proxy_protocol = accept\ntrusted_proxies =",
            ["3:1: 'proxy_protocol' needs 'trusted_proxies' (who may send the header)"],
        ),
        (
            "proxy_protocol = send\ntrusted_proxies = x",
            [
                "3:18: 'send' is not one of accept",
                "4:19: 'x' is not an IP address or network (write 10.0.0.0/8)",
            ],
        ),
    ],
)
def test_what_a_listener_needs(keys: str, expected: list[str]) -> None:
    assert problems(f"{_FRONTEND}{keys}\n{_HTTP}") == [f"a.ini:{line}" for line in expected]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("server1 = a:1\ntls_ca = ca.pem", ["5:1: 'tls_ca' has no effect: there is no https:// server"]),
        (
            "server1 = https://a\nserver2 = b:1\nserver2_tls_verify = no",
            ["6:1: 'tls_verify' has no effect: there is no https:// server"],
        ),
        (
            "server1 = https://a\ntls_ca = ca.pem\ntls_verify = no",
            ["5:1: 'tls_ca' has no effect beside 'tls_verify = no'"],
        ),
        ("command = run <sock>\ntls_verify = no", ["5:1: 'tls_verify' has no effect: there is no https:// server"]),
        ("server1 = https://\ntls_ca = ca.pem", ["4:11: '' is not a host name or an IP address"]),
    ],
)
def test_tls_to_servers(keys: str, expected: list[str]) -> None:
    assert problems(f"{_FRONTEND}[http]\n{keys}") == [f"a.ini:{line}" for line in expected]


@pytest.mark.parametrize(
    "text",
    [
        _FRONTEND + "redirect_https = yes\n[frontend:tls]\nport = 443\nhsts = 1d\n" + _TLS + _HTTP,
        _FRONTEND + "redirect_https = no\nproxy_protocol = accept\ntrusted_proxies = ::1\n" + _HTTP,
        _FRONTEND + "[http]\nserver1 = https://a\nserver2 = b:1\ntls_ca = ca.pem\nserver1_tls_ca = own.pem",
        "[frontend]\nport = 0\n[frontend:b]\nport = 0\n[frontend:c]\nhost = ::1\nport = 80\n[frontend:d]\nport = 80\n"
        + _HTTP,
        _FRONTEND
        + _HTTP
        + "[websocket]\nserver1 = a:1\n[http:b]\nserver1 = a:1\npath_prefix = /b\n[http:c]\nhost = c\ngroup=http",
        _FRONTEND + _HTTP + "server2 = b:1\nserver1_enabled = no\nmin_workers = 3\nmax_workers = 3",
        _FRONTEND
        + "[http]\nserver1_name = x\nserver2_name = y\nserver1 = a:1\nserver2 = b:1\n[group:unused]\ncommand = <sock>",
    ],
)
def test_what_is_allowed(text: str) -> None:
    assert load(text, "a.ini", {}, "/").routes
