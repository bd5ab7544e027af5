"""The section [admin]: its defaults, its token, and the addresses that need one."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import AdminSettings
from wsproxy.config.shown import MASK, shown

REST = "[frontend]\nport = 80\n[http]\nserver1 = a:1\n"  # four lines
TOKEN = "0123456789abcdef"


def admin(lines: str) -> AdminSettings | None:
    return load(f"{REST}[admin]\n{lines}", "a.ini", {}, "/etc/proxy").admin


def problems(lines: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        admin(lines)
    return [str(problem) for problem in caught.value.problems]


def test_it_listens_only_where_the_section_stands() -> None:
    assert load(REST, "a.ini", {}, "/").admin is None
    assert admin("") == AdminSettings()


def test_every_key() -> None:
    assert admin(
        f"host = 10.0.0.1\nport = 9999\ntoken = {TOKEN}\nallow = 10.0.0.0/8 ::1\nmetrics_allow = 10.1.0.0/16\n"
        "dashboard = no\nmonitor = no\n"
    ) == AdminSettings(
        host="10.0.0.1",
        port=9999,
        token=TOKEN,
        allow=(ip_network("10.0.0.0/8"), ip_network("::1")),
        metrics_allow=(ip_network("10.1.0.0/16"),),
        dashboard=False,
        monitor=False,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert admin(f"host = {host}") is not None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "admin.example", "localhost.example"])
def test_an_address_that_others_can_reach_needs_one(host: str) -> None:
    assert problems(f"host = {host}") == [
        f"a.ini:6:8: '{host}' can be reached from elsewhere, so [admin] needs a 'token'"
    ]
    assert admin(f"host = {host}\ntoken = {TOKEN}") is not None


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("short", "the token has 5 characters, of which 16 at least are needed"),
        ("with a space in it all", "a token is visible ASCII without spaces (write token = ${ADMIN_TOKEN}, say)"),
        ("ungültig-und-lang-genug", "a token is visible ASCII without spaces (write token = ${ADMIN_TOKEN}, say)"),
    ],
)
def test_a_token_is_long_and_fits_into_a_header_field(token: str, problem: str) -> None:
    assert problems(f"host = 0.0.0.0\ntoken = {token}") == [f"a.ini:7:9: {problem}"]


def test_secrets_are_masked_where_the_configuration_is_shown() -> None:
    text = (
        f"[frontend]\nport = 80\n[http]\ncommand = x <sock>\nenvironment = PASSWORD=hunter2\n"
        f"[admin]\ntoken = {TOKEN}\nallow = 10.0.0.0/8\n"
    )
    content = shown(load(text, "a.ini", {}, "/"))
    assert content["admin"]["token"] == MASK
    assert content["admin"]["allow"] == ["10.0.0.0/8"]
    assert content["groups"][0]["managed"]["environment"] == [["PASSWORD", MASK]]
    assert "hunter2" not in repr(content)
    assert TOKEN not in repr(content)
    assert content["frontends"][0]["header_timeout_s"] == 10.0
    assert "place" not in content["frontends"][0]


def test_what_is_not_set_is_shown_as_that() -> None:
    content = shown(load(f"{REST}[admin]\n", "a.ini", {}, "/"))
    assert content["admin"]["token"] is None
    assert content["groups"][0]["servers"][0]["address"] == "a:1"
