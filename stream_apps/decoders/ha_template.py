"""The `value_template`s of Home Assistant that say where a value is, and nothing else.

`{{ value }}`, `{{ value_json.a.b }}`, `{{ value_json['a']['b'] }}`, `{{ value_json.a[0] }}`, with the filters `float`,
`int`, `round`, `is_defined` and `default`, which change no number Weir would keep differently. A template that
computes is refused: Weir runs no code that comes in by MQTT.
"""

from __future__ import annotations

import re
from typing import Any

from weir.errors import Reason, Refused

_MAX_LENGTH = 300
_STEP = re.compile(r"""\.([A-Za-z_]\w{0,99})|\[\s*'([^']{1,100})'\s*\]|\[\s*"([^"]{1,100})"\s*\]|\[\s*(\d{1,4})\s*\]""")
_FILTER = re.compile(r"\s*(?:float|int|round|is_defined|default)\s*(?:\(\s*[\w.'\"-]{0,20}\s*\))?\s*\Z")
Path = tuple[str | int, ...]


def path_of(template: str) -> Path | None:
    """The path into the JSON payload, or None where the payload itself is the value. Raises `Refused` (SHAPE)."""
    if not template:
        return None
    if len(template) > _MAX_LENGTH:
        raise Refused(Reason.SHAPE, "value_template is too long")
    inner = template.strip()
    if not (inner.startswith("{{") and inner.endswith("}}")):
        raise _unsupported(template)
    expression, *filters = inner[2:-2].strip("-").split("|")
    if any(_FILTER.match(each) is None for each in filters):
        raise _unsupported(template)
    source = expression.strip()
    if source == "value":
        return None
    if not source.startswith("value_json"):
        raise _unsupported(template)
    at = len("value_json")
    path: list[str | int] = []
    while at < len(source):
        step = _STEP.match(source, at)
        if step is None:
            raise _unsupported(template)
        attribute, single, double, index = step.groups()
        path.append(int(index) if index is not None else attribute or single or double)
        at = step.end()
    return tuple(path)


def follow(path: Path, value: Any) -> Any:
    """The value at a path in decoded JSON, None where there is none."""
    for step in path:
        if type(value) is dict and type(step) is str:
            value = value.get(step)
        elif type(value) is list and type(step) is int and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _unsupported(template: str) -> Refused:
    return Refused(Reason.SHAPE, f"value_template not supported: {template[:100]!r}")
