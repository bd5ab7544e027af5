"""The manual holds together: every link leads to a file and a heading that are there, every page is on the list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wsproxy.config.build import load

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
EXAMPLE = re.compile(r"(?ms)^```ini\n(.*?)^```")
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text("utf-8"))
    return {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for name, anchor in LINK.findall(page.read_text("utf-8")):
        target = page if not name else page.parent / name
        assert target.exists(), name
        if anchor:
            assert anchor in anchors(target), f"{name}#{anchor}"


def test_every_page_is_on_the_list() -> None:
    links = LINK.findall((DOCS / "README.md").read_text("utf-8"))
    listed = {name for name, _ in links if not name.startswith("..")}
    assert listed == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_sound(page: Path) -> None:
    for example in EXAMPLE.findall(page.read_text("utf-8")):
        frontend = "" if "[frontend]" in example else "[frontend]\nport = 80\n"
        route = "" if re.search(r"(?m)^\[(http|websocket|static)", example) else "[http:other]\nserver1 = other:1\n"
        load(frontend + example + route, page.name, {}, "/")
