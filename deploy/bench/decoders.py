"""How many messages a second each decoder takes on one core: distinct messages of a fleet that has been seen before."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cbor2

from deploy.bench.runlog import Row
from stream_apps.bridge_core import Message, Router
from stream_apps.decoders import Registry, Rule
from stream_apps.decoders.sparkplug_wire import Payload

RX = 1_795_431_817_932
SENSORS = 200
#: What each format is to reach, messages a second; Sparkplug's protobuf half of it.
REACH = 20_000
REACH_PROTOBUF = 10_000


class Case(NamedTuple):
    """A format with the message of sensor `n` at `rx`; `before`: what announces the fleet."""

    name: str
    rule: Rule | None
    message: Callable[[int, int], tuple[str, bytes]]
    before: list[tuple[str, bytes]] = []
    reach: int = REACH


def _json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def _iso(rx: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(rx / 1000)) + "Z"


def _own(n: int, rx: int) -> tuple[str, bytes]:
    return f"weir/bench/s{n}/data", _json({"ts": rx, "seq": rx % 1000, "metrics": {"t": 21.5, "h": 40.0, "b": 3.6}})


def _senml(n: int, rx: int) -> list[dict[str, Any]]:
    return [
        {"bn": f"urn:dev:mac:00{n:010x}:", "bt": rx / 1000, "n": "temperature", "u": "Cel", "v": 21.5},
        {"n": "humidity", "u": "%RH", "v": 40.0},
        {"n": "battery", "u": "V", "v": 3.6},
    ]


_CBOR = {"bn": -2, "bt": -3, "n": 0, "u": 1, "v": 2}


def _senml_cbor(n: int, rx: int) -> tuple[str, bytes]:
    pack = [{_CBOR[key]: value for key, value in record.items()} for record in _senml(n, rx)]
    return "cbor/gateway", cbor2.dumps(pack)


def _sparkplug(kind: str, seq: int, n: int, rx: int) -> tuple[str, bytes]:
    payload = Payload(timestamp=rx, seq=seq % 256)
    for alias, (name, value) in enumerate((("Temperature", 21.5), ("Humidity", 40.0), ("Battery", 3.6)), 1):
        metric = payload.metrics.add(alias=alias, timestamp=rx, double_value=value)
        if kind == "NBIRTH":
            metric.name, metric.datatype = name, 10
    return f"spBv1.0/bench/{kind}/s{n}", bytes(payload.SerializeToString())


def _zigbee(n: int, rx: int) -> tuple[str, bytes]:
    body = {"temperature": 27.34, "humidity": 44.72, "battery": 98, "linkquality": 97, "last_seen": _iso(rx)}
    return f"zigbee2mqtt/s{n}", _json(body)


def _uplink(n: int, rx: int) -> tuple[str, bytes]:
    return f"v3/app@tenant/devices/s{n}/up", _json(
        {
            "end_device_ids": {"device_id": f"s{n}", "application_ids": {"application_id": "app"}},
            "received_at": _iso(rx),
            "uplink_message": {
                "f_cnt": rx % 1000,
                "frm_payload": "gkHe",
                "decoded_payload": {"temperature": 1.0, "luminosity": 0.64, "battery": 3.6},
                "rx_metadata": [{"gateway_ids": {"gateway_id": "gtw1"}, "rssi": -35, "snr": 5.2}],
                "locations": {"user": {"latitude": 37.97155, "longitude": 23.72678}},
                "received_at": _iso(rx),
            },
        }
    )


def _airrohr(n: int, rx: int) -> tuple[str, bytes]:
    values = {"SDS_P1": "8.40", "SDS_P2": "5.20", "BME280_temperature": "21.50", "signal": "-66", "samples": "907"}
    found = [{"value_type": kind, "value": value} for kind, value in values.items()]
    return "airrohr/x", _json({"esp8266id": str(n), "software_version": "NRZ-2020-129", "sensordatavalues": found})


def _generic(n: int, rx: int) -> tuple[str, bytes]:
    return f"farm/s{n}/report", _json({"when": rx, "air": {"t": 21.5, "h": 40.0}, "power": {"battery": 3.6}})


def _homeassistant_config(n: int) -> tuple[str, bytes]:
    device = {"identifiers": [f"s{n}"], "name": f"Sensor {n}"}
    parts = {
        name: {"p": "sensor", "value_template": f"{{{{ value_json.{name} }}}}", "unique_id": f"{n}{name}"}
        for name in ("temperature", "humidity", "battery")
    }
    body = {"dev": device, "o": {"name": "bench"}, "cmps": parts, "state_topic": f"ha/s{n}"}
    return f"homeassistant/device/s{n}/config", _json(body)


def _cases() -> list[Case]:
    fleet = range(SENSORS)
    mapping = {
        "site": "'farm'", "sensor": "{1}", "time": "when",
        "metrics": {"t": "air.t", "h": "air.h", "battery": "power.battery"},
    }  # fmt: skip
    description = {"nodes": {"air": {"properties": {"t": {"datatype": "float", "unit": "°C"}}}}}
    tasmota = {"AM2301": {"Temperature": 24.6, "Humidity": 58.2, "DewPoint": 15.9}, "TempUnit": "C"}
    return [
        Case("Weir's own", None, _own),
        Case("senml", Rule("senml/#", "senml"), lambda n, rx: ("senml/gateway", _json(_senml(n, rx)))),
        Case("senml-cbor", Rule("cbor/#", "senml-cbor"), _senml_cbor),
        Case(
            "sparkplug", Rule("spBv1.0/#", "sparkplug"),
            lambda n, rx: _sparkplug("NDATA", 1 + (rx - RX) // SENSORS, n, rx),
            [_sparkplug("NBIRTH", 0, n, RX) for n in fleet], REACH_PROTOBUF,
        ),
        Case(
            "homie 5", Rule("homie/#", "homie"), lambda n, rx: (f"homie/5/s{n}/air/t", f"{rx % 100 / 4}".encode()),
            [(f"homie/5/s{n}/$description", _json(description)) for n in fleet],
        ),
        Case(
            "homeassistant", Rule("+/#", "homeassistant"),
            lambda n, rx: (f"ha/s{n}", _json({"temperature": 23.2, "humidity": 43.7, "battery": 97})),
            [_homeassistant_config(n) for n in fleet],
        ),
        Case(
            "tasmota", Rule("tele/#", "tasmota"),
            lambda n, rx: (f"tele/s{n}/SENSOR", _json({"Time": _iso(rx), **tasmota})),
        ),
        Case("zigbee2mqtt", Rule("zigbee2mqtt/#", "zigbee2mqtt"), _zigbee),
        Case("the-things", Rule("v3/#", "the-things"), _uplink),
        Case("airrohr", Rule("airrohr/#", "airrohr"), _airrohr),
        Case("mapping", Rule("farm/+/report", "mapping", mapping), _generic),
    ]  # fmt: skip


def run(messages: int, say: Callable[[str], None]) -> list[Row]:
    """Messages a second of each format: decoded alone, and on to frames as the bridge makes them. The best of three.

    By CPU time: what one core does, whatever else the machine is busy with.
    """
    rows: list[Row] = []
    for case in _cases():
        sent = [case.message(n % SENSORS, RX + n) for n in range(messages)]
        alone = max(_decode(case, sent) for _ in range(3)) if case.rule else 0.0
        routed = max(_route(case, sent) for _ in range(3))
        text = f"{alone:,.0f} decoded, " if case.rule else ""
        rows.append((case.name, f"{text}{routed:,.0f} to frames, messages a second of one core", f"{case.reach:,}"))
        say(f"{case.name}: {rows[-1][1]}")
    return rows


def _decode(case: Case, sent: list[tuple[str, bytes]]) -> float:
    registry = Registry([case.rule] if case.rule else [])
    for topic, payload in case.before:
        registry.decode(topic, payload, RX)
    made = 0
    begun = time.process_time()
    for n, (topic, payload) in enumerate(sent):
        made += len(registry.decode(topic, payload, RX + n).readings)
    took = time.process_time() - begun
    if made != len(sent):
        raise RuntimeError(f"{case.name}: {made} readings of {len(sent)} messages")
    return len(sent) / took


def _route(case: Case, sent: list[tuple[str, bytes]]) -> float:
    router = Router(4, registry=Registry([case.rule] if case.rule else []))
    router.route([Message(topic, payload, RX, None) for topic, payload in case.before])
    batches = [
        [Message(topic, payload, RX + at, None) for topic, payload in sent[at : at + 100]]
        for at in range(0, len(sent), 100)
    ]
    begun = time.process_time()
    for batch in batches:
        router.route(batch)
    took = time.process_time() - begun
    if router.refused:
        raise RuntimeError(f"{case.name}: refused {router.refused}")
    return len(sent) / took
