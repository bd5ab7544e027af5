"""Static files and compression as they are written in the file."""

from __future__ import annotations

import importlib.util

import pytest

from wsproxy.config import content
from wsproxy.config.build import load
from wsproxy.config.content_settings import CompressionSettings, StaticSettings
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import RouteSettings

HEAD = "[frontend]\nport = 80\n"


def route(text: str) -> RouteSettings:
    (found,) = load(HEAD + text, "a.ini", {}, "/etc/site").routes
    return found


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(HEAD + text, "a.ini", {}, "/")
    return [str(problem) for problem in caught.value.problems]


def test_least_that_is_needed() -> None:
    found = route("[static:a]\ndirectory = www\n")
    assert (found.name, found.kind, found.group, found.compression) == ("static:a", "http", "", None)
    assert found.static == StaticSettings("/etc/site/www")
    assert found.static.place == "a.ini:4:13"


def test_everything() -> None:
    found = route(
        "[static:a]\nhost = a.example\npath_prefix = /x\ndirectory = /srv\nindex = a.html, b.html\nlisting = yes\n"
        "fallback = /a.html\nprecompressed = gzip\ncache_control = public, max-age=60\n"
        "compress = GZIP br\ncompress_types = text/html,\n  +json\ncompress_min_size = 2k\ncompress_level = 9\n"
    )
    assert found.static == StaticSettings(
        "/srv", ("a.html", "b.html"), True, "/a.html", ("gzip",), "public, max-age=60"
    )
    assert found.compression == CompressionSettings(("gzip", "br"), ("text/html", "+json"), 2048, 9)
    assert (found.path_prefix, found.hosts) == ("/x", ("a.example",))


def test_what_can_be_switched_off() -> None:
    found = route("[static:a]\ndirectory = /srv\nindex = off\nprecompressed = no\ncompress = off\n")
    assert found.static is not None
    assert (found.static.index, found.static.precompressed, found.compression) == ((), (), None)


def test_compression_of_servers_answers() -> None:
    found = route("[http]\nserver1 = a:1\ncompress = zstd, gzip\n")
    assert found.compression == CompressionSettings(("zstd", "gzip"))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("compress = lzma", "5:12: 'lzma' is not a content coding (write gzip, zstd, br, or off)"),
        ("compress = gzip gzip", "5:12: 'gzip gzip' names a coding twice"),
        (
            "compress = gzip\ncompress_types = html",
            "6:18: 'html' is not a media type (write text/html, text/*, or +json)",
        ),
        ("compress = gzip\ncompress_level = 10", "6:18: 10 is out of range (1 to 9)"),
        ("compress_level = 1", "5:1: 'compress_level' has no effect without 'compress' (write compress = gzip)"),
        ("index = a/b", "5:9: 'a/b' is not the name of a file in a directory (write index.html)"),
        ("index = .a", "5:9: '.a' is not the name of a file in a directory (write index.html)"),
        ("cache_control = é", "5:17: 'é' cannot stand in a header (visible ASCII and spaces only)"),
        ("fallback = index.html", "5:12: 'index.html' is not a path (write '/index.html')"),
        ("server1 = a:1", "5:1: unknown key 'server1' in [static:a]"),
        ("frontend = nobody", "5:12: there is no [frontend:nobody]"),
    ],
)
def test_mistakes(line: str, expected: str) -> None:
    assert problems(f"[static:a]\ndirectory = /srv\n{line}\n") == [f"a.ini:{expected}"]


def test_matches_the_same_as_another_route() -> None:
    found = problems("[http]\nserver1 = a:1\n[static:a]\ndirectory = /srv\n")
    assert found == ["a.ini:5:1: [static:a] matches the same requests as [http] (line 3)"]


def test_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "find_spec", lambda name: None if name == "brotli" else importlib.util.find_spec(name))
    assert problems("[http]\nserver1 = a:1\ncompress = gzip, br\n") == [
        "a.ini:5:12: 'br' needs the library brotli (pip install wsproxy[compression])"
    ]
    assert route("[static:a]\ndirectory = /srv\nprecompressed = br\n").static is not None
