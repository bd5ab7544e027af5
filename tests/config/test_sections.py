"""Sections and keys against the schema: what is unknown, not built yet, missing or without a proper value."""

from __future__ import annotations

import pytest

from wsproxy.config.errors import Problem
from wsproxy.config.reader import read
from wsproxy.config.sections import ParsedSection, parse


def parse_text(text: str) -> tuple[dict[str, ParsedSection], list[str]]:
    problems: list[Problem] = []
    parsed = parse(read(text, "a.ini", {}), "/etc/proxy", problems)
    return parsed, [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[http]\nmax_worker = 3", ["2:1: unknown key 'max_worker' in [http] (did you mean 'max_workers'?)"]),
        ("[http]\nerror_page = 502 = a.html", ["2:1: unknown key 'error_page' in [http] (it belongs in [frontend])"]),
        (
            "[group:app]\nalgorithm = random",
            ["2:1: unknown key 'algorithm' in [group:app] (it belongs in [http], [websocket] or [tcp:NAME])"],
        ),
        ("[http]\nserver = a:1", ["2:1: unknown key 'server' in [http] (did you mean 'server1'?)"]),
        ("[http]\nMax_Workers = 3", ["2:1: unknown key 'Max_Workers' in [http] (did you mean 'max_workers'?)"]),
        ("[http]\nqqq = 3", ["2:1: unknown key 'qqq' in [http]"]),
        (
            "[http]\nserver2_max_worker = 3",
            ["2:1: unknown key 'server2_max_worker' in [http] (did you mean 'server2_max_workers'?)"],
        ),
        ("[http]\nserver1_ = a:1", ["2:1: unknown key 'server1_' in [http]"]),
        ("[log]\nserver1 = a:1", ["2:1: unknown key 'server1' in [log]"]),
        ("[log]\nping_interval = 3", ["2:1: unknown key 'ping_interval' in [log] (it belongs in [websocket])"]),
        ("[htpp:a]", ["1:1: unknown section [htpp:a] (did you mean [http:a]?)"]),
        (
            "[HTTP]\nretries = x",
            ["1:1: unknown section [HTTP] (did you mean [http]?)", "2:11: 'x' is not a whole number (0 to 10)"],
        ),
        ("[cach]", ["1:1: unknown section [cach] (did you mean [cache]?)"]),
        ("[nothing_like_it]\nk = v", ["1:1: unknown section [nothing_like_it]"]),
        ("[log:a]", ["1:1: section [log] takes no name"]),
        ("[group]", ["1:1: section [group] needs a name: [group:NAME]"]),
        ("[http:]", ["1:1: '' is not a name (letters, digits, '_', '-' and '.')"]),
        ("[http:a:b]", ["1:1: 'a:b' is not a name (letters, digits, '_', '-' and '.')"]),
        ("[static:a]", ["1:1: [static:a] needs 'directory'"]),
        ("[frontend]\nhost = a", ["1:1: [frontend] needs 'port'"]),
        ("[frontend]\nport = x", ["2:8: 'x' is not a whole number (0 to 65535)"]),
        ("[frontend]\nport =", ["2:1: 'port' has no value (write one, or remove the key)"]),
        ('[frontend]\nport = ""', ["2:1: 'port' has no value (write one, or remove the key)"]),
        (
            "[frontend]\nport = 80\n  host = a",
            ["3:3: 'port' takes one line (this one is indented, so it continues the value)"],
        ),
        ("[http]\nworker_timeout = abc", ["2:18: 'abc' is not a duration (write 500ms, 3s, 5m)"]),
        (
            "[http]\nheader = A: 1\n  B C\n  :",
            [
                "3:3: 'B C' is not a header (write 'Name: value', or 'Name' for any value)",
                "4:3: ':' is not a header (write 'Name: value', or 'Name' for any value)",
            ],
        ),
        (
            "[http]\nserver1 = a:1\nserver1_addr = a:2",
            ["3:1: 'server1_addr' in [http] means the same as the key in line 2"],
        ),
        (
            "[http]\nserver1 = a:1\nserver01 = a:2",
            ["3:1: 'server01' in [http] means the same as the key in line 2"],
        ),
    ],
)
def test_mistakes(text: str, expected: list[str]) -> None:
    assert parse_text(text)[1] == [f"a.ini:{line}" for line in expected]


def test_a_reported_line_is_not_judged_again() -> None:
    assert parse_text("[frontend]\nport = ${NONE}")[1] == []


def test_settings_know_their_values_and_places() -> None:
    parsed, problems = parse_text("[http]\nhost =\n   A.org\nserver2 = a:1\nserver2_max_workers = 0\nmax_workers = 7")
    section = parsed["http"]
    host, most = section.get("host"), section.server_get(2, "max_workers")
    assert problems == ["a.ini:5:23: 0 is out of range (1 to 10000)"]
    assert host is not None
    assert (host.value, host.place.line, host.place.column, host.key_place.line) == (("a.org",), 3, 4, 2)
    assert most is None
    assert section.get("retries") is None


def test_values_of_many_lines_are_one_tuple() -> None:
    text = (
        "[frontend]\nport = 0\ntrusted_proxies = 10.0.0.0/8, ::1\n  127.0.0.1\n[frontend:b]\nport=0\ntrusted_proxies ="
    )
    parsed, problems = parse_text(text)
    first, second = parsed["frontend"].get("trusted_proxies"), parsed["frontend:b"].get("trusted_proxies")
    assert problems == []
    assert first is not None
    assert second is not None
    assert [str(network) for network in first.value] == ["10.0.0.0/8", "::1/128", "127.0.0.1/32"]
    assert second.value == ()


def test_the_keys_of_a_repeated_section_are_judged_and_the_first_section_stands() -> None:
    parsed, problems = parse_text("[http]\nretries = 2\n[http]\nretries = x")
    retries = parsed["http"].get("retries")
    assert problems == ["a.ini:4:11: 'x' is not a whole number (0 to 10)"]
    assert retries is not None
    assert retries.value == 2
