"""The ini syntax, rule by rule, and the exact place of each mistake."""

from __future__ import annotations

import pytest

from wsproxy.config.reader import Document, read


def values(document: Document) -> dict[str, dict[str, str]]:
    return {section.name: {key: entry.value for key, entry in section.entries.items()} for section in document.sections}


def read_values(text: str | bytes, **environment: str) -> dict[str, dict[str, str]]:
    document = read(text, "a.ini", environment)
    assert document.problems == []
    return values(document)


def problems(text: str | bytes, **environment: str) -> list[str]:
    return [str(problem) for problem in read(text, "a.ini", environment).problems]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("k=v", "v"),
        ("k = v", "v"),
        ("k\t=\tv\t", "v"),
        ("  k =  v  ", "v"),
        ("k = a=b", "a=b"),
        ("k =", ""),
        ('k = ""', ""),
        ("k = v # comment", "v"),
        ("k = v\t# comment", "v"),
        ("k = # comment", ""),
        ("k = v#1", "v#1"),
        ("k =#v", "#v"),
        ("k = v ; not a comment", "v ; not a comment"),
        ('k = " v "', " v "),
        ('k = " v " # comment', " v "),
        ('k = "a # b"', "a # b"),
        (r'k = "a \"b\" \\ \n"', r'a "b" \ \n'),
        (r"k = a \\ b", r"a \\ b"),
        ('k = "a b" --x "c # d" # comment', '"a b" --x "c # d"'),
        ('k = 5" # tape', '5"'),
        ("k = $5 and $", "$5 and $"),
        ("k = größe", "größe"),
    ],
)
def test_a_value(line: str, value: str) -> None:
    assert read_values(f"[s]\n{line}") == {"s": {"k": value}}


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff[s]\nk = v",
        b"\xef\xbb\xbf[s]\r\nk = v\r\n",
        "\n# comment\n ; comment\n[s]\n\n#c\nk = v",
        " [ s ]  # comment\n\tk = v",
        b"[s]\nk = v",
    ],
)
def test_bom_line_ends_comments_and_empty_lines(text: str | bytes) -> None:
    assert read_values(text) == {"s": {"k": "v"}}


def test_deeper_lines_continue_a_value_across_comments_and_empty_lines() -> None:
    text = '[s]\nheader =\n  A: 1 # one\n\n# no\n  # no\n\tB: "2"\n  "C: # 3"\n  [x]\nk = v'
    assert read_values(text) == {"s": {"header": 'A: 1\nB: "2"\nC: # 3\n[x]', "k": "v"}}


def test_lines_as_deep_as_the_key_are_keys() -> None:
    assert read_values("[s]\n  a = 1\n  b = 2\n    3\nc = 4\n\td = 5") == {
        "s": {"a": "1", "b": "2\n3", "c": "4\nd = 5"}
    }


def test_a_tab_counts_as_eight_columns() -> None:
    assert read_values("[s]\n        a = 1\n\tb = 2") == {"s": {"a": "1", "b": "2"}}


def test_places() -> None:
    section = read('[s]\n  key  =  "v"\n     w', "a.ini", {}).sections[0]
    entry = section.entries["key"]
    assert (section.place.line, section.place.column) == (1, 1)
    assert (entry.place.line, entry.place.column) == (2, 3)
    assert [(line.place.line, line.place.column) for line in entry.lines] == [(2, 11), (3, 6)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ('"${A} "', "1 "),
        ("${NONE:-2}", "2"),
        ("${EMPTY:-2}", "2"),
        ("${EMPTY}", ""),
        ("${NONE:-}", ""),
        ("${NONE:-a # b}", "a # b"),
        ("${A:-2}", "1"),
        ("$${A}", "${A}"),
        ("${SYNTAX}", '" # ${A} \\"'),
        ('"${SYNTAX}"', '" # ${A} \\"'),
    ],
)
def test_variables(value: str, expected: str) -> None:
    assert read_values(f"[s]\nk = {value}", A="1", EMPTY="", SYNTAX='" # ${A} \\"') == {"s": {"k": expected}}


_FORM = "'${' begins a variable: write ${NAME} or ${NAME:-default} (or $${ for the characters)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[s]\nk = a ${NONE}", ["2:7: the environment variable NONE is not set (${NONE:-default} gives it a default)"]),
        ("[s]\nk = ${A", [f"2:5: {_FORM}"]),
        ("[s]\nk = ${}", [f"2:5: {_FORM}"]),
        ('[s]\nk = "${1A}"', [f"2:6: {_FORM}"]),
        ("[s]\nk = ${A:+x}", [f"2:5: {_FORM}"]),
        ("[s]\nk = ${LINES}", ["2:5: the environment variable LINES holds a control character"]),
        ("k = 1\nl = 2\n[s]\nm = 3", ["1:1: key 'k' stands before the first [section]"]),
        ("[s\nk = v", ["1:1: '[' is not closed with ']'"]),
        ("[s] x\nk = v", ["1:5: unexpected text after ']'"]),
        ("[s] ; x", ["1:5: unexpected text after ']'"]),
        ("[ ]\nk = v", ["1:1: a section needs a name: [http]"]),
        ("[s]\nport: 80\n  more", ["2:1: expected [section], key = value or a # comment"]),
        ("[s]\n = v\n   w", ["2:2: a key is missing before '='"]),
        ('[s]\nk = "v\nl = "w # x"y', ["2:5: the quote '\"' is not closed"]),
        ('[s]\nk = "v # x', ["2:5: the quote '\"' is not closed"]),
        ("[s]\nk = 1\n\nk = 2", ["4:1: key 'k' stands twice in [s]: here and in line 2"]),
        ("[s]\n[t]\n [s]", ["3:2: section [s] stands twice: here and in line 1"]),
        (b"[s]\nk = \xc3\xa9\xff\xfe\n#\xff", ["2:6: byte 0xff is not UTF-8", "3:2: byte 0xff is not UTF-8"]),
        ("[s]\nk = a\0b\0", ["2:6: control character U+0000"]),
        ("[s]\nk = a\rb", ["2:6: control character U+000D"]),
    ],
)
def test_mistakes(text: str | bytes, expected: list[str]) -> None:
    assert problems(text, LINES="a\nb") == [f"a.ini:{line}" for line in expected]


def test_reading_goes_on_after_mistakes() -> None:
    document = read('[a\nk = 1\nnonsense\nl = "2\n[b] x\nm = ${NONE}\nn = 3', "a.ini", {})
    assert [problem.line for problem in document.problems] == [1, 3, 4, 5, 6]
    assert values(document) == {"a": {"k": "1", "l": ""}, "b": {"m": "", "n": "3"}}
    assert [entry.sound for section in document.sections for entry in section.entries.values()] == [
        True,
        False,
        False,
        True,
    ]


def test_the_keys_of_a_repeated_section_are_kept_apart() -> None:
    document = read("[s]\na = 1\n[s]\na = 2", "a.ini", {})
    assert [list(section.entries) for section in document.sections] == [["a"], ["a"]]
