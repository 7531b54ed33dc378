"""MQTT topic filters (MQTT 5 section 4.7), compiled once."""

from __future__ import annotations

from collections.abc import Callable

from weir.errors import SetupError


def compile_filter(pattern: str) -> Callable[[str], bool]:
    """A function that says whether a topic matches. `+` is one level, `#` the rest, its parent included.

    A wildcard at the start matches no topic that starts with `$`. Raises `SetupError`.

    >>> matches = compile_filter("tele/+/SENSOR")
    >>> matches("tele/kitchen/SENSOR"), matches("tele/kitchen/STATE")
    (True, False)
    """
    levels = pattern.split("/")
    if not pattern or "\0" in pattern:
        raise SetupError("a topic pattern is empty or holds a zero character")
    for place, level in enumerate(levels):
        if ("+" in level and level != "+") or ("#" in level and (level != "#" or place != len(levels) - 1)):
            raise SetupError(f"topic pattern {pattern!r}: + stands for a whole level, # only at the end")
    if "+" not in levels:
        if levels[-1] != "#":
            return pattern.__eq__
        return _below(levels[:-1])
    return _general(levels)


def _below(fixed: list[str]) -> Callable[[str], bool]:
    parent = "/".join(fixed)
    if not fixed:
        return lambda topic: not topic.startswith("$")
    prefix = f"{parent}/"
    return lambda topic: topic.startswith(prefix) or topic == parent


def _general(levels: list[str]) -> Callable[[str], bool]:
    open_end = levels[-1] == "#"
    fixed = levels[:-1] if open_end else levels
    count = len(fixed)
    wanted = [(place, level) for place, level in enumerate(fixed) if level != "+"]
    wild_start = fixed[0] == "+"

    def matches(topic: str) -> bool:
        if wild_start and topic.startswith("$"):
            return False
        parts = topic.split("/")
        if len(parts) < count or (len(parts) > count and not open_end):
            return False
        return all(parts[place] == level for place, level in wanted)

    return matches
