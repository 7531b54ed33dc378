"""Any JSON, told by JMESPath expressions where to look: https://jmespath.org/specification.html

`site` and `sensor` are expressions, or names with topic levels in braces (`{1}`). `metrics` is a set of name and
expression, or one expression that gives an object. `each` gives a list of which every item is a reading. `units` are
units as written, `time` is ISO 8601 text or a number of seconds or milliseconds. Numbers may be written as text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from stream_apps.decoders.base import Decoded, check_count, check_position, make_reading, number, parse, text_number
from stream_apps.decoders.memory import Announcer
from stream_apps.decoders.names import TopicName, fold
from stream_apps.decoders.times import Times
from stream_apps.decoders.units import code, guess
from weir.errors import Reason, Refused, SetupError
from weir.readings import MAX_METRICS, NAME, Metric, Reading

_json = msgspec.json.Decoder()
Look = Callable[[Any], Any]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Expressions (see the module); `zone` says what a time without one means."""

    metrics: dict[str, str] | str
    site: str = "'generic'"
    sensor: str = "{-1}"
    each: str = ""
    time: str = ""
    lat: str = ""
    lon: str = ""
    units: dict[str, str] = {}
    zone: str = ""


class Mapping:
    """Reads what its expressions find. Where `site` or `sensor` finds nothing, the message is refused."""

    options_type = Options
    name = "mapping"

    def __init__(self, options: Options) -> None:
        self._site = _namer(options.site)
        self._sensor = _namer(options.sensor)
        self._each = compile_path(options.each) if options.each else None
        self._time = compile_path(options.time) if options.time else None
        self._place = (compile_path(options.lat), compile_path(options.lon)) if options.lat and options.lon else None
        if isinstance(options.metrics, str):
            self._all: Look | None = compile_path(options.metrics)
            self._metrics: list[tuple[str, Look]] = []
        else:
            self._all = None
            self._metrics = [(_named(name), compile_path(path)) for name, path in options.metrics.items()]
        self._units = {_named(name): Metric(code(unit, _named(name))) for name, unit in options.units.items()}
        self._times = Times(options.zone)
        self._announcer = Announcer()

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one message. Raises `Refused`."""
        levels = topic.split("/")
        document = parse(_json, payload)
        try:
            items = [document] if self._each is None else self._items(document)
            found = [self._one(item, levels, rx) for item in items]
        except (
            JMESPathError,
            ArithmeticError,
            AttributeError,
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            # jmespath's functions raise what Python raises for the types they are given.
            raise Refused(Reason.SHAPE, f"an expression does not fit: {error}") from error
        readings = [reading for reading, _ in found if reading.metrics]
        births = []
        for reading, position in found:
            births += self._announcer.seen(
                reading.site, reading.sensor, reading.metrics.keys(), self._describe, position
            )
        return Decoded(readings, births, stamped=sum(self._time is None or r.ts == rx for r in readings))

    def _items(self, document: Any) -> list[Any]:
        items = self._each(document) if self._each is not None else None
        if items is None:
            return []
        if type(items) is not list:
            raise Refused(Reason.SHAPE, "`each` finds no list")
        check_count(len(items))
        return items

    def _one(self, item: Any, levels: list[str], rx: int) -> tuple[Reading, tuple[float, float] | None]:
        site, sensor = self._site(item, levels), self._sensor(item, levels)
        time = None if self._time is None else self._time(item)
        ts = rx if time is None else self._times.read(time, rx)
        position = None
        if self._place is not None:
            lat, lon = (_number(look(item)) for look in self._place)
            if lat is not None and lon is not None:
                position = check_position(lat, lon)
        return make_reading(site, sensor, ts, rx, self._values(item)), position

    def _values(self, item: Any) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if self._all is None:
            for name, look in self._metrics:
                value = _number(look(item))
                if value is not None:
                    metrics[name] = value
            return metrics
        found = self._all(item)
        if found is not None and type(found) is not dict:
            raise Refused(Reason.SHAPE, "`metrics` finds no object")
        for key, inner in (found or {}).items():
            value = _number(inner)
            if value is None:
                continue
            name = fold(key)
            if name in metrics:
                raise Refused(Reason.NAME, f"two values are called {name}")
            metrics[name] = value
            if len(metrics) > MAX_METRICS:
                raise Refused(Reason.TOO_MANY_METRICS, f"more than {MAX_METRICS}")
        return metrics

    def _describe(self, metric: str) -> Metric:
        return self._units.get(metric) or guess(metric)


def compile_path(expression: str) -> Look:
    """A function that evaluates a JMESPath expression. Chains of plain names, most of all there are, run 20 x faster.

    Raises `SetupError` where the expression is none.
    """
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise SetupError(f"JMESPath {expression!r}: {error}") from error
    steps = expression.strip().split(".")
    if not all(step.isidentifier() and step.isascii() for step in steps):
        return compiled.search
    if len(steps) == 1:
        only = steps[0]
        return lambda item: item.get(only) if type(item) is dict else None

    def walk(item: Any) -> Any:
        for step in steps:
            if type(item) is not dict:
                return None
            item = item.get(step)
        return item

    return walk


def _namer(text: str) -> Callable[[Any, list[str]], str]:
    if "{" in text:
        of_topic = TopicName(text)
        return lambda _, levels: of_topic(levels)
    look = compile_path(text)

    def of_payload(item: Any, _: list[str]) -> str:
        found = look(item)
        if type(found) is int:
            found = str(found)
        if type(found) is not str:
            raise Refused(Reason.NAME, f"{text[:60]!r} finds no name")
        return fold(found)

    return of_payload


def _named(name: str) -> str:
    if NAME.match(name) is None:
        raise SetupError(f"metric {name!r}: a name is a-z, 0-9, _ and -, at most 64 characters")
    return name


def _number(value: Any) -> float | None:
    return text_number(value) if type(value) is str else number(value)
