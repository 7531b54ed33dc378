"""Tasmota, Zigbee2MQTT, The Things Stack and airRohr: their documentations' messages, and what must be refused."""

from __future__ import annotations

import msgspec
import pytest

from stream_apps.decoders import airrohr, tasmota, the_things, zigbee2mqtt
from stream_apps.decoders.base import Decoder
from weir.errors import Reason, Refused, SetupError
from weir.readings import Birth, Metric

RX = 1_795_431_817_932


def refusal(decoder: Decoder, topic: str, payload: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        decoder.decode(topic, payload, RX)
    return refused.value


class TestTasmota:
    """https://tasmota.github.io/docs/AM2301/ and /docs/DS18x20/, whose times have no zone."""

    utc = tasmota.Options(zone="UTC")

    @pytest.mark.parametrize(
        ("payload", "metrics", "units"),
        [
            (
                b'{"Time":"2019-01-01T00:00:00","AM2301":{"Temperature":24.6,"Humidity":58.2},"TempUnit":"C"}',
                {"am2301_temperature": 24.6, "am2301_humidity": 58.2},
                {"am2301_temperature": Metric("Cel"), "am2301_humidity": Metric("%RH")},
            ),
            (
                b'{"Time":"2019-01-01T00:00:00","DS18B20":{"Temperature":49.7},"TempUnit":"C"}',
                {"ds18b20_temperature": 49.7},
                {"ds18b20_temperature": Metric("Cel")},
            ),
            (
                b'{"Time":"2019-01-01T00:00:00","ANALOG":{"Temperature":100.1},"Switch1":"OFF","TempUnit":"F"}',
                {"analog_temperature": 100.1, "switch1": 0.0},
                {"analog_temperature": Metric("degF"), "switch1": Metric()},
            ),
        ],
    )
    def test_documented_messages(self, payload: bytes, metrics: dict[str, float], units: dict[str, Metric]) -> None:
        decoded = tasmota.Tasmota(self.utc).decode("tele/kitchen/SENSOR", payload, RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts) == ("tasmota", "kitchen", 1_546_300_800_000)
        assert reading.metrics == metrics
        assert decoded.births == [("tasmota", "kitchen", Birth(metrics=units))]
        assert decoded.stamped == 0

    def test_a_device_that_changes_its_unit_is_refused_until_it_tells_the_old_one_again(self) -> None:
        decoder = tasmota.Tasmota()
        message = b'{"AM2301":{"Temperature":%s},"TempUnit":"%s"}'
        decoder.decode("tele/a/SENSOR", message % (b"20", b"C"), RX)
        refused = refusal(decoder, "tele/a/SENSOR", message % (b"68", b"F"))
        assert refused.reason is Reason.UNIT
        decoder.decode("tele/b/SENSOR", message % (b"68", b"F"), RX)
        assert decoder.decode("tele/a/SENSOR", message % (b"21", b"C"), RX).readings[0].metrics == {
            "am2301_temperature": 21.0
        }

    def test_an_energy_meter_with_two_channels(self) -> None:
        # tele/tasmota/SENSOR of a Sonoff Dual R3, without its start time
        payload = (
            b'{"Time":"2026-09-18T11:19:21Z","ENERGY":{"TotalStartTime":"2026-09-16T00:00:00","Total":[2.813,0.254],'
            b'"Power":[52,5],"Voltage":235,"Current":[0.278,0.044],"BL09XX":{"Temperature":46.5}}}'
        )
        decoded = tasmota.Tasmota().decode("tele/dual/SENSOR", payload, RX)
        assert decoded.readings[0].metrics == {
            "energy_total_1": 2.813,
            "energy_total_2": 0.254,
            "energy_power_1": 52.0,
            "energy_power_2": 5.0,
            "energy_voltage": 235.0,
            "energy_current_1": 0.278,
            "energy_current_2": 0.044,
            "energy_bl09xx_temperature": 46.5,
        }
        units = {name: metric.unit for name, metric in decoded.births[0][2].metrics.items()}
        assert units["energy_total_2"] == "kWh"
        assert units["energy_power_1"] == "W"
        assert units["energy_bl09xx_temperature"] == "Cel"

    def test_local_time_without_a_zone_is_refused_unless_the_settings_name_it(self) -> None:
        payload = b'{"Time":"2026-07-01T12:00:00","AM2301":{"Temperature":1}}'
        refused = refusal(tasmota.Tasmota(), "tele/a/SENSOR", payload)
        assert refused.reason is Reason.LOCAL_TIME
        assert "zone" in refused.detail
        there = tasmota.Tasmota(tasmota.Options(zone="Europe/Zurich"))
        assert there.decode("tele/a/SENSOR", payload, RX).readings[0].ts == 1_782_900_000_000
        received = tasmota.Tasmota(tasmota.Options(zone="receive")).decode("tele/a/SENSOR", payload, RX)
        assert (received.readings[0].ts, received.stamped) == (RX, 1)

    def test_in_the_hour_that_comes_twice_the_time_nearer_to_the_arrival_is_meant(self) -> None:
        there = tasmota.Tasmota(tasmota.Options(zone="Europe/Zurich"))
        payload = b'{"Time":"2026-10-25T02:30:00","A":{"Temperature":1}}'
        first, second = 1_792_888_200_000, 1_792_891_800_000
        for rx in (first, second):
            assert there.decode("tele/a/SENSOR", payload, rx).readings[0].ts == rx

    def test_an_unknown_zone_is_a_matter_of_the_settings(self) -> None:
        with pytest.raises(SetupError):
            tasmota.Tasmota(tasmota.Options(zone="Europe/Bernn"))

    def test_the_last_will_is_the_state(self) -> None:
        decoder = tasmota.Tasmota()
        assert decoder.decode("tele/plug/LWT", b"Online", RX).states == [("tasmota", "plug", "online")]
        assert decoder.decode("tele/plug/LWT", b"Offline", RX).states == [("tasmota", "plug", "lost")]
        assert refusal(decoder, "tele/plug/LWT", b"?").reason is Reason.SHAPE

    def test_other_telemetry_holds_nothing(self) -> None:
        assert not tasmota.Tasmota().decode("tele/plug/STATE", b'{"Vcc":3.1}', RX)
        assert not tasmota.Tasmota().decode("tele/plug/SENSOR", b'{"Time":"2026-01-01T00:00:00"}', RX)

    def test_the_full_topic_may_be_turned_round(self) -> None:
        decoded = tasmota.Tasmota(tasmota.Options(site="{0}")).decode("House/plug/tele/SENSOR", b'{"a":1}', RX)
        assert (decoded.readings[0].site, decoded.readings[0].sensor) == ("house", "house_plug")
        assert decoded.stamped == 1


class TestZigbee2Mqtt:
    """https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html and .../exposes.html"""

    @pytest.mark.parametrize(
        ("payload", "metrics"),
        [
            (b'{"temperature":27.34,"humidity":44.72}', {"temperature": 27.34, "humidity": 44.72}),
            (b'{"occupancy":true}', {"occupancy": 1.0}),
            (
                b'{"state":"ON","brightness":215,"color_temp":325}',
                {"state": 1.0, "brightness": 215.0, "color_temp": 325.0},
            ),
        ],
    )
    def test_documented_messages(self, payload: bytes, metrics: dict[str, float]) -> None:
        decoded = zigbee2mqtt.Zigbee2Mqtt().decode("zigbee2mqtt/kitchen/floor_light", payload, RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts) == ("zigbee2mqtt", "kitchen_floor_light", RX)
        assert reading.metrics == metrics
        assert decoded.stamped == 1

    def test_an_action_is_no_measurement(self) -> None:
        assert not zigbee2mqtt.Zigbee2Mqtt().decode("zigbee2mqtt/switch", b'{"action":"single"}', RX)

    @pytest.mark.parametrize("seen", ['"2020-02-26T20:44:09+01:00"', "1582746249000"])
    def test_last_seen_is_the_time(self, seen: str) -> None:
        payload = f'{{"power":0,"last_seen":{seen}}}'.encode()
        decoded = zigbee2mqtt.Zigbee2Mqtt().decode("zigbee2mqtt/plug", payload, RX)
        assert (decoded.readings[0].ts, decoded.stamped) == (1_582_746_249_000, 0)
        assert decoded.readings[0].metrics == {"power": 0.0}

    def test_the_device_list_teaches_names_units_and_ranges(self) -> None:
        exposes = [
            {"type": "numeric", "name": "temperature", "property": "temperature", "unit": "°C", "access": 1},
            {"type": "numeric", "name": "brightness", "property": "brightness", "value_min": 0, "value_max": 254},
            {"type": "switch", "features": [{"type": "binary", "property": "state", "value_on": "ON", "access": 7}]},
            {"type": "composite", "property": "color", "features": [{"type": "numeric", "property": "x"}]},
            {"type": "enum", "property": "effect", "values": ["blink"]},
        ]
        devices = [
            {"ieee_address": "0x1", "type": "Router", "friendly_name": "my_plug", "definition": {"exposes": exposes}},
            {"ieee_address": "0x2", "type": "Router", "friendly_name": "my_sensor", "definition": None},
            {"ieee_address": "0x3", "type": "Coordinator", "friendly_name": "Coordinator", "definition": None},
        ]
        decoder = zigbee2mqtt.Zigbee2Mqtt()
        payload = msgspec.json.encode(devices)
        (birth,) = decoder.decode("zigbee2mqtt/bridge/devices", payload, RX).births
        assert birth == (
            "zigbee2mqtt",
            "my_plug",
            Birth(
                kind="zigbee",
                name="my_plug",
                metrics={
                    "temperature": Metric("Cel"),
                    "brightness": Metric("", 0.0, 254.0),
                    "state": Metric(),
                    "color_x": Metric(),
                },
            ),
        )
        assert decoder.decode("zigbee2mqtt/bridge/devices", payload, RX).births == []
        assert decoder.decode("zigbee2mqtt/my_plug", b'{"temperature":1}', RX).births == []

    @pytest.mark.parametrize("payload", [b"online", b'{"state":"online"}'])
    def test_availability_is_the_state(self, payload: bytes) -> None:
        decoded = zigbee2mqtt.Zigbee2Mqtt().decode("zigbee2mqtt/a/b/availability", payload, RX)
        assert decoded.states == [("zigbee2mqtt", "a_b", "online")]

    @pytest.mark.parametrize("leaf", ["lamp/set", "lamp/get", "lamp/set/state", "bridge/state", "bridge/info"])
    def test_commands_and_the_bridge_itself_hold_nothing(self, leaf: str) -> None:
        assert not zigbee2mqtt.Zigbee2Mqtt().decode(f"zigbee2mqtt/{leaf}", b"online", RX)

    def test_other_topics_are_refused(self) -> None:
        assert refusal(zigbee2mqtt.Zigbee2Mqtt(), "zigbee/lamp", b"{}").reason is Reason.TOPIC


class TestTheThings:
    """https://www.thethingsindustries.com/docs/integrations/data-formats/, the uplink example."""

    topic = "v3/app1@tenant/devices/dev1/up"
    uplink = b"""{"end_device_ids":{"device_id":"dev1","application_ids":{"application_id":"app1"},
        "dev_eui":"0004A30B001C0530"},"received_at":"2020-02-12T15:15:46.014773143Z","uplink_message":{"f_cnt":1,
        "frm_payload":"gkHe","decoded_payload":{"temperature":1.0,"luminosity":0.64},"rx_metadata":[{"rssi":-35}],
        "locations":{"user":{"latitude":37.97155556731436,"longitude":23.72678801175413,"altitude":10,
        "source":"SOURCE_REGISTRY"}},"received_at":"2020-02-12T15:15:45.789585559Z"}}"""

    def test_the_documented_uplink(self) -> None:
        decoded = the_things.TheThings().decode(self.topic, self.uplink, RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts, reading.seq) == ("app1", "dev1", 1_581_520_545_789, 1)
        assert reading.metrics == {"temperature": 1.0, "luminosity": 0.64}
        metrics = {"temperature": Metric("Cel"), "luminosity": Metric()}
        announced = Birth(37.97155556731436, 23.72678801175413, metrics=metrics)
        assert decoded.births == [("app1", "dev1", announced)]

    def test_joins_and_other_events_hold_nothing(self) -> None:
        join = b'{"end_device_ids":{"device_id":"dev1","application_ids":{"application_id":"app1"}},"join_accept":{}}'
        assert not the_things.TheThings().decode("v3/app1@tenant/devices/dev1/join", b"", RX)
        assert not the_things.TheThings().decode(self.topic, join, RX)

    def test_a_payload_nobody_decoded_is_refused(self) -> None:
        payload = self.uplink.replace(b'"decoded_payload"', b'"normalized_payload"')
        refused = refusal(the_things.TheThings(), self.topic, payload)
        assert refused.reason is Reason.SHAPE
        assert "payload formatter" in refused.detail

    def test_a_tracker_moves_and_zero_zero_is_no_fix(self) -> None:
        decoder = the_things.TheThings()
        for lat, lon, births in ((46.95, 7.44, 1), (46.95001, 7.44, 0), (46.96, 7.44, 1)):
            payload = self.uplink.replace(b'"luminosity":0.64', b'"latitude":%f,"longitude":%f' % (lat, lon))
            decoded = decoder.decode(self.topic, payload, RX)
            assert decoded.readings[0].metrics == {"temperature": 1.0}
            assert len(decoded.births) == births
        payload = self.uplink.replace(b'"luminosity":0.64', b'"latitude":0,"longitude":0')
        assert decoder.decode(self.topic, payload, RX).births[0][2].lat == pytest.approx(37.9716, abs=1e-4)

    def test_a_position_off_the_earth_is_refused(self) -> None:
        payload = self.uplink.replace(b"37.97155556731436", b"97.1")
        assert refusal(the_things.TheThings(), self.topic, payload).reason is Reason.POSITION

    def test_without_a_time_the_receive_time_is_taken(self) -> None:
        decoded = the_things.TheThings().decode(self.topic, self.uplink.replace(b"received_at", b"heard_at"), RX)
        assert (decoded.readings[0].ts, decoded.stamped) == (RX, 1)


class TestAirRohr:
    """A request of an airRohr with firmware NRZ-2020-129 to an own server (macbre/airrohr-prometheus-exporter)."""

    message = b"""{"esp8266id": "12331981", "software_version": "NRZ-2020-129", "sensordatavalues":[
        {"value_type":"SDS_P1","value":"0.40"},{"value_type":"SDS_P2","value":"0.20"},
        {"value_type":"BME280_temperature","value":"20.47"},{"value_type":"BME280_pressure","value":"100613.25"},
        {"value_type":"BME280_humidity","value":"69.02"},{"value_type":"samples","value":"4222662"},
        {"value_type":"min_micro","value":"32"},{"value_type":"max_micro","value":"3301275"},
        {"value_type":"signal","value":"-94"}]}"""

    def test_the_recorded_message(self) -> None:
        decoded = airrohr.AirRohr().decode("airrohr/garden", self.message, RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts) == ("sensor-community", "esp8266-12331981", RX)
        assert reading.metrics == {
            "sds_p1": 0.4,
            "sds_p2": 0.2,
            "bme280_temperature": 20.47,
            "bme280_pressure": 100613.25,
            "bme280_humidity": 69.02,
            "signal": -94.0,
        }
        units = {name: metric.unit for name, metric in decoded.births[0][2].metrics.items()}
        assert units == {
            "sds_p1": "ug/m3",
            "sds_p2": "ug/m3",
            "bme280_temperature": "Cel",
            "bme280_pressure": "Pa",
            "bme280_humidity": "%RH",
            "signal": "dBm",
        }
        assert decoded.stamped == 1

    def test_a_receiver_of_gps_gives_the_position(self) -> None:
        payload = b"""{"sensordatavalues":[{"value_type":"GPS_lat","value":"48.78"},
            {"value_type":"GPS_lon","value":"9.18"},{"value_type":"GPS_date","value":"02/26/2020"},{"value_type":"P1","value":"11.43"}]}"""
        decoded = airrohr.AirRohr().decode("airrohr/Garden 1", payload, RX)
        site, sensor, announced = decoded.births[0]
        assert (site, sensor, announced.lat, announced.lon) == ("sensor-community", "garden_1", 48.78, 9.18)
        assert decoded.readings[0].metrics == {"p1": 11.43}

    @pytest.mark.parametrize(
        ("value", "reason"), [(b'"nan"', Reason.NOT_FINITE), (b'"inf"', Reason.NOT_FINITE), (b"[]", Reason.SHAPE)]
    )
    def test_values_that_are_none(self, value: bytes, reason: Reason) -> None:
        payload = b'{"sensordatavalues":[{"value_type":"P1","value":%b}]}' % value
        assert refusal(airrohr.AirRohr(), "airrohr/a", payload).reason is reason
