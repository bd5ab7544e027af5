"""The manual's reference page, as Markdown: `python -m wsproxy.config.manual > docs/reference.md`.

Pure; made from the schema and the table of access-log fields, so that it cannot disagree with what is parsed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from wsproxy.config.access_format import FIELDS, NUMBERS
from wsproxy.config.keys import Key, SectionKind
from wsproxy.config.schema import CHOOSING_KINDS, SECTIONS
from wsproxy.config.server_keys import GROUP_TABLES

_HEAD: Final = """\
# Reference

Made by `python -m wsproxy.config.manual > docs/reference.md`; `python -m wsproxy --help-config` says the same on a
terminal. Sections: {contents}.

## How the file is written

- `[section]`, `key = value`, and `#` comments: on a line of their own, or behind white space. `;` begins a comment only
  at the start of a line.
- An indented line continues a value that may have several lines. `"Quotes"` keep what is inside as it is.
- `${{NAME}}` and `${{NAME:-default}}` come from the environment; `$${{` stands for a literal `${{`.
- Durations: `500ms`, `3s` (or `3`), `5m`, `2h`, `1d`. Sizes: `64k`, `1m`, `1g`. Rates: `5/s`, `100/m`.
- Relative paths begin at the directory of the file.
- `python -m wsproxy --check FILE` reports everything that is wrong at once, as `FILE:line:column: what`.
"""
_GROUP_HINT: Final = "A section with servers of its own, or with a `command`, may hold every key of `[group:NAME]` too."
_SERVER_HINT: Final = (
    "`serverN` and `serverN_addr` say where server N listens. The other keys of one server are written `serverN_…`; "
    "without that in front, those that a section has too are the default for all of its servers."
)


def reference_page() -> str:
    """The whole page, ending in a newline."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    contents = ", ".join(f"[`[{kind.name}]`](#{_anchor(kind)})" for kind in SECTIONS)
    yield _HEAD.format(contents=f"{contents}, and the [fields of access lines](#fields-of-access-lines)")
    for kind in SECTIONS:
        yield from _section(kind)
    yield "## Fields of access lines\n"
    yield "For `access_format` in `[log]`, written `$field`; see [Logs](logs.md).\n"
    yield "| field | JSON | meaning |"
    yield "|---|---|---|"
    for name, meaning in FIELDS.items():
        yield f"| `{name}` | {'number' if name in NUMBERS else 'text'} | {_cell(meaning)} |"


def _section(kind: SectionKind) -> Iterator[str]:
    yield f"## {kind.form.replace('[', '`[').replace(']', ']`')}\n"
    yield f"{_sentence(kind.help)}\n"
    is_route = kind.name in CHOOSING_KINDS
    if is_route:
        yield f"{_GROUP_HINT}\n"
    yield from _table(
        (key for table in kind.tables if not (is_route and table in GROUP_TABLES) for key in table.keys), ""
    )
    if kind.server_keys and not is_route:
        yield f"{_SERVER_HINT}\n"
        yield from _table(kind.server_keys, "serverN_")


def _table(keys: Iterable[Key], prefix: str) -> Iterator[str]:
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        default = "**needed**" if key.needed else "" if key.default is None else f"`{key.default}`"
        meaning = _cell(_sentence(key.help))
        yield f"| `{prefix}{key.name}` | {_cell(key.parse.shape)} | {default} | {meaning} |"
    yield ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}." if text[0].isascii() and text[0].isalpha() else f"{text}."


def _cell(text: str) -> str:
    """Text that a table's cell may hold: a bar would end it, angle brackets would be taken for a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")


def _anchor(kind: SectionKind) -> str:
    """The link to a section's heading, as GitHub makes it: lower case, without all but letters, digits and dashes."""
    kept = (character for character in kind.form.lower() if character.isalnum() or character in " -_")
    return "".join(kept).replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(reference_page())
