"""--help-config shows every section and key of the schema."""

from __future__ import annotations

from wsproxy.config.help import reference
from wsproxy.config.schema import SECTIONS


def block(section: str) -> list[str]:
    """The lines of one section of the reference."""
    text = reference()
    return text[text.index(f"\n{section}") + 1 :].split("\n\n")[0].splitlines()


def test_every_section_and_key_is_there() -> None:
    lines = reference().splitlines()
    for kind in SECTIONS:
        assert any(line.startswith(f"{kind.form}  {kind.help}") for line in lines), kind.name
        for key in kind.every_key():
            assert f"  {key.name} = {key.parse.shape}" in lines
        for key in kind.server_keys:
            assert f"  serverN_{key.name} = {key.parse.shape}" in lines


def test_meaning_shape_and_default() -> None:
    lines = block("[frontend]")
    assert lines[lines.index("  port = 0..65535") + 1] == "      port to listen on; 0 takes any free one [needed]"
    assert lines[lines.index("  max_body_size = size | none") + 1] == "      a request's body at most [default none]"
    assert lines[lines.index("  trusted_proxies = addresses and networks") + 1].endswith("believed [not set]")


def test_it_ends_in_one_newline() -> None:
    assert reference().endswith("\n")
    assert not reference().endswith("\n\n")
