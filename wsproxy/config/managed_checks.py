"""What the keys of servers that the proxy starts itself must say of each other, and of how many there are.

Pure. Part of `crosscheck`, with its rule: a setting that was refused already is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from wsproxy.config.errors import Problem
from wsproxy.config.group_settings import ScalingSettings
from wsproxy.config.sections import ParsedSection, Sections
from wsproxy.config.server_keys import MANAGED, SCALING

_MANAGED_KEYS: Final = tuple(key.name for table in (MANAGED, SCALING) for key in table.keys if key.name != "command")
_SCALING_KEYS: Final = tuple(key.name for key in SCALING.keys)
_DISCOVERING: Final = {
    "discover_interval": ("dns", "srv", "file", "kubernetes"),
    "discover_resolver": ("dns", "srv"),
    "discover_zone": ("kubernetes",),
    "discover_api": ("kubernetes",),
}
_DEFAULT_SCALING: Final = ScalingSettings()


def check_managed(sections: Sections) -> Iterator[Problem]:
    """Every problem of commands and of scaling."""
    for section in sections.values():
        if section.kind.server_keys:
            yield from _managed(section)
            yield from _discovered(section)
    yield from _scaling(sections)


def _managed(section: ParsedSection) -> Iterator[Problem]:
    if "command" not in section.settings:
        for key in _MANAGED_KEYS:
            if key in section.settings:
                yield section.settings[key].key_place.problem(f"'{key}' needs a 'command' in [{section.name}]")
        return
    command, arguments = section.get("command"), section.get("args")
    if command is None or ("args" in section.settings and arguments is None):
        return
    words = command.value + (() if arguments is None else arguments.value)
    if not any("<sock>" in word for word in words):
        yield command.place.problem("the command has no <sock> (its server must listen on that unix socket)")


def _discovered(section: ParsedSection) -> Iterator[Problem]:
    """What is said of finding servers stands beside what says where."""
    target = section.get("discover")
    for key, kinds in _DISCOVERING.items():
        if key not in section.settings or ("discover" in section.settings and target is None):
            continue
        if target is None:
            yield section.settings[key].key_place.problem(f"'{key}' needs a 'discover' in [{section.name}]")
        elif target.value.kind not in kinds:
            yield section.settings[key].key_place.problem(f"'{key}' has no effect with discover = {target.value}")


def _scaled(section: ParsedSection) -> bool:
    """Whether its load decides how many servers there are."""
    most, first = section.get("max_servers"), section.get("startup_servers")
    return most is not None and most.value > (1 if first is None else first.value)


def _scaling(sections: Sections) -> Iterator[Problem]:
    """Limits that fit each other, and something that they limit."""
    general = sections.get("scaling")
    grown = [section for section in sections.values() if "command" in section.settings and _scaled(section)]
    if general is not None and not grown:
        yield general.place.problem("[scaling] has no effect: no command has 'max_servers' above its startup_servers")
    for section in sections.values():
        if "command" in section.settings:
            most, first = section.get("max_servers"), section.get("startup_servers")
            if most is not None and first is not None and most.value < first.value:
                yield most.place.problem(f"max_servers = {most.value} is less than startup_servers = {first.value}")
            if section not in grown:
                for key in _SCALING_KEYS:
                    if key in section.settings and "max_servers" not in section.settings:
                        place = section.settings[key].key_place
                        yield place.problem(f"'{key}' has no effect without 'max_servers' above startup_servers")
        if section.kind.name == "scaling" or section in grown:
            yield from _loads(section, general)


def _loads(section: ParsedSection, general: ParsedSection | None) -> Iterator[Problem]:
    settings = [section.get(key) or (None if general is None else general.get(key)) for key in ("min_load", "max_load")]
    low = _DEFAULT_SCALING.min_load if settings[0] is None else settings[0].value
    high = _DEFAULT_SCALING.max_load if settings[1] is None else settings[1].value
    written = next((found for key in ("min_load", "max_load") if (found := section.get(key)) is not None), None)
    if written is not None and low >= high:
        yield written.place.problem(f"min_load = {low} has to be less than max_load = {high}, or servers come and go")
