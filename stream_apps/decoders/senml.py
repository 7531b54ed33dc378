"""SenML packs in JSON and in CBOR: https://www.rfc-editor.org/rfc/rfc8428

A record's full name is base name + name. The base name is the sensor and the name the metric; a record with only one
of the two is a sensor when it is a URN or came from the base name (the metric is then named after the unit), and
otherwise a metric of the sensor that the topic names. Values with the units `lat` and `lon` are the sensor's position.
Booleans are 1 and 0, a sum is the metric `<name>_sum`, text and data values are no measurements.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any, NoReturn

import cbor2
import msgspec

from stream_apps.decoders.base import Decoded, check_count, check_position, make_reading, parse
from stream_apps.decoders.memory import Announcer, Bounded
from stream_apps.decoders.names import TopicName, fold
from stream_apps.decoders.units import metric_of
from weir.errors import Reason, Refused
from weir.readings import MAX_METRICS, Metric

#: Times below are relative to now (RFC 8428 section 4.5.3).
_RELATIVE_END = 2**28
#: The year 5138: far enough for every clock, near enough for integers.
_TIME_END = 1e11
_VERSION = 10
_REMEMBERED_LENGTH = 256
_MAX_RECORDS = 10_000
_MAX_DEPTH = 4


class Record(msgspec.Struct, gc=False):
    """One record as it is written, before the base fields are applied."""

    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    bver: int | None = None
    n: str = ""
    u: str = ""
    v: float | None = None
    vb: bool | None = None
    s: float | None = None
    t: float = 0.0


#: The integer labels of the CBOR form (RFC 8428 table 4). `vs` 3, `ut` 7 and `vd` 8 carry nothing Weir keeps.
_LABELS = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    4: "vb",
    5: "s",
    6: "t",
}
_pack = msgspec.json.Decoder(list[Record])
_raw_pack = msgspec.json.Decoder(list[dict[str, Any]])


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`site` and `sensor`: names or topic levels such as `{1}`; `sensor` for records without a base name."""

    site: str = "senml"
    sensor: str = "{-1}"


class _Batch:
    """The values of one pack, collected by sensor and time."""

    def __init__(self) -> None:
        self.metrics: dict[tuple[str, int], dict[str, float]] = {}
        self.units: dict[tuple[str, str], str] = {}
        self.places: dict[str, dict[str, float]] = {}
        self.stamped: set[tuple[str, int]] = set()

    def add(self, sensor: str, metric: str, ts: int, value: float) -> None:
        metrics = self.metrics.setdefault((sensor, ts), {})
        if metric in metrics:
            raise Refused(Reason.SHAPE, f"two values of {metric} at one time")
        if len(metrics) >= MAX_METRICS:
            raise Refused(Reason.TOO_MANY_METRICS, f"more than {MAX_METRICS}")
        metrics[metric] = value


class SenML:
    """SenML in JSON (`application/senml+json`)."""

    options_type = Options
    name = "senml"

    def __init__(self, options: Options = Options()) -> None:
        self._site = TopicName(options.site)
        self._sensor = TopicName(options.sensor)
        self._announcer = Announcer()
        self._names: Bounded[tuple[str, str, str, str], tuple[str, str]] = Bounded(50_000)
        self._sites: Bounded[str, str] = Bounded(50_000)
        self._units: Bounded[tuple[str, str], str] = Bounded(200_000)

    def decode(self, topic: str, payload: bytes, rx: int) -> Decoded:
        """Decode one pack. Raises `Refused`."""
        return self._resolved(topic, self._records(payload), rx)

    def _records(self, payload: bytes) -> list[Record]:
        # Labels that end in `_` must be understood or the pack be refused (section 4.4); Weir understands none.
        if b'_"' in payload:
            for record in parse(_raw_pack, payload):
                _check_labels(record)
        records: list[Record] = parse(_pack, payload)
        return records

    def _resolved(self, topic: str, records: list[Record], rx: int) -> Decoded:
        if len(records) > _MAX_RECORDS:
            raise Refused(Reason.TOO_MANY_READINGS, f"{len(records)} records")
        site = self._sites.get(topic) or self._sites.put(topic, self._site(topic.split("/")))
        batch = _Batch()
        self._collect(topic, records, rx, batch)
        check_count(len(batch.metrics))
        readings = [
            make_reading(site, sensor, ts, rx, metrics) for (sensor, ts), metrics in batch.metrics.items() if metrics
        ]
        positions = {sensor: _position(place) for sensor, place in batch.places.items()}
        births = []
        for reading in readings:
            sensor = reading.sensor
            describe = partial(_described, batch.units, sensor)
            births += self._announcer.seen(site, sensor, reading.metrics.keys(), describe, positions.pop(sensor, None))
        for sensor, position in positions.items():
            if position is not None:
                births += self._announcer.learn(site, sensor, {}, position)
        # A position alone is no reading, so it is none without a time either.
        stamped = sum(key in batch.stamped for key, metrics in batch.metrics.items() if metrics)
        return Decoded(readings, births, stamped=stamped)

    def _collect(self, topic: str, records: list[Record], rx: int, batch: _Batch) -> None:
        base_name, base_unit = "", ""
        base_time = base_value = base_sum = 0.0
        for record in records:
            if record.bver is not None and record.bver > _VERSION:
                raise Refused(Reason.SHAPE, f"SenML version {record.bver} is newer than {_VERSION}")
            base_name = base_name if record.bn is None else record.bn
            base_unit = base_unit if record.bu is None else record.bu
            base_time = base_time if record.bt is None else record.bt
            base_value = base_value if record.bv is None else record.bv
            base_sum = base_sum if record.bs is None else record.bs
            unit = record.u or base_unit
            value = None if record.v is None else base_value + record.v
            if record.vb is not None:
                value = float(record.vb)
            if value is None and record.s is None:
                continue
            sensor, metric = self._named(topic, base_name, record.n, unit)
            time = base_time + record.t
            if not -_TIME_END < time < _TIME_END:
                raise Refused(Reason.SHAPE, f"not a time: {time:.3g}")
            ts = round(time * 1000) + (rx if time < _RELATIVE_END else 0)
            if time == 0:
                batch.stamped.add((sensor, ts))
            if unit in ("lat", "lon") and value is not None:
                # The last place of a pack is where the sensor is now.
                batch.places.setdefault(sensor, {})[unit] = value
                continue
            if value is not None:
                batch.add(sensor, metric, ts, value)
                batch.units[sensor, metric] = unit
            if record.s is not None:
                batch.add(sensor, fold(f"{metric}_sum"), ts, base_sum + record.s)

    def _named(self, topic: str, base: str, name: str, unit: str) -> tuple[str, str]:
        key = (topic, base, name, unit)
        found = self._names.get(key)
        if found is None:
            found = self._split(topic, base, name, unit)
            self._check_unit(found, unit)
            if len(base) + len(name) + len(unit) <= _REMEMBERED_LENGTH:
                self._names.put(key, found)
        return found

    def _check_unit(self, series: tuple[str, str], unit: str) -> None:
        """A series has one unit: volts among degrees are refused, not stored beside them."""
        if not unit or unit in ("lat", "lon"):
            return
        known = self._units.get(series)
        if known is None:
            self._units.put(series, unit)
        elif known != unit:
            raise Refused(Reason.UNIT, f"{series[0]} {series[1]} came in {known[:40]!r} before, now in {unit[:40]!r}")

    def _split(self, topic: str, base: str, name: str, unit: str) -> tuple[str, str]:
        if base and name:
            return fold(base), fold(name)
        if base:
            return fold(base), metric_of(unit)
        if name.startswith("urn:"):
            # RFC 9039 sets what a device measures apart by `_`.
            device, _, part = name.partition("_")
            return fold(device), fold(part) if part else metric_of(unit)
        return self._sensor(topic.split("/")), fold(name) if name else metric_of(unit)


class SenMLCbor(SenML):
    """SenML in CBOR (`application/senml+cbor`)."""

    name = "senml-cbor"

    def _records(self, payload: bytes) -> list[Record]:
        try:
            pack = cbor2.loads(payload, max_depth=_MAX_DEPTH, semantic_decoders=_TAGS)
        except (cbor2.CBORError, ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
            raise Refused(Reason.SHAPE, f"not CBOR: {error}") from error
        if type(pack) is not list:
            raise Refused(Reason.SHAPE, "a SenML pack is an array of maps")
        try:
            return msgspec.convert([_labelled(record) for record in pack], list[Record])
        except (msgspec.ValidationError, OverflowError) as error:
            raise Refused(Reason.SHAPE, str(error)) from error


def _tag(*_: Any) -> NoReturn:
    raise ValueError("SenML uses no tags but numbers")


#: cbor2 would build dates, patterns and networks; SenML needs big numbers and decimal fractions (tags 2 to 4) only.
_TAGS = {
    tag: _tag for tag in (0, 1, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
}


def _labelled(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise Refused(Reason.SHAPE, "a SenML pack is an array of maps")
    named: dict[str, Any] = {}
    for label, value in record.items():
        key = _LABELS.get(label) if type(label) is int else label
        if type(key) is str:
            named[key] = _plain(value)
    _check_labels(named)
    return named


def _plain(value: Any) -> Any:
    # A decimal fraction, or an integer of more than 64 bits.
    if type(value) is Decimal or (type(value) is int and not -(2**63) <= value < 2**63):
        try:
            return float(value)
        except OverflowError:
            raise Refused(Reason.NOT_FINITE, "an integer beyond the range of a float") from None
    return value


def _check_labels(record: dict[str, Any]) -> None:
    for label in record:
        if label.endswith("_"):
            raise Refused(Reason.SHAPE, f"the label {label[:40]!r} must be understood and is not")


def _described(units: dict[tuple[str, str], str], sensor: str, metric: str) -> Metric:
    return Metric(units.get((sensor, metric), "")[:64])


def _position(place: dict[str, float]) -> tuple[float, float] | None:
    return check_position(place["lat"], place["lon"]) if len(place) == 2 else None
