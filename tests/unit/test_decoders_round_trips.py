"""What a device of each format publishes is what is read: any names, any values, any time.

SenML and Sparkplug have their round trips in their own files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.decoders import Registry, Rule
from tests.unit.test_decoders_corpus import RX
from weir.readings import Reading, parse_data

Values = dict[str, float]
Published = list[tuple[str, bytes]]

#: All in lower case and without a sign that is folded; none is a word that a format keeps for itself.
NAME = st.from_regex(r"x[a-z0-9]{0,10}", fullmatch=True)
VALUES = st.dictionaries(NAME, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8)
#: Numbers below are taken for seconds. A time that is that of receipt cannot be told from none.
TS = st.integers(10**11, RX - 1)


def _json(tree: object) -> bytes:
    return json.dumps(tree).encode()


def _iso(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).isoformat(timespec="milliseconds")


def homie4(sensor: str, values: Values, _ts: int) -> Published:
    types = [(f"homie/{sensor}/node/{name}/$datatype", b"float") for name in values]
    return [*types, *((f"homie/{sensor}/node/{name}", repr(value).encode()) for name, value in values.items())]


def homie5(sensor: str, values: Values, _ts: int) -> Published:
    nodes = {"node": {"properties": {name: {"datatype": "float"} for name in values}}}
    told = [(f"homie/5/{sensor}/$description", _json({"homie": "5.0", "nodes": nodes}))]
    return [*told, *((f"homie/5/{sensor}/node/{name}", repr(value).encode()) for name, value in values.items())]


def homeassistant(sensor: str, values: Values, _ts: int) -> Published:
    configs = [
        (
            f"homeassistant/sensor/{sensor}/{name}/config",
            _json({"stat_t": f"ha/{sensor}", "val_tpl": f"{{{{ value_json.{name} }}}}", "dev": {"ids": sensor}}),
        )
        for name in values
    ]
    return [*configs, (f"ha/{sensor}", _json(values))]


def tasmota(sensor: str, values: Values, ts: int) -> Published:
    return [(f"tele/{sensor}/SENSOR", _json({"Time": _iso(ts), **values}))]


def zigbee(sensor: str, values: Values, ts: int) -> Published:
    return [(f"zigbee2mqtt/{sensor}", _json({**values, "last_seen": _iso(ts)}))]


def uplink(sensor: str, values: Values, ts: int) -> Published:
    ids = {"device_id": sensor, "application_ids": {"application_id": "app"}}
    message = {"decoded_payload": values, "f_cnt": 7, "received_at": _iso(ts)}
    return [(f"v3/app@ttn/devices/{sensor}/up", _json({"end_device_ids": ids, "uplink_message": message}))]


def airrohr(sensor: str, values: Values, _ts: int) -> Published:
    found = [{"value_type": name, "value": repr(value)} for name, value in values.items()]
    return [(f"air/{sensor}", _json({"sensordatavalues": found}))]


def mapping(sensor: str, values: Values, ts: int) -> Published:
    return [(f"any/{sensor}", _json({"at": ts, "values": values}))]


RULES = [
    Rule("homie/#", "homie", {"site": "site"}),
    Rule("homeassistant/#", "homeassistant", {"site": "site"}),
    Rule("ha/#", "homeassistant", {"site": "site"}),
    Rule("tele/#", "tasmota", {"site": "site"}),
    Rule("zigbee2mqtt/#", "zigbee2mqtt", {"site": "site"}),
    Rule("v3/#", "the-things"),
    Rule("air/#", "airrohr", {"site": "site"}),
    Rule("any/+", "mapping", {"site": "'site'", "time": "to_number(at)", "metrics": "values"}),
]
#: Publisher, what the metrics are called before their names, whether the format knows a time.
FORMATS: list[tuple[Callable[[str, Values, int], Published], str, bool]] = [
    (homie4, "node_", False),
    (homie5, "node_", False),
    (homeassistant, "", False),
    (tasmota, "", True),
    (zigbee, "", True),
    (uplink, "", True),
    (airrohr, "", False),
    (mapping, "", True),
]


@pytest.mark.parametrize(("publish", "before", "timed"), FORMATS, ids=[one[0].__name__ for one in FORMATS])
@given(sensor=NAME, values=VALUES, ts=TS)
def test_what_is_published_is_read(
    publish: Callable[[str, Values, int], Published],
    before: str,
    timed: bool,
    sensor: str,
    values: Values,
    ts: int,
) -> None:
    registry = Registry(RULES)
    readings: list[Reading] = []
    for topic, payload in publish(sensor, values, ts):
        readings += registry.decode(topic, payload, RX).readings
    got: Values = {}
    for reading in readings:
        assert reading.sensor == sensor
        assert (reading.ts, reading.stamped) == ((ts, False) if timed else (RX, True))
        got |= reading.metrics
    assert got == {f"{before}{name}": value for name, value in values.items()}


@given(values=VALUES, ts=st.integers(0, RX), seq=st.none() | st.integers(0, 2**63 - 1), hist=st.booleans())
def test_what_is_published_in_weirs_own_format_is_read(values: Values, ts: int, seq: int | None, hist: bool) -> None:
    sent = {"ts": ts, "metrics": values, "hist": hist, **({} if seq is None else {"seq": seq})}
    assert parse_data("site", "x", _json(sent), RX) == [Reading("site", "x", ts, RX, values, seq, hist)]
