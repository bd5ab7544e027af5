"""Error pages and the name in Via, by the lines that a user writes and sees."""

from __future__ import annotations

import pytest

from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import ErrorPageSettings, FrontendSettings

_HTTP = "\n[http]\nserver1 = a:1\n"


def frontend(keys: str) -> FrontendSettings:
    (settings,) = load(f"[frontend]\nport = 0\n{keys}{_HTTP}", "a.ini", {}, "/etc/proxy").frontends
    return settings


def test_pages_line_by_line() -> None:
    settings = frontend("error_page = 404 = not found.html\n  502, 503 504 = /srv/down.TXT\n  429=../slow.json")
    assert settings.error_pages == (
        ErrorPageSettings((404,), "/etc/proxy/not found.html", "text/html"),
        ErrorPageSettings((502, 503, 504), "/srv/down.TXT", "text/plain"),
        ErrorPageSettings((429,), "/etc/slow.json", "application/json"),
    )
    assert [page.place for page in settings.error_pages] == ["a.ini:3:14", "a.ini:4:3", "a.ini:5:3"]
    assert frontend("").error_pages == ()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("x.html", "is not an error page"),
        ("= x.html", "is not an error page"),
        ("404 =", "is not an error page"),
        ("200 = x.html", "'200' is not a status"),
        ("404 5xx = x.html", "'5xx' is not a status"),
        ("499 = x.html", "'499' is not a status"),
        ("404 = x", "no suffix"),
        ("404 = x.php", "write .html, .htm, .txt, .json"),
    ],
)
def test_what_is_no_page(line: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        frontend(f"error_page = {line}")
    (found,) = caught.value.problems
    assert problem in found.message
    assert (found.line, found.column) == (3, 14)


def test_a_status_has_one_page() -> None:
    with pytest.raises(ConfigError) as caught:
        frontend("error_page = 404 = a.html\n  500 = b.html\n  503 404 = c.html")
    assert [str(problem) for problem in caught.value.problems] == ["a.ini:5:3: 404 has a page already (line 3)"]


@pytest.mark.parametrize("name", ["edge", "gw.example:8080", "[::1]:80"])
def test_a_name_in_via(name: str) -> None:
    assert frontend(f"via = {name}").via == name
    assert frontend("").via is None


@pytest.mark.parametrize("name", ["two words", "a,b", "(x)", "caf\xe9", "http://x"])
def test_what_is_no_name_in_via(name: str) -> None:
    with pytest.raises(ConfigError, match="is not a name for Via"):
        frontend(f"via = {name}")
