"""One valid message of every kind, and what hostile devices send. Shared with the fuzz tests."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from stream_apps.decoders import Decoded, Registry
from weir.errors import Reason, Refused
from weir.readings import MAX_AHEAD_MS, MAX_METRICS, MAX_READINGS_PER_MESSAGE, NAME, encode, encode_frame, parse_birth

RX = 1_795_431_817_932
MAPPING = {
    "metrics": {"t": "data.temperature", "n": "length(items)", "m": "max(values)", "s": "to_number(text)"},
    "site": "site",
    "sensor": "{-1}",
    "time": "time",
    "lat": "lat",
    "lon": "lon",
}
RULES: list[dict[str, Any]] = [
    {"pattern": "senml/#", "format": "senml"},
    {"pattern": "cbor/#", "format": "senml-cbor"},
    {"pattern": "spBv1.0/#", "format": "sparkplug"},
    {"pattern": "homie/#", "format": "homie"},
    {"pattern": "homeassistant/#", "format": "homeassistant"},
    {"pattern": "ha/#", "format": "homeassistant"},
    {"pattern": "tele/#", "format": "tasmota"},
    {"pattern": "zigbee2mqtt/#", "format": "zigbee2mqtt"},
    {"pattern": "v3/#", "format": "the-things"},
    {"pattern": "air/#", "format": "airrohr"},
    {"pattern": "any/#", "format": "mapping", "options": MAPPING},
    {"pattern": "all/#", "format": "mapping", "options": {"metrics": "@", "site": "'s'", "each": "list"}},
]
TOPICS = [
    "senml/bern/s1",
    "cbor/bern/s1",
    *(f"spBv1.0/group/{kind}/edge" for kind in ("NBIRTH", "NDATA", "NDEATH", "NCMD")),
    *(f"spBv1.0/group/{kind}/edge/device" for kind in ("DBIRTH", "DDATA", "DDEATH")),
    "spBv1.0/STATE/host",
    *(
        f"homie/car/{leaf}"
        for leaf in ("$state", "$name", "engine/speed", "engine/speed/$unit", "engine/speed/$format")
    ),
    *(f"homie/5/car/{leaf}" for leaf in ("$state", "$description", "engine/speed", "engine/on")),
    "homeassistant/sensor/bedroom/config",
    "homeassistant/binary_sensor/node/door/config",
    "homeassistant/device/kitchen/config",
    "ha/state",
    "tele/plug/SENSOR",
    "tele/plug/LWT",
    "tele/plug/STATE",
    "zigbee2mqtt/kitchen/lamp",
    "zigbee2mqtt/lamp/availability",
    "zigbee2mqtt/bridge/devices",
    "v3/app@ttn/devices/dev/up",
    "v3/app@ttn/devices/dev/join",
    "air/rohr",
    "any/a",
    "all/a",
]
#: A valid message of every kind, to be damaged: random JSON alone seldom gets past the first check.
VALID: list[tuple[str, Any]] = [
    (
        "senml/bern/s1",
        [{"bn": "urn:dev:x:", "bt": 1.7e9, "bu": "A", "bv": 1, "bs": 2, "bver": 5, "n": "i", "v": 1, "s": 3}],
    ),
    (
        "senml/bern/s1",
        [{"n": "a", "t": -5, "vb": True}, {"n": "p", "u": "lat", "v": 46.9}, {"n": "p", "u": "lon", "v": 7.4}],
    ),
    (
        "homie/5/car/$description",
        {
            "name": "Car",
            "nodes": {"engine": {"properties": {"t": {"datatype": "float", "unit": "°C", "format": "0:9"}}}},
        },
    ),
    (
        "homeassistant/sensor/bedroom/config",
        {
            "stat_t": "ha/state",
            "val_tpl": "{{ value_json.a }}",
            "dev": {"ids": ["x"], "name": "X"},
            "avty": [{"t": "ha/state", "val_tpl": "{{ value_json.b }}"}],
        },
    ),
    (
        "homeassistant/binary_sensor/node/door/config",
        {"~": "ha", "stat_t": "~/state", "pl_on": "1", "avty_t": "~/state"},
    ),
    (
        "homeassistant/device/kitchen/config",
        {"dev": {"ids": "k"}, "cmps": {"a": {"p": "sensor", "unit_of_meas": "%"}}, "stat_t": "ha/other"},
    ),
    ("ha/state", {"a": 1.5, "b": "online"}),
    (
        "tele/plug/SENSOR",
        {"Time": "2020-01-01T00:00:00Z", "AM2301": {"Temperature": 24.6}, "Total": [1, 2], "TempUnit": "C"},
    ),
    (
        "zigbee2mqtt/lamp",
        {"temperature": 27.34, "color": {"x": 0.1}, "last_seen": "2020-02-26T20:44:09+01:00", "state": "ON"},
    ),
    ("zigbee2mqtt/lamp/availability", {"state": "online"}),
    (
        "zigbee2mqtt/bridge/devices",
        [
            {
                "friendly_name": "lamp",
                "definition": {"exposes": [{"type": "numeric", "property": "t", "unit": "°C", "features": []}]},
            }
        ],
    ),
    (
        "v3/app@ttn/devices/dev/up",
        {
            "end_device_ids": {"device_id": "d", "application_ids": {"application_id": "a"}},
            "uplink_message": {
                "f_cnt": 1,
                "decoded_payload": {"t": 1.0, "latitude": 1.0, "longitude": 2.0},
                "received_at": "2020-02-12T15:15:45.789585559Z",
                "locations": {"user": {"latitude": 1.0, "longitude": 2.0}},
            },
        },
    ),
    (
        "air/rohr",
        {
            "esp8266id": "1",
            "sensordatavalues": [
                {"value_type": "SDS_P1", "value": "0.40"},
                {"value_type": "GPS_lat", "value": "1"},
                {"value_type": "GPS_lon", "value": "1"},
            ],
        },
    ),
    (
        "any/a",
        {
            "site": "s",
            "time": 1.7e9,
            "lat": 1.0,
            "lon": 2.0,
            "data": {"temperature": "21"},
            "items": [1],
            "values": [1, 2],
            "text": "3",
        },
    ),
    ("all/a", {"list": [{"a": 1, "b": "2"}, {"a": 3}]}),
]


def outcome(registry: Registry, topic: str, payload: bytes) -> Decoded | Reason:
    """What a message comes to; anything but a result or a `Refused` ends the test."""
    try:
        decoded = registry.decode(topic, payload, RX)
    except Refused as refusal:
        assert isinstance(refusal.reason, Reason)
        return refusal.reason
    assert len(decoded.readings) <= MAX_READINGS_PER_MESSAGE
    for reading in decoded.readings:
        assert NAME.match(reading.site)
        assert NAME.match(reading.sensor)
        assert 0 <= reading.ts <= RX + MAX_AHEAD_MS
        assert 0 < len(reading.metrics) <= MAX_METRICS
        assert all(
            NAME.match(name) and type(value) is float and math.isfinite(value)
            for name, value in reading.metrics.items()
        )
    encode_frame(decoded.readings)
    for site, sensor, announced in decoded.births:
        assert NAME.match(site)
        assert NAME.match(sensor)
        parse_birth(encode(announced))
    for site, sensor, state in decoded.states:
        assert NAME.match(site)
        assert NAME.match(sensor)
        assert state in ("online", "lost")
    for request in decoded.requests:
        assert request[0].startswith("spBv1.0/")
    assert 0 <= decoded.stamped <= len(decoded.readings)
    return decoded


def to_json(tree: Any) -> bytes:
    """JSON as a careless device writes it: also integers of any size, NaN as null."""
    if isinstance(tree, dict):
        return b"{" + b",".join(to_json(str(key)) + b":" + to_json(value) for key, value in tree.items()) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(map(to_json, tree)) + b"]"
    if type(tree) is int:
        return str(tree).encode()
    if isinstance(tree, str):
        return msgspec.json.encode(tree.encode(errors="replace").decode())
    return msgspec.json.encode(tree)


def test_every_valid_message_gets_through() -> None:
    registry = Registry(RULES)
    for topic, tree in VALID:
        assert isinstance(outcome(registry, topic, to_json(tree)), Decoded)


HOSTILE = {
    "a recursion bomb of arrays": b"[" * 100_000,
    "a recursion bomb of objects": b'{"a":' * 50_000,
    "a nested value": b'{"Time":"2020-01-01T00:00:00Z","a":' + b'{"a":' * 50 + b"1" + b"}" * 51,
    "ten thousand metrics": b"{" + b",".join(b'"m%d":%d' % (n, n) for n in range(10_000)) + b"}",
    "an integer beyond floats": b'{"temperature":' + b"9" * 400 + b"}",
    "a float beyond floats": b'{"temperature":1e400}',
    "not UTF-8": b'{"temperature":"\xff\xfe"}',
    "base64 garbage": b"gkHe====!!",
    "nothing": b"",
    "null": b"null",
    "three hundred kilobytes": b" " * 300_000,
    "NaN": b'{"temperature":NaN}',
    "a byte order mark": b'\xef\xbb\xbf{"temperature":1}',
}


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_give_no_reading(topic: str, payload: bytes) -> None:
    result = outcome(Registry(RULES), topic, payload)
    assert isinstance(result, Reason) or not result.readings
