"""Homie and Home Assistant discovery: the examples of both conventions, learned in any order."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from stream_apps.decoders.ha_template import path_of
from stream_apps.decoders.homeassistant import HomeAssistant
from stream_apps.decoders.homeassistant import Options as HomeAssistantOptions
from stream_apps.decoders.homie import Homie, Options
from weir.errors import Reason, Refused
from weir.readings import Birth, Metric

RX = 1_795_431_817_932


def refusal(decoder: Homie | HomeAssistant, topic: str, payload: bytes) -> Reason:
    with pytest.raises(Refused) as refused:
        decoder.decode(topic, payload, RX)
    return refused.value.reason


class TestHomie:
    """https://homieiot.github.io/specification/: the super-car of versions 4 and 5."""

    attributes = {
        "homie/super-car/$name": b"Super car",
        "homie/super-car/engine/temperature/$unit": "°C".encode(),
        "homie/super-car/engine/temperature/$datatype": b"float",
        "homie/super-car/engine/temperature/$format": b"-20:120",
    }
    announced = Birth(name="Super car", metrics={"engine_temperature": Metric("Cel", -20.0, 120.0)})

    @pytest.mark.parametrize("order", itertools.permutations(range(4)))
    def test_version_4_in_any_order_of_retained_messages(self, order: tuple[int, ...]) -> None:
        decoder = Homie()
        items = list(self.attributes.items())
        births = []
        for place in order:
            births += decoder.decode(*items[place], RX).births
        decoded = decoder.decode("homie/super-car/engine/temperature", b"21.5", RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts) == ("homie", "super-car", RX)
        assert reading.metrics == {"engine_temperature": 21.5}
        assert (births + decoded.births)[-1] == ("homie", "super-car", self.announced)
        assert decoded.stamped == 1

    def test_a_unit_learned_late_is_announced_with_the_next_value(self) -> None:
        decoder = Homie()
        first = decoder.decode("homie/super-car/engine/temperature", b"21.5", RX)
        assert first.births[0][2].metrics == {"engine_temperature": Metric()}
        for topic, payload in self.attributes.items():
            decoder.decode(topic, payload, RX)
        assert decoder.decode("homie/super-car/engine/temperature", b"22", RX).births[0][2] == self.announced
        assert decoder.decode("homie/super-car/engine/temperature", b"23", RX).births == []

    def test_version_5_describes_the_device_in_one_message(self) -> None:
        description = {
            "homie": "5.0",
            "name": "Supercar",
            "version": 7,
            "nodes": {
                "engine": {
                    "name": "Car engine",
                    "properties": {
                        "temperature": {"unit": "°C", "datatype": "float", "format": "-20:120"},
                        "running": {"datatype": "boolean"},
                        "colour": {"datatype": "color", "format": "rgb"},
                    },
                }
            },
        }
        decoder = Homie()
        (birth,) = decoder.decode("homie/5/super-car/$description", msgspec.json.encode(description), RX).births
        metrics = {"engine_temperature": Metric("Cel", -20.0, 120.0), "engine_running": Metric()}
        assert birth == ("homie", "super-car", Birth(name="Supercar", metrics=metrics))
        for leaf, payload, found in (
            ("temperature", b"21.5", {"engine_temperature": 21.5}),
            ("running", b"true", {"engine_running": 1.0}),
        ):
            decoded = decoder.decode(f"homie/5/super-car/engine/{leaf}", payload, RX)
            assert decoded.readings[0].metrics == found
            assert decoded.births == []
        assert not decoder.decode("homie/5/super-car/engine/colour", b"255,0,0", RX)

    @pytest.mark.parametrize(
        ("text", "state"), [(b"ready", "online"), (b"alert", "online"), (b"sleeping", "online"), (b"lost", "lost")]
    )
    @pytest.mark.parametrize("version", ["", "5/"])
    def test_states(self, text: bytes, state: str, version: str) -> None:
        decoded = Homie().decode(f"homie/{version}super-car/$state", text, RX)
        assert decoded.states == [("homie", "super-car", state)]

    def test_with_a_root_device_all_below_it_are_lost(self) -> None:
        # The convention's tree: a bridge, a relay behind it, a light behind that
        decoder = Homie()
        for device, more in (("dualrelay", {"root": "bridge"}), ("light1", {"root": "bridge", "parent": "dualrelay"})):
            description = msgspec.json.encode({"homie": "5.0", "version": 1, **more})
            decoder.decode(f"homie/5/{device}/$description", description, RX)
        lost = decoder.decode("homie/5/bridge/$state", b"lost", RX).states
        assert lost == [("homie", device, "lost") for device in ("bridge", "dualrelay", "light1")]
        assert decoder.decode("homie/5/bridge/$state", b"ready", RX).states == [("homie", "bridge", "online")]

    def test_a_removed_device_is_lost(self) -> None:
        assert Homie().decode("homie/super-car/$state", b"", RX).states == [("homie", "super-car", "lost")]

    @pytest.mark.parametrize(
        "leaf", ["$homie", "$nodes", "lights/power/set", "lights/power/$target", "engine/$properties", "engine/$name"]
    )
    def test_what_was_not_measured_holds_nothing(self, leaf: str) -> None:
        assert not Homie().decode(f"homie/kitchen-light/{leaf}", b"1", RX)
        assert not Homie().decode("homie/$broadcast/alert", b"Intruder detected", RX)

    def test_values_that_contradict_their_type_are_refused(self) -> None:
        decoder = Homie()
        for datatype, payload, reason in (
            (b"float", b"warm", Reason.SHAPE),
            (b"float", b"", Reason.SHAPE),
            (b"integer", b"1_000", Reason.SHAPE),
            (b"float", b"NaN", Reason.NOT_FINITE),
            (b"boolean", b"TRUE", Reason.SHAPE),
        ):
            decoder.decode("homie/a/b/c/$datatype", datatype, RX)
            assert refusal(decoder, "homie/a/b/c", payload) is reason

    def test_topics_of_others_are_refused(self) -> None:
        assert refusal(Homie(), "homey/a/b/c", b"1") is Reason.TOPIC
        base = Homie(Options(base="house/homie", site="{0}"))
        assert base.decode("house/homie/a/b/c", b"1", RX).readings[0].site == "house"


class TestHomeAssistant:
    """https://www.home-assistant.io/integrations/mqtt/#discovery-examples"""

    temperature = """{"device_class":"temperature","name":"Temperature","unit_of_measurement":"°C",
        "state_topic":"homeassistant/sensor/sensorBedroom/state","value_template":"{{ value_json.temperature}}"}"""
    humidity = """{"device_class":"humidity","name":"Humidity","unit_of_measurement":"%",
        "state_topic":"homeassistant/sensor/sensorBedroom/state","value_template":"{{ value_json.humidity}}"}"""
    state = "homeassistant/sensor/sensorBedroom/state"

    def taught(self) -> HomeAssistant:
        decoder = HomeAssistant()
        decoder.decode("homeassistant/sensor/sensorBedroomT/config", self.temperature.encode(), RX)
        decoder.decode("homeassistant/sensor/sensorBedroomH/config", self.humidity.encode(), RX)
        return decoder

    def test_two_configs_teach_one_state_topic(self) -> None:
        decoder = self.taught()
        decoded = decoder.decode(self.state, b'{ "temperature": 23.20, "humidity": 43.70 }', RX)
        (reading,) = decoded.readings
        assert (reading.site, reading.sensor, reading.ts) == ("homeassistant", "sensorbedroom", RX)
        assert reading.metrics == {"temperature": 23.2, "humidity": 43.7}
        assert decoder.topics == [self.state]

    def test_the_births_tell_the_units(self) -> None:
        decoder = HomeAssistant()
        decoder.decode("homeassistant/sensor/sensorBedroomT/config", self.temperature.encode(), RX)
        (birth,) = decoder.decode("homeassistant/sensor/sensorBedroomH/config", self.humidity.encode(), RX).births
        assert birth[2].metrics == {"temperature": Metric("Cel"), "humidity": Metric("%RH")}

    def test_a_config_sent_again_changes_nothing_and_an_empty_one_takes_it_back(self) -> None:
        decoder = self.taught()
        decoder.decode("homeassistant/sensor/sensorBedroomT/config", self.temperature.encode(), RX)
        assert len(decoder.decode(self.state, b'{"temperature":1,"humidity":2}', RX).readings[0].metrics) == 2
        decoder.decode("homeassistant/sensor/sensorBedroomT/config", b"", RX)
        assert decoder.decode(self.state, b'{"temperature":1,"humidity":2}', RX).readings[0].metrics == {
            "humidity": 2.0
        }
        decoder.decode("homeassistant/sensor/sensorBedroomH/config", b"", RX)
        assert refusal(decoder, self.state, b"{}") is Reason.TOPIC

    def test_a_binary_sensor_is_1_and_0(self) -> None:
        config = b'{"name":"garden","device_class":"motion","state_topic":"homeassistant/binary_sensor/garden/state"}'
        decoder = HomeAssistant()
        decoder.decode("homeassistant/binary_sensor/garden/config", config, RX)
        for payload, value in ((b"ON", 1.0), (b"OFF", 0.0)):
            (reading,) = decoder.decode("homeassistant/binary_sensor/garden/state", payload, RX).readings
            assert (reading.sensor, reading.metrics) == ("garden", {"motion": value})
        assert not decoder.decode("homeassistant/binary_sensor/garden/state", b"?", RX)

    def test_a_whole_device_in_one_config(self) -> None:
        # The documentation's device discovery payload
        config = {
            "dev": {"ids": "ea334450945afc", "name": "Kitchen", "mf": "Bla electronics"},
            "o": {"name": "bla2mqtt", "sw": "2.1"},
            "cmps": {
                "some_unique_component_id1": {
                    "p": "sensor",
                    "device_class": "temperature",
                    "unit_of_measurement": "°C",
                    "value_template": "{{ value_json.temperature }}",
                    "unique_id": "temp01ae_t",
                },
                "some_unique_id2": {
                    "p": "sensor",
                    "device_class": "humidity",
                    "unit_of_measurement": "%",
                    "value_template": "{{ value_json.humidity }}",
                    "unique_id": "temp01ae_h",
                },
                "bla1": {"p": "device_automation", "automation_type": "trigger", "topic": "foobar/triggers/button1"},
            },
            "state_topic": "sensorBedroom/state",
            "qos": 2,
        }
        decoder = HomeAssistant()
        decoded = decoder.decode("homeassistant/device/ea334450945afc/config", msgspec.json.encode(config), RX)
        metrics = {"temperature": Metric("Cel"), "humidity": Metric("%RH")}
        assert decoded.births == [("homeassistant", "ea334450945afc", Birth(name="Kitchen", metrics=metrics))]
        (reading,) = decoder.decode("sensorBedroom/state", b'{"temperature":21,"humidity":"40.5"}', RX).readings
        assert reading.metrics == {"temperature": 21.0, "humidity": 40.5}

    def test_abbreviations_base_topic_and_availability(self) -> None:
        config = b"""{"~":"esp/kitchen","stat_t":"~/sensor/co2","unit_of_meas":"ppm",
            "dev":{"ids":["esp-1"],"name":"ESP"},
            "avty":[{"t":"~/status","val_tpl":"{{ value_json.state }}"}]}"""
        decoder = HomeAssistant(HomeAssistantOptions(site="{1}"))
        decoder.decode("homeassistant/sensor/kitchen/co2/config", config, RX)
        (reading,) = decoder.decode("esp/kitchen/sensor/co2", b"612", RX).readings
        assert (reading.site, reading.sensor, reading.metrics) == ("kitchen", "esp-1", {"co2": 612.0})
        assert decoder.decode("esp/kitchen/status", b'{"state":"offline"}', RX).states == [("kitchen", "esp-1", "lost")]

    def test_without_a_device_each_state_topic_is_a_sensor(self) -> None:
        decoder = HomeAssistant()
        for room in ("kitchen", "hall"):
            config = f'{{"stat_t":"{room}/temperature/state","dev_cla":"temperature"}}'.encode()
            decoder.decode(f"homeassistant/sensor/{room}/config", config, RX)
        (reading,) = decoder.decode("hall/temperature/state", b"19.5", RX).readings
        assert (reading.sensor, reading.metrics) == ("hall_temperature", {"temperature": 19.5})

    @pytest.mark.parametrize("payload", [b"unavailable", b"unknown", b""])
    def test_no_value_is_no_reading(self, payload: bytes) -> None:
        decoder = HomeAssistant()
        decoder.decode("homeassistant/sensor/a/b/config", b'{"stat_t":"a/b","unit_of_meas":"W"}', RX)
        assert not decoder.decode("a/b", payload, RX).readings
        assert refusal(decoder, "a/b", b"much") is Reason.SHAPE
        assert refusal(decoder, "a/b", b"nan") is Reason.NOT_FINITE

    def test_what_no_config_named_is_refused_and_lights_teach_nothing(self) -> None:
        decoder = HomeAssistant()
        assert refusal(decoder, "homeassistant/sensor/a/state", b"1") is Reason.TOPIC
        assert not decoder.decode("homeassistant/light/kitchen/config", b'{"stat_t":"a","cmd_t":"b"}', RX)
        assert not decoder.decode("homeassistant/status", b"online", RX)

    @pytest.mark.parametrize(
        ("template", "path"),
        [
            ("", None),
            ("{{ value }}", None),
            ("{{value_json.a.b}}", ("a", "b")),
            ("{{ value_json['DHT11']['Temperature'] | float }}", ("DHT11", "Temperature")),
            ('{{ value_json["a b"][0] | round(1) | is_defined }}', ("a b", 0)),
            ("{{ value | float(0) }}", None),
        ],
    )
    def test_templates_that_say_where_a_value_is(self, template: str, path: tuple[str | int, ...] | None) -> None:
        assert path_of(template) == path

    @pytest.mark.parametrize(
        "template",
        ["{{ value_json.a * 2 }}", "{% if value %}1{% endif %}", "{{ states('x') }}", "{{ value_json.a", "{{" * 200],
    )
    def test_templates_that_compute_are_refused(self, template: str) -> None:
        config = msgspec.json.encode({"state_topic": "a", "value_template": template})
        assert refusal(HomeAssistant(), "homeassistant/sensor/a/config", config) is Reason.SHAPE
