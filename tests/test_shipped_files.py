"""What ships beside the code is true: every ini file and ini block of the documents loads, and says the defaults."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from wsproxy.config.build import load
from wsproxy.config.group_settings import Address, ServerSettings
from wsproxy.config.model import Config

ROOT = Path(__file__).resolve().parent.parent
KEY = re.compile(r"(?m)^# ([a-z]\w* = .*)$")
BLOCK = re.compile(r"(?ms)^```ini\n(.*?)^```$")
MINIMUM = "[frontend]\nhost = 127.0.0.1\nport = 0\n"


def read(text: str) -> Config:
    return load(text, "shipped.ini", {}, str(ROOT))


@pytest.mark.parametrize("name", ["proxy.ini", "docker/compose.ini", "docker/shared.ini", "docker/front.ini"])
def test_a_shipped_file_loads(name: str) -> None:
    assert read((ROOT / name).read_text("utf-8")).routes


@pytest.mark.parametrize("document", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))])
def test_every_ini_block_of_a_document_loads(document: str) -> None:
    for block in BLOCK.findall((ROOT / document).read_text("utf-8")):
        whole = block if "[frontend]" in block else MINIMUM + block
        if not any(route in whole for route in ("[http", "[websocket", "[static")):
            whole += "\n[http]\nserver1 = 127.0.0.1:1\n"
        assert read(whole).frontends


def test_a_key_that_the_shipped_file_comments_out_stands_there_with_its_default() -> None:
    """Except those whose example is no default: they say so, or belong to servers of a list."""
    text = (ROOT / "proxy.ini").read_text("utf-8")
    examples = ("trusted_proxies", "server", "host", "path_prefix", "group", "drain_delay", "access_format", "token")
    text = text.partition("# [admin]\n")[0]  # a section of its own
    defaults = [key for key in KEY.findall(text) if not key.startswith(examples)]
    assert len(defaults) > 10
    changed = text
    for key in defaults:
        changed = changed.replace(f"# {key}", key)
    assert whoever_wrote_it(read(changed)) == whoever_wrote_it(read(text))


def whoever_wrote_it(config: Config) -> Config:
    """Without which keys of a pool stand in the file: a default that does is shared out among several processes."""
    groups = [
        replace(group, template=replace(group.template or ServerSettings("", Address()), pool_keys=frozenset()))
        for group in config.groups
    ]
    return replace(config, groups=tuple(groups))


def test_every_example_of_the_shipped_file_is_one() -> None:
    text = (ROOT / "proxy.ini").read_text("utf-8")
    before, _, admin = text.partition("# [admin]\n")
    logs = re.findall(r"(?m)^# ((?:access_)?format = .*)$", before)
    config = read("\n".join([before, *logs, "[admin]", admin.replace("# ", "", 2)]))
    assert config.admin is not None
    assert config.admin.token == "a-long-random-string"
    assert config.log.access_format is not None
    assert config.frontends[0].drain_delay_s is None
    assert read(text.replace("# drain_delay", "drain_delay")).frontends[0].drain_delay_s == 5.0
