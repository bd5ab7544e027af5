"""Matches what was read with the schema: every section and key known and parsed, or reported.

Pure; knows the schema's shape and no single key. What two keys or two sections say of each other is `crosscheck`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from wsproxy.config.errors import Place, Problem
from wsproxy.config.keys import Key, SectionKind, Table
from wsproxy.config.reader import Document, Entry, Section, ValueLine
from wsproxy.config.schema import SECTIONS
from wsproxy.config.values import PartError

_SERVER_KEY: Final = re.compile(r"server(?P<number>[0-9]{1,6})(?:_(?P<option>.*))?")
_SECTION_SUFFIX: Final = re.compile(r"[A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that was written: its parsed value, or `valid` False when it was reported and has none."""

    value: Any
    place: Place  # of the value
    key_place: Place
    valid: bool = True
    places: tuple[Place, ...] = ()  # of each line of the value


@dataclass(slots=True)
class ParsedSection:
    """A section whose keys were checked one by one.

    settings: by key; those of single servers are in `servers`, by number and by key without `serverN_`.
    """

    name: str
    kind: SectionKind
    place: Place
    settings: dict[str, Setting] = field(default_factory=dict)
    servers: dict[int, dict[str, Setting]] = field(default_factory=dict)

    def get(self, key: str) -> Setting | None:
        """The setting of a key, if it was written and is valid."""
        setting = self.settings.get(key)
        return setting if setting is not None and setting.valid else None

    def server_get(self, number: int, key: str) -> Setting | None:
        """The setting of a key for one server: its own or the section's, if it was written and is valid."""
        setting = self.servers[number].get(key, self.settings.get(key))
        return setting if setting is not None and setting.valid else None

    def fields(self, table: Table) -> dict[str, Any]:
        """Arguments for the table's settings class."""
        return dict(_fields(table.keys, self.get))

    def server_fields(self, number: int, table: Table) -> dict[str, Any]:
        """Arguments for a server's settings class."""
        return dict(_fields(table.keys, lambda key: self.server_get(number, key)))


Sections = Mapping[str, ParsedSection]
"""Those of a file, by name."""


def _fields(keys: Iterable[Key], get: Callable[[str], Setting | None]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        if not key.target:
            continue
        setting = get(key.name)
        if setting is not None:
            yield key.target, setting.value
        elif key.default is not None:
            yield key.target, key.parse(key.default, "")


def suggestion(written: str, known: Iterable[str], prefix: str = "") -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is close."""
    close = get_close_matches(written.lower(), list(known), n=1)
    return f" (did you mean '{prefix}{close[0]}'?)" if close else ""


def _belongs(written: str) -> str:
    """` (it belongs in [http] or [websocket])` for a key that other sections have, or nothing."""
    kinds = [kind for kind in SECTIONS if any(key.name == written for key in kind.every_key())]
    if not kinds:
        return ""
    *others, last = [f"[{kind.name}]" if kind.may_be_plain else kind.form for kind in kinds]
    return f" (it belongs in {', '.join(others)} or {last})" if others else f" (it belongs in {last})"


def parse(document: Document, directory: str, problems: list[Problem]) -> dict[str, ParsedSection]:
    """The sections by name; what is wrong with them is added to `problems`.

    directory: the ini file's, for relative paths.
    """
    parsing = _Parsing(directory, problems)
    parsed: dict[str, ParsedSection] = {}
    for section in document.sections:
        kind = parsing.kind_of(section)
        if kind is not None:
            parsed.setdefault(section.name, parsing.section(section, kind))
    return parsed


class _Parsing:
    """Where relative paths begin, and where problems go."""

    def __init__(self, directory: str, problems: list[Problem]) -> None:
        self._directory = directory
        self._problems = problems

    def kind_of(self, section: Section) -> SectionKind | None:
        """The section's kind; a name close to a known one is reported and read as that, so that its keys are judged."""
        head, colon, suffix = section.name.partition(":")
        kinds = {kind.name: kind for kind in SECTIONS}
        kind = kinds.get(head)
        if kind is None:
            close = get_close_matches(head.lower(), list(kinds), n=1)
            hint = f" (did you mean [{close[0]}{colon}{suffix}]?)" if close else ""
            self._report(section.place, f"unknown section [{section.name}]{hint}")
            return kinds[close[0]] if close else None
        if colon and not kind.may_be_named:
            self._report(section.place, f"section [{head}] takes no name")
        elif colon and not _SECTION_SUFFIX.fullmatch(suffix):
            self._report(section.place, f"'{suffix}' is not a name (letters, digits, '_', '-' and '.')")
        elif not colon and not kind.may_be_plain:
            self._report(section.place, f"section [{head}] needs a name: {kind.form}")
        return kind

    def section(self, section: Section, kind: SectionKind) -> ParsedSection:
        """Every key of a section, judged by itself."""
        parsed = ParsedSection(section.name, kind, section.place)
        known = {key.name: key for key in kind.every_key()}
        for entry in section.entries.values():
            match = _SERVER_KEY.fullmatch(entry.key) if kind.server_keys else None
            if match is not None:
                self._server_key(parsed, entry, match)
            elif entry.key in known:
                parsed.settings[entry.key] = self._setting(entry, known[entry.key])
            else:
                hint = _belongs(entry.key) or suggestion(entry.key, [*known, "server1"] if kind.server_keys else known)
                self._report(entry.place, f"unknown key '{entry.key}' in [{section.name}]{hint}")
        for key in known.values():
            if key.needed and key.name not in parsed.settings:
                self._report(section.place, f"[{section.name}] needs '{key.name}'")
        return parsed

    def _server_key(self, parsed: ParsedSection, entry: Entry, match: re.Match[str]) -> None:
        known = {key.name: key for key in parsed.kind.server_keys}
        option = "addr" if match["option"] is None else match["option"]
        if option not in known:
            hint = suggestion(option, known, f"server{match['number']}_")
            self._report(entry.place, f"unknown key '{entry.key}' in [{parsed.name}]{hint}")
            return
        server = parsed.servers.setdefault(int(match["number"]), {})
        first = server.get(option)
        if first is None:
            server[option] = self._setting(entry, known[option])
        else:
            message = f"'{entry.key}' in [{parsed.name}] means the same as the key in line {first.key_place.line}"
            self._report(entry.place, message)

    def _setting(self, entry: Entry, key: Key) -> Setting:
        """The parsed value of an entry; after any problem one that is not valid."""
        lines = [line for line in entry.lines if line.text]
        place = lines[0].place if lines else entry.place
        refused = Setting(None, place, entry.place, valid=False)
        if not entry.sound or not self._has_line_count(entry, lines, key):
            return refused
        values = []
        for line in lines:
            try:
                values.append(key.parse(line.text, self._directory))
            except PartError as error:
                self._report(line.place.right(error.offset), str(error))
            except ValueError as error:
                self._report(line.place, str(error))
        if len(values) < len(lines):
            return refused
        value = tuple(item for items in values for item in items) if key.parse.many else values[0]
        return Setting(value, place, entry.place, places=tuple(line.place for line in lines))

    def _has_line_count(self, entry: Entry, lines: list[ValueLine], key: Key) -> bool:
        if key.parse.many or len(lines) == 1:
            return True
        if lines:
            message = f"'{entry.key}' takes one line (this one is indented, so it continues the value)"
            self._report(lines[1].place, message)
        else:
            self._report(entry.place, f"'{entry.key}' has no value (write one, or remove the key)")
        return False

    def _report(self, place: Place, message: str) -> None:
        self._problems.append(place.problem(message))
