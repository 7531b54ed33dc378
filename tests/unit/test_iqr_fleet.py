"""The detector on the simulated fleet: no false storm, and the faults that are injected are found."""

from collections.abc import Iterator

import numpy as np

from edge.profiles import PROFILES
from edge.simulate import Sensor, make_sensors, measure
from stream_apps.conditions import Rules, Series
from stream_apps.iqr import Detector
from weir.events import Flag
from weir.readings import Reading

MINUTE = 60_000
DAY = 1440 * MINUTE
START = 1_790_000_000_000 // DAY * DAY
SENSORS = make_sensors(10, PROFILES, 1)


def readings(sensor: Sensor, seed: int, days: float, history_days: float = 1.0) -> Iterator[Reading]:
    """A day of history at 5 minutes, as the fleet back-fills it, and then one reading a minute."""
    rng = np.random.default_rng(seed)
    site, name = sensor.profile.site, sensor.name
    for at in range(START - int(history_days * DAY), START, 5 * MINUTE):
        yield Reading(site, name, at, 0, measure(sensor, at, rng), None, True)
    for at in range(START, START + int(days * DAY), MINUTE):
        yield Reading(site, name, at, 0, measure(sensor, at, rng))


def alerts(flags: list[Flag]) -> int:
    """How many series of these flags would have opened an alert."""
    rules, series = Rules(), {}
    for flag in flags:
        series.setdefault((flag.sensor, flag.metric), Series()).flagged(flag, rules, flag.ts)
    return sum(one.abnormal for one in series.values())


def with_temperature(reading: Reading, temperature: float) -> Reading:
    metrics = {**reading.metrics, "temperature": round(temperature, 2)}
    return Reading(reading.site, reading.sensor, reading.ts, reading.rx, metrics, None, reading.hist)


def judged(stream: list[Reading]) -> list[Flag]:
    flags = []
    detector = Detector()
    for reading in stream:
        flags += detector.judge([reading], reading.ts)
    return flags


def test_a_healthy_fleet_opens_no_alert() -> None:
    flags = [flag for n, sensor in enumerate(SENSORS) for flag in judged(list(readings(sensor, n, 2)))]
    assert alerts(flags) == 0
    assert len(flags) < 15 * 2 * len(SENSORS)


def test_spikes_of_six_sigma_of_the_noise_are_flagged() -> None:
    found = injected = 0
    for n, sensor in enumerate(SENSORS):
        stream = list(readings(sensor, n, 2))
        spikes = [i for i in range(700, len(stream), 250)]
        for sign, i in enumerate(spikes):
            shift = 6 * sensor.profile.jitter * (-1) ** sign
            stream[i] = with_temperature(stream[i], stream[i].metrics["temperature"] + shift)
        flagged = {flag.ts for flag in judged(stream) if flag.metric == "temperature"}
        found += sum(stream[i].ts in flagged for i in spikes)
        injected += len(spikes)
    assert found / injected >= 0.9, f"{found} of {injected}"


def test_a_single_spike_is_flagged_and_opens_no_alert() -> None:
    stream = list(readings(SENSORS[0], 3, 1))
    stream[900] = with_temperature(stream[900], stream[900].metrics["temperature"] + 25)
    flags = judged(stream)
    assert stream[900].ts in {flag.ts for flag in flags}
    assert alerts(flags) == 0


def test_stuck_sensors_open_an_alert_within_ten_readings() -> None:
    found = 0
    for n, sensor in enumerate(SENSORS):
        stream = list(readings(sensor, n, 1))
        for i in range(1200, 1211):
            stream[i] = with_temperature(stream[i], stream[1199].metrics["temperature"])
        flags = [flag for flag in judged(stream[:1211]) if flag.feature == "flat"]
        found += alerts(flags)
    assert found >= 0.95 * len(SENSORS)
