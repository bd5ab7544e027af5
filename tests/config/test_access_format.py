"""Templates of access lines: what they say, and where they are wrong."""

from __future__ import annotations

import json

import pytest

from wsproxy.config.access_format import ACCESS_FORMAT, FIELDS, JSON, NUMBERS, TEXT, parse_format
from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import LineTemplate, LogSettings
from wsproxy.config.values import PartError

REST = "[frontend]\nport = 0\n[http]\nserver1 = 127.0.0.1:1\n"


def filled(template: LineTemplate, values: dict[str, str]) -> str:
    """The line that the template makes of these."""
    pieces = [template.literals[0]]
    for name, literal in zip(template.fields, template.literals[1:], strict=True):
        pieces += [values[name], literal]
    return "".join(pieces)


def test_a_template_is_fields_and_what_stands_between() -> None:
    template = parse_format('$client "$status" cost $$5,$total_ms').request
    assert template == LineTemplate(("", ' "', '" cost $5,', ""), ("client", "status", "total_ms"))
    assert parse_format("$status").closing == parse_format("$status").request


@pytest.mark.parametrize("chosen", [JSON, parse_format("json $status $backend $closed_by")])
def test_json_is_one_object_with_numbers_as_such(chosen: object) -> None:
    assert chosen in (JSON, parse_format("json $status $backend $closed_by"))
    for template in (JSON.request, JSON.closing, parse_format("json $status $backend $closed_by").request):
        values = {name: "7" if name in NUMBERS else "word" for name in FIELDS}
        told = json.loads(filled(template, values))
        assert tuple(told) == template.fields
        assert all(told[name] == (7 if name in NUMBERS else "word") for name in template.fields)


def test_the_ready_made_forms() -> None:
    assert parse_format("text") is TEXT
    assert parse_format("json") is JSON
    line = filled(TEXT.request, {name: name.upper() for name in FIELDS})
    assert line.startswith('CLIENT - - [TIME] "REQUEST" STATUS SENT_BYTES "REFERER" "USER_AGENT" ')
    assert set(JSON.closing.fields) == set(FIELDS) - {"time", "request"}
    assert "closed_by" not in JSON.request.fields
    assert filled(TEXT.closing, {name: name.upper() for name in FIELDS}).startswith(line)


@pytest.mark.parametrize(
    ("written", "offset", "message"),
    [
        ("$client $statos", 8, "'$statos' is not a field of access lines (did you mean '$status'?)"),
        ("$zzz", 0, "'$zzz' is not a field of access lines (there are time, "),
        ("$status costs 5$", 15, "'$' stands before no field"),
        ("plain", 0, "'plain' names no field"),
        ("json status", 5, "'status' is not a field (behind json"),
        ("json $status  $statos", 14, "(did you mean '$status'?)"),
        ("json $status $status", 13, "'$status' stands twice"),
    ],
)
def test_what_is_wrong_and_where(written: str, offset: int, message: str) -> None:
    with pytest.raises(PartError) as caught:
        ACCESS_FORMAT(written, "/")
    assert caught.value.offset == offset
    assert message in str(caught.value)


def test_a_mistake_is_reported_at_its_own_column() -> None:
    with pytest.raises(ConfigError) as caught:
        load(REST + "[log]\naccess_format = $client $statos\n", "a.ini", {}, "/")
    assert str(caught.value).startswith("a.ini:6:25: '$statos' is not a field")


def test_the_keys_of_the_log() -> None:
    read = load(REST + '[log]\nformat = json\naccess_format = "$status $sent_bytes"\n', "a.ini", {}, "/").log
    assert read == LogSettings(format="json", access_format=parse_format("$status $sent_bytes"))
    assert load(REST, "a.ini", {}, "/").log == LogSettings()
