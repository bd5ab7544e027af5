"""The text of --help-config: every section and key of the schema, what it means, how it is written, its default.

Pure; holds no knowledge of its own, so that it cannot disagree with what is parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wsproxy.config.keys import Key
from wsproxy.config.schema import CHOOSING_KINDS, SECTIONS
from wsproxy.config.server_keys import GROUP_TABLES

_INTRODUCTION = """\
An ini file: [section], key = value, # comments; an indented line continues a value; "quotes" keep what is inside as it
is; ${NAME} and ${NAME:-default} come from the environment. Durations: 500ms, 3s, 5m, 2h, 1d. Sizes: 64k, 1m, 1g.
A route that lists its own servers (or has a command) may hold every [group:NAME] key too.
"""


def reference() -> str:
    """The whole reference, ending in a newline."""
    return "\n".join([_INTRODUCTION, *_lines()])


def _lines() -> Iterator[str]:
    for kind in SECTIONS:
        yield f"{kind.form}  {kind.help}"
        for table in kind.tables:
            if kind.name in CHOOSING_KINDS and table in GROUP_TABLES:
                continue  # told by the introduction
            yield from _key_lines(table.keys, "")
        if kind.name not in CHOOSING_KINDS:
            yield from _key_lines(kind.server_keys, "serverN_")
        yield ""


def _key_lines(keys: Iterable[Key], prefix: str) -> Iterator[str]:
    for key in keys:
        default = "needed" if key.needed else f"default {key.default}" if key.default is not None else "not set"
        yield f"  {prefix}{key.name} = {key.parse.shape}"
        yield f"      {key.help} [{default}]"
