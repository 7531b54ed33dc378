"""One metric of a Sparkplug message: its name, its value by data type, its unit (pure)."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_apps.decoders.base import finite
from stream_apps.decoders.names import fold
from stream_apps.decoders.sparkplug_wire import VALUE
from stream_apps.decoders.units import code
from weir.errors import Reason, Refused
from weir.readings import Metric

#: Metrics that control a node or say what it is, and measure nothing.
_CONTROL = ("Node Control/", "Device Control/", "Node Info/", "Device Info/", "Properties/")
#: Data types 1 to 11 are numbers and booleans; 0 is one that was not given (data carries none).
_LAST_NUMERIC = 11
_MAX_NAME = 512
#: Int8 to Int64 travel in two's complement in an unsigned field.
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_VALUES = {"int_value", "long_value", "float_value", "double_value", "boolean_value"}


class Known(NamedTuple):
    """What a birth said of a metric; `kept` is False for what is no measurement."""

    metric: str
    datatype: int
    kept: bool


def known_metric(metric: Any) -> Known:
    """What the name and data type of a metric say. Raises `Refused` (NAME) for a very long one."""
    name = metric.name
    if len(name) > _MAX_NAME:
        raise Refused(Reason.NAME, f"a metric's name of {len(name)} characters")
    if not 0 <= metric.datatype <= _LAST_NUMERIC or name == "bdSeq" or name.startswith(_CONTROL):
        return Known("", metric.datatype, False)
    try:
        return Known(fold(name), metric.datatype, True)
    except Refused:
        return Known("", metric.datatype, False)


def value_of(metric: Any, datatype: int) -> float | None:
    """The value as a number, booleans as 1 and 0; None for text and other kinds, and for no value."""
    field = metric.WhichOneof(VALUE)
    if field not in _VALUES:
        return None
    value = getattr(metric, field)
    bits = _SIGNED_BITS.get(datatype)
    if bits is not None and type(value) is int:
        value &= (1 << bits) - 1
        value -= (value >> (bits - 1)) << bits
    return float(value)


def describe(metric: Any) -> Metric:
    """Unit and range from the properties that are in common use: `engUnit`, `engLow`, `engHigh`."""
    found = {}
    if metric.HasField("properties"):
        keys, values = metric.properties.keys, metric.properties.values
        found = {key.casefold(): value for key, value in zip(keys, values, strict=False)}
    unit = found.get("engunit")
    text = code(unit.string_value, metric.name.casefold()) if unit is not None else ""
    return Metric(text, _bound(found.get("englow")), _bound(found.get("enghigh")))


def _bound(value: Any) -> float | None:
    if value is None:
        return None
    field = value.WhichOneof(VALUE)
    if field is None or field == "string_value":
        return None
    return finite(float(getattr(value, field)))
