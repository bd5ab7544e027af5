"""What the schema is made of: keys, the tables that they stand in, and kinds of sections.

Pure; knows how a key is described, and no single one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsproxy.config.values import Parser


@dataclass(frozen=True, slots=True)
class Key:
    """One key; `needed` has no default, `field` is the model's where it differs ("" where the model holds none)."""

    name: str
    parse: Parser
    default: str | None
    help: str
    needed: bool = False
    field: str | None = None

    @property
    def target(self) -> str:
        """The model's field that the value fills, or ""."""
        return self.name + self.parse.suffix if self.field is None else self.field


@dataclass(frozen=True, slots=True)
class Table:
    """Keys that fill one settings class, or each a part of another's."""

    settings: type[Any] | None
    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class SectionKind:
    """A section: the tables of its keys and, behind `serverN_`, those of one server.

    may_be_plain, may_be_named: whether `[log]` and `[group:NAME]` may stand.
    """

    name: str
    help: str
    tables: tuple[Table, ...]
    may_be_plain: bool = True
    may_be_named: bool = False
    server_keys: tuple[Key, ...] = ()

    def every_key(self) -> Iterator[Key]:
        """Every key but those of single servers."""
        for table in self.tables:
            yield from table.keys

    @property
    def form(self) -> str:
        """How the section's head is written."""
        if not self.may_be_named:
            return f"[{self.name}]"
        return f"[{self.name}], [{self.name}:NAME]" if self.may_be_plain else f"[{self.name}:NAME]"
