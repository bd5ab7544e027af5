"""The reference page: whole, well-formed, and the one that is in the tree."""

from __future__ import annotations

import re
from pathlib import Path

from wsproxy.config.access_format import FIELDS
from wsproxy.config.manual import reference_page
from wsproxy.config.schema import CHOOSING_KINDS, SECTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"


def test_the_page_in_the_tree_is_current() -> None:
    """If not: python -m wsproxy.config.manual > docs/reference.md"""
    assert PAGE.read_text("utf-8") == reference_page()


def test_every_section_key_and_field_is_there() -> None:
    page = reference_page()
    for kind in SECTIONS:
        start = page.index("\n## " + kind.form.replace("[", "`[").replace("]", "]`") + "\n")
        part = page[start : page.index("\n## ", start + 1)]
        prefix = "" if kind.name in CHOOSING_KINDS else "serverN_"
        assert prefix == "" or all(f"| `{prefix}{key.name}` |" in part for key in kind.server_keys)
        for key in kind.tables[0].keys:
            assert f"| `{key.name}` |" in part, key.name
    assert all(f"| `{name}` |" in page for name in FIELDS)


def test_links_lead_to_headings_and_rows_have_as_many_cells_as_their_heads() -> None:
    page = reference_page()
    titles = re.findall(r"(?m)^## (.*)$", page)
    headings = [re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles]
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= set(headings)
    columns = 0
    for line in page.splitlines():
        if line.startswith("|"):
            count = len(re.findall(r"(?<!\\)\|", line))
            columns = columns or count
            assert count == columns, line
        else:
            columns = 0
