"""The ini reader for any text: what is written with its rules is read back, and nothing makes it raise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsproxy.config.reader import read

_CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"), include_characters="\t")
_VALUES = st.text(_CHARACTERS, max_size=20) | st.text("\"\\${}# ;=[]A:-'", max_size=12)
_NAMES = st.text("abcXYZ019_.:-", min_size=1, max_size=8)
_NOISE = st.sampled_from(["", "# comment\n", "  ; comment = 1\n", "\n", " \t\n"])
_LAYOUT = st.tuples(st.sampled_from(["=", " = ", "\t=  "]), st.sampled_from(["", " ", " # comment", "\t#"]), _NOISE)
_FILES = st.dictionaries(
    _NAMES, st.dictionaries(_NAMES, st.lists(_VALUES, min_size=1, max_size=3), max_size=4), max_size=4
)


def quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "$${")
    return f'"{escaped}"'


@given(_FILES, st.lists(_LAYOUT, min_size=1, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_is_written_is_read_back(
    file: dict[str, dict[str, list[str]]], layouts: list[tuple[str, str, str]], newline: str, as_bytes: bool
) -> None:
    text = ""
    for section_number, (section, keys) in enumerate(file.items()):
        text += f"[{section}]\n"
        for key_number, (key, values) in enumerate(keys.items()):
            equals, end, noise = layouts[(section_number + key_number) % len(layouts)]
            lines = f"{end}\n{noise}  ".join(quoted(value) for value in values)
            text += f"{noise}{key}{equals}{lines}{end}\n"
    text = text.replace("\n", newline)
    document = read(b"\xef\xbb\xbf" + text.encode() if as_bytes else "\ufeff" + text, "a.ini", {})
    assert document.problems == []
    found = {
        section.name: {key: [line.text for line in entry.lines] for key, entry in section.entries.items()}
        for section in document.sections
    }
    assert found == file


@given(
    st.text()
    | st.text('[]="\\${}:-# \n\tab\0\r')
    | st.binary()
    | st.text('[]="${}# \nab\xff').map(lambda t: t.encode("latin-1"))
)
def test_any_text_is_read_and_every_problem_has_a_place_in_it(text: str | bytes) -> None:
    document = read(text, "a.ini", {"a": "1", "b": "\n"})
    lines = text.split("\n") if isinstance(text, str) else [line.decode(errors="replace") for line in text.split(b"\n")]
    for problem in document.problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1


@given(_VALUES)
def test_the_environment_is_never_syntax(value: str) -> None:
    document = read('[s]\na = ${V}\nb = "${V}"\nc = ${NONE:-x}', "a.ini", {"V": value})
    assert document.problems == []
    assert [entry.lines[0].text for entry in document.sections[0].entries.values()] == [value, value, "x"]
