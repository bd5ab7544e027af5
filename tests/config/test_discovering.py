"""What `discover` and its kin may say."""

from __future__ import annotations

import pytest

from wsproxy.config import discovering
from wsproxy.config.discovering import API, DISCOVER, RESOLVER
from wsproxy.config.discovery_settings import Target


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("dns://app.internal:8080", Target("dns", "app.internal", "8080")),
        ("dns://_http._tcp.app.internal", Target("srv", "_http._tcp.app.internal")),
        ("file:///etc/servers.json", Target("file", path="/etc/servers.json")),
        ("kubernetes://shop/web:http", Target("kubernetes", "web", "http", "shop")),
        ("kubernetes://shop/web:80", Target("kubernetes", "web", "80", "shop")),
    ],
)
def test_targets(written: str, target: Target) -> None:
    assert DISCOVER(written, "/etc") == target
    assert str(target) == written


def test_a_file_is_relative_to_the_ini_file() -> None:
    assert DISCOVER("file://servers.json", "/etc/wsproxy").path == "/etc/wsproxy/servers.json"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "app:80",
        "dns://",
        "dns://a b:1",
        "dns://a:0",
        "dns://a:99999",
        "kubernetes://web:80",
        "file://",
        "http://a:1",
    ],
)
def test_what_says_nowhere(written: str) -> None:
    with pytest.raises(ValueError, match="write"):
        DISCOVER.parse(written)


def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovering, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"needs the library dns \(pip install wsproxy\[discovery\]\)"):
        DISCOVER.parse("dns://a:1")
    DISCOVER.parse("file:///a")


@pytest.mark.parametrize(
    ("written", "value"), [("10.0.0.2", "10.0.0.2#53"), ("10.0.0.2:5353", "10.0.0.2#5353"), ("[::1]:53", "::1#53")]
)
def test_resolvers(written: str, value: str) -> None:
    assert RESOLVER.parse(written) == value


@pytest.mark.parametrize("written", ["dns.internal", "10.0.0.2:0", "10.0.0.2:x", ""])
def test_what_is_no_resolver(written: str) -> None:
    with pytest.raises(ValueError, match="write"):
        RESOLVER.parse(written)


def test_an_api_is_a_url() -> None:
    assert API.parse("https://10.0.0.1:6443/") == "https://10.0.0.1:6443"
    with pytest.raises(ValueError, match="write"):
        API.parse("10.0.0.1:6443")
