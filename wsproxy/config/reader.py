"""Reads ini text into sections, keys and values, each with its place, and reports every mistake of form.

Pure; knows the syntax of design section 10 and no key's meaning. The rules, in the order they are applied to a line:

- UTF-8, a BOM at the start and CRLF line ends are accepted; control characters other than the tab are not.
- Empty lines, and lines whose first character is `#` or `;`, are skipped, inside a continued value too.
- A line indented deeper than the key above it continues that key's value; a value is a list of lines.
- `[name]` opens a section, `key = value` or `key=value` is a key, split at the first `=`.
- ` #` after white space begins a comment, except inside a closed pair of double quotes or inside `${…}`; ` ;` never.
- A line of a value that is one double-quoted string stands for its content, in which `\"` and `\\` are escapes. Quotes
  anywhere else are part of the value (a command keeps its own).
- `${NAME}` and `${NAME:-default}` (for a variable unset or empty) are replaced last, so nothing in the environment is
  ever read as syntax. `$${` stands for a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from wsproxy.config.errors import Place, Problem

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT: Final = re.compile(_QUOTED.pattern + r"|\$\{[^}]*\}|(?<=\s)(?P<comment>#)")
_TOKEN: Final = re.compile(
    r"(?P<literal>\$\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<has_default>:-(?P<default>[^}]*))?\}"
    r'|(?P<malformed>\$\{)|\\(?P<escaped>["\\])'
)
_TAB_WIDTH: Final = 8  # how wide a tab counts when two indents are compared, as editors and Python have it


@dataclass(frozen=True, slots=True)
class ValueLine:
    """One line of a value, without comment, quotes and variables, and where it began."""

    text: str
    place: Place


@dataclass(slots=True)
class Entry:
    """A key and the lines of its value; `sound` is False once one of them was reported and cannot be judged further."""

    key: str
    place: Place
    lines: list[ValueLine] = field(default_factory=list)
    sound: bool = True

    @property
    def value(self) -> str:
        """The lines that are not empty, joined by newlines."""
        return "\n".join(line.text for line in self.lines if line.text)


@dataclass(slots=True)
class Section:
    """A section's entries in the order of the file; of two equal keys only the first is kept."""

    name: str
    place: Place
    entries: dict[str, Entry] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """All that the text held. Two sections of one name are reported and both kept, so that their keys can be judged."""

    sections: list[Section] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(text: str | bytes, source: str, environment: Mapping[str, str]) -> Document:
    """Read ini text; `source` is the file's name in problems. Never raises: mistakes are in the document."""
    document = Document()
    reading = _Reading(source, environment, document)
    for number, line in enumerate(_lines(text, source, document.problems), start=1):
        reading.take(line, number)
    return document


def _lines(text: str | bytes, source: str, problems: list[Problem]) -> Iterator[str]:
    """The text's lines without their ends; one that is not UTF-8 is reported and read with U+FFFD there."""
    if isinstance(text, str):
        yield from (line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n"))
        return
    for number, raw in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            column = len(raw[: error.start].decode()) + 1
            problems.append(Place(source, number, column).problem(f"byte 0x{raw[error.start]:02x} is not UTF-8"))
            line = raw.decode(errors="replace")
        yield line.removesuffix("\r")


class _Reading:
    """The state between two lines: the open section, and the open entry that a deeper line continues."""

    def __init__(self, source: str, environment: Mapping[str, str], document: Document) -> None:
        self._source = source
        self._environment = environment
        self._document = document
        self._section: Section | None = None
        self._entry: Entry | None = None
        self._indent = 0  # the open entry's

    def take(self, line: str, number: int) -> None:
        """Read one line."""
        start = Place(self._source, number, 1)
        control = _CONTROL.search(line)
        if control is not None:
            self._report(start.right(control.start()), f"control character U+{ord(control[0]):04X}")
            line = _CONTROL.sub(" ", line)
        content = line.lstrip()
        if not content or content[0] in "#;":
            return
        place = start.right(len(line) - len(content))
        indent = len(line.expandtabs(_TAB_WIDTH)) - len(line.expandtabs(_TAB_WIDTH).lstrip())
        content = _without_comment(content)
        if self._entry is not None and indent > self._indent:
            self._take_value(self._entry, content, place)
        elif content[0] == "[":
            self._open_section(content, place)
        else:
            self._open_entry(content, place)
            self._indent = indent

    def _open_section(self, content: str, place: Place) -> None:
        name, closed, rest = content[1:].partition("]")
        name = name.strip()
        if not closed:
            self._report(place, "'[' is not closed with ']'")
        elif rest.strip():
            after = content.index("]") + 1
            self._report(place.right(after + len(rest) - len(rest.lstrip())), "unexpected text after ']'")
        if not name:
            self._report(place, "a section needs a name: [http]")
        self._entry = None
        self._section = Section(name, place)
        first = next((section for section in self._document.sections if section.name == name), None)
        if first is not None:
            self._report(place, f"section [{name}] stands twice: here and in line {first.place.line}")
        if name:
            self._document.sections.append(self._section)

    def _open_entry(self, content: str, place: Place) -> None:
        key, equals, value = content.partition("=")
        key = key.rstrip()
        self._entry = entry = Entry(key, place)
        if not equals:
            self._report(place, "expected [section], key = value or a # comment")
            return
        if not key:
            self._report(place, "a key is missing before '='")
        elif self._section is None:
            self._report(place, f"key '{key}' stands before the first [section]")
            self._section = Section("", place)  # the rest of them belong nowhere too: one report is enough
        else:
            self._keep(self._section, entry)
        stripped = value.strip()
        self._take_value(entry, stripped, place.right(len(content) - len(value.lstrip())))

    def _keep(self, section: Section, entry: Entry) -> None:
        first = section.entries.setdefault(entry.key, entry)
        if first is not entry:
            where = f"here and in line {first.place.line}"
            self._report(entry.place, f"key '{entry.key}' stands twice in [{section.name}]: {where}")

    def _take_value(self, entry: Entry, text: str, place: Place) -> None:
        """Add a line, already without its comment, to a value."""
        text = text.rstrip()
        start = place
        quoted = _QUOTED.fullmatch(text) is not None
        if quoted:
            text, place = text[1:-1], place.right(1)
        elif text.startswith('"') and _QUOTED.match(text) is None:
            self._report(place, "the quote '\"' is not closed")
            entry.sound = False
            return
        try:
            expanded = "".join(self._expanded(text, place, quoted))
        except _VariableError as error:
            self._report(error.place, str(error))
            entry.sound = False
            return
        entry.lines.append(ValueLine(expanded, start))

    def _expanded(self, text: str, place: Place, quoted: bool) -> Iterator[str]:
        """The pieces of a value with variables and escapes replaced; raises _VariableError at the variable's place."""
        end = 0
        for match in _TOKEN.finditer(text):
            yield text[end : match.start()]
            end = match.end()
            if match["name"] is not None:
                yield self._variable(match, place.right(match.start()))
            elif match["malformed"] is not None:
                message = "'${' begins a variable: write ${NAME} or ${NAME:-default} (or $${ for the characters)"
                raise _VariableError(place.right(match.start()), message)
            elif match["literal"] is not None:
                yield "${"
            else:
                yield match["escaped"] if quoted else match[0]
        yield text[end:]

    def _variable(self, match: re.Match[str], place: Place) -> str:
        name = match["name"]
        value = self._environment.get(name)
        if match["has_default"] is not None:
            return value or match["default"]
        if value is None:
            message = f"the environment variable {name} is not set (${{{name}:-default}} gives it a default)"
            raise _VariableError(place, message)
        if _CONTROL.search(value):
            raise _VariableError(place, f"the environment variable {name} holds a control character")
        return value

    def _report(self, place: Place, message: str) -> None:
        self._document.problems.append(place.problem(message))


class _VariableError(Exception):
    """A `${…}` that cannot be replaced."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


def _without_comment(text: str) -> str:
    """The text up to a ` #` that stands outside closed double quotes and `${…}`."""
    for match in _COMMENT.finditer(text):
        if match["comment"] is not None:
            return text[: match.start()]
    return text
