"""Whole files: the settings they become, and all their mistakes at once."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.group_settings import Address, GroupSettings, HealthSettings, ManagedSettings, ServerSettings
from wsproxy.config.model import CertificateSettings, Config, FrontendSettings, HeaderMatch, LogSettings, RouteSettings

_ORIGINAL = """\
[frontend]
host=0.0.0.0
port=8080
[websocket]
enable_health_check=false
health_check_interval=10
algorithm=round-robin
server1=127.0.0.1:9101
server2=127.0.0.1:9102
[http]
algorithm=random
server1_addr=127.0.0.1:9001
server1_max_workers=10
server1_min_workers=3
server1_worker_timeout=3
server1_buffer_size=20
server2=127.0.0.1:9002
"""


POOL_KEYS = frozenset({"max_workers", "min_workers", "worker_timeout", "buffer_size"})


def server(
    port: int,
    max_workers: int = 3,
    min_workers: int = 1,
    buffer_size: int = 10,
    pool_keys: frozenset[str] = frozenset(),
) -> ServerSettings:
    address = Address("127.0.0.1", port)
    pool = {"max_workers": max_workers, "min_workers": min_workers, "buffer_size": buffer_size}
    return ServerSettings(f"127.0.0.1:{port}", address, **pool, pool_keys=pool_keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", [_ORIGINAL, _ORIGINAL.encode(), b"\xef\xbb\xbf" + _ORIGINAL.replace("\n", "\r\n").encode()]
)
def test_a_file_of_the_original_worker_pool_proxy(text: str | bytes) -> None:
    assert load(text, "proxy.ini", {}, "/etc/proxy") == Config(
        source="proxy.ini",
        frontends=(FrontendSettings("frontend", "0.0.0.0", 8080),),
        routes=(
            RouteSettings("websocket", "websocket", "websocket", algorithm="round-robin"),
            RouteSettings("http", "http", "http"),
        ),
        groups=(
            GroupSettings("websocket", (server(9101), server(9102))),
            GroupSettings("http", (server(9001, 10, 3, 20, POOL_KEYS), server(9002))),
        ),
    )


def test_every_available_key() -> None:
    text = """\
    [frontend]
    port = 0
    [frontend:web]
    host = ::1
    port = ${PORT:-8081}
    processes = 1
    max_connections = 5
    header_timeout = 1
    body_timeout = 2
    keepalive_timeout = 3m
    keepalive_requests = 4
    max_header_size = 8k
    max_headers = 50
    max_body_size = 1m
    trusted_proxies = 10.0.0.0/8
      127.0.0.1
    underscores_in_headers = yes
    shutdown_timeout = 1h
    [http:api]
    frontend = web
    path_prefix = /api
    host = *.Example.org
    header =
      X-Version: 2
      X-Any
    group = app
    algorithm = round-robin
    queue_timeout = 1
    connect_timeout = 2
    response_timeout = 500ms
    retries = 0
    preserve_host = yes
    pass_trailers = yes
    [websocket:chat]
    frontend = frontend
    server2 = unix:chat.sock
    server1 = http://${HOST}/base
    server1_name = one
    server1_enabled = no
    server1_max_workers = 9
    max_workers = 8
    min_workers = 0
    worker_timeout = 1d
    buffer_size = 0
    enable_health_check = yes
    health_check_path = /up?x=1
    health_check_interval = 1
    health_check_timeout = 1s
    health_check_fall = 4
    health_check_rise = 5
    [group:app]
    command = <python> -m app
      --uds=<sock>
    startup_servers = 2
    environment =
      A=1
      B=x y
    working_directory = app
    max_workers = 4
    enable_health_check = yes
    [log]
    level = WARNING
    access = access.log
    """
    config = load(text, "proxy.ini", {"HOST": "es1_hc:8080"}, "/etc/proxy")
    assert config.frontends == (
        FrontendSettings("frontend", "0.0.0.0", 0),
        FrontendSettings(
            name="frontend:web",
            host="::1",
            port=8081,
            max_connections=5,
            header_timeout_s=1.0,
            body_timeout_s=2.0,
            keepalive_timeout_s=180.0,
            keepalive_requests=4,
            max_header_size_bytes=8192,
            max_headers=50,
            max_body_size_bytes=1024**2,
            trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("127.0.0.1/32")),
            underscores_in_headers=True,
            shutdown_timeout_s=3600.0,
        ),
    )
    assert config.routes == (
        RouteSettings(
            name="http:api",
            kind="http",
            group="app",
            frontend="frontend:web",
            path_prefix="/api",
            hosts=("*.example.org",),
            headers=(HeaderMatch("x-version", "2"), HeaderMatch("x-any")),
            algorithm="round-robin",
            queue_timeout_s=1.0,
            connect_timeout_s=2.0,
            response_timeout_s=0.5,
            retries=0,
            preserve_host=True,
            pass_trailers=True,
        ),
        RouteSettings("websocket:chat", "websocket", "websocket:chat", frontend="frontend"),
    )
    pool = {"min_workers": 0, "worker_timeout_s": 86400.0, "buffer_size": 0, "pool_keys": POOL_KEYS}
    chat, app = config.groups
    base = Address("es1_hc", 8080, authority="es1_hc:8080", base_path="/base")
    sock = Address(unix_path="/etc/proxy/chat.sock")
    assert chat.servers == (
        ServerSettings("one", base, enabled=False, max_workers=9, **pool),  # type: ignore[arg-type]
        ServerSettings("unix:/etc/proxy/chat.sock", sock, max_workers=8, **pool),  # type: ignore[arg-type]
    )
    assert (chat.template, chat.managed) == (None, None)
    assert chat.health == HealthSettings("/up?x=1", 1.0, 1.0, 4, 5)
    assert app == GroupSettings(
        name="app",
        template=ServerSettings("", Address(), max_workers=4, pool_keys=frozenset({"max_workers"})),
        health=HealthSettings("/healthCheck"),
        managed=ManagedSettings(
            command=("<python>", "-m", "app", "--uds=<sock>"),
            startup_servers=2,
            max_servers=2,
            environment=(("A", "1"), ("B", "x y")),
            working_directory="/etc/proxy/app",
        ),
    )
    assert config.log == LogSettings("warning", "/etc/proxy/access.log")


def test_a_route_may_own_a_command() -> None:
    config = load("[frontend]\nport=0\n[http]\ncommand=serve <sock>", "a.ini", {}, "/")
    assert config.routes[0].group == config.groups[0].name == "http"
    assert config.groups[0].managed == ManagedSettings(("serve", "<sock>"))


def test_every_mistake_is_reported_in_the_order_of_the_file() -> None:
    text = "[frontend]\nport = ${PORT}\nprot = 1\n[http]\nserver1 = a:1\nserver2 = a:1\nretries = 99\n[cache]\n[http"
    with pytest.raises(ConfigError) as caught:
        load(text, "proxy.ini", {}, "/")
    assert str(caught.value).splitlines() == [
        "proxy.ini:2:8: the environment variable PORT is not set (${PORT:-default} gives it a default)",
        "proxy.ini:3:1: unknown key 'prot' in [frontend] (did you mean 'port'?)",
        "proxy.ini:6:11: server2 has the same address as the server in line 5",
        "proxy.ini:7:11: 99 is out of range (0 to 10)",
        "proxy.ini:9:1: '[' is not closed with ']'",
        "proxy.ini:9:1: section [http] stands twice: here and in line 4",
    ]


def test_certificates_in_order_each_with_its_key_and_the_places_of_both() -> None:
    text = "[frontend]\nport = 443\ntls_certificate = a.pem\n  /b.pem\ntls_key = a.key\n  b.key\n[http]\nserver1 = a:1"
    (frontend,) = load(text, "a.ini", {}, "/etc/proxy").frontends
    assert frontend.certificates == (
        CertificateSettings("/etc/proxy/a.pem", "/etc/proxy/a.key"),
        CertificateSettings("/b.pem", "/etc/proxy/b.key"),
    )
    places = [(pair.place, pair.key_place) for pair in frontend.certificates]
    assert places == [("a.ini:3:19", "a.ini:5:11"), ("a.ini:4:3", "a.ini:6:3")]


def test_how_https_servers_are_checked() -> None:
    keys = "server1 = https://a\nserver1_tls_verify = no\nserver2 = https://b\nserver3 = c:1\ntls_ca = ca.pem"
    (group,) = load(f"[frontend]\nport = 80\n[http]\n{keys}", "a.ini", {}, "/etc").groups
    checks = [(s.address.tls, s.address.tls_verify, s.address.tls_ca, s.tls_place) for s in group.servers]
    assert checks[1:] == [(True, True, "/etc/ca.pem", "a.ini:8:10"), (False, True, "", "a.ini:8:10")]
    assert checks[0][:2] == (True, False)
