"""Nested JSON as one flat set of metrics."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from stream_apps.decoders.base import number
from stream_apps.decoders.names import fold
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS

MAX_DEPTH = 6
_SWITCH = {"ON": 1.0, "OFF": 0.0}


def flatten(tree: dict[str, Any], skip: Collection[str] = ()) -> dict[str, float]:
    """Every number in `tree` as a metric; names of nested ones are joined by `_`, items of a list numbered from 1.

    true and ON are 1, false and OFF are 0; other text and null are no measurements. `skip` names keys of the top.
    Raises `Refused`: too deep, too many, or two values that fold to the same name.

    >>> flatten({"AM2301": {"Temperature": 24.6}, "Total": [2, 3]})
    {'am2301_temperature': 24.6, 'total_1': 2.0, 'total_2': 3.0}
    """
    metrics: dict[str, float] = {}
    for key, value in tree.items():
        if key not in skip:
            _add(metrics, key, value, 1)
    return metrics


def _add(metrics: dict[str, float], key: str, value: Any, depth: int) -> None:
    kind = type(value)
    if kind is dict or kind is list:
        if depth >= MAX_DEPTH:
            raise Refused(Reason.SHAPE, f"nested deeper than {MAX_DEPTH}")
        for inner, item in value.items() if kind is dict else enumerate(value, 1):
            _add(metrics, f"{key}_{inner}", item, depth + 1)
        return
    found = _SWITCH.get(value) if kind is str else number(value)
    if found is not None:
        name = fold(key)
        if name in metrics:
            raise Refused(Reason.NAME, f"two values are called {name}")
        if len(metrics) >= MAX_METRICS:
            raise Refused(Reason.TOO_MANY_METRICS, f"more than {MAX_METRICS}")
        metrics[name] = found
