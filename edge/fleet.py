"""The default fleet: simulated sensors, and the recorded Bern 2018 network, live. Run as `python -m edge.fleet`."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from edge import recorded, replay
from edge.profiles import PROFILES, by_name
from edge.publisher import Publisher
from edge.recorded import Row
from edge.simulate import FAULTS, Faulty, Sensor, make_sensors, measure
from weir.errors import SetupError
from weir.settings import Settings, settings

log = logging.getLogger("weir.edge")

RECORDED_SITE = "bern-2018"
RECORDED = Path(__file__).parent / "data" / "bern_2018.csv.gz"
RECORDED_CADENCE_S = 60.0
HISTORY_MS = 24 * 3600 * 1000
HISTORY_STEP_MS = 5 * 60 * 1000
#: The end of the history comes at the live pace, so many readings of it at most: where readings come at another pace
#: the detector begins anew, and half the fleet would be flagged in its first minutes.
RECENT_MS = 15 * 60 * 1000
RECENT_MOST = 500
#: The shortest pause of the publishing loop: waking up more often costs more than the publishing.
TICK_S = 0.05
_UNITS = {"temperature": "Cel", "humidity": "%RH", "battery": "%EL", "wind": "m/s"}


def births(publisher: Publisher, sensors: list[Sensor]) -> None:
    """Announce simulated sensors."""
    for sensor in sensors:
        metrics = measure(sensor, 0, np.random.default_rng(0))
        units = {name: {"unit": _UNITS[name]} for name in metrics}
        place = {"lat": sensor.lat, "lon": sensor.lon, "kind": sensor.profile.name, "metrics": units}
        publisher.birth(sensor.profile.site, sensor.name, place)


def history(now: int, pace_ms: int) -> list[int]:
    """Times (ms) of a day until `now`: every five minutes, then at the live pace (pure)."""
    recent = now - min(RECENT_MS, RECENT_MOST * pace_ms)
    if pace_ms >= HISTORY_STEP_MS:
        return list(range(now - HISTORY_MS, now, HISTORY_STEP_MS))
    return [*range(now - HISTORY_MS, recent, HISTORY_STEP_MS), *range(recent, now, pace_ms)]


def back_fill_simulated(
    publisher: Publisher, sensors: list[Sensor], rate: float, seed: int, stop: threading.Event
) -> bool:
    """A day of history, so that fences and forecasts have something to stand on."""
    times = history(int(time.time() * 1000), max(1, int(1000 * len(sensors) / rate)))
    rng = np.random.default_rng(seed)
    for sensor in sensors:
        past = [{"ts": at, "metrics": measure(sensor, at, rng), "hist": True} for at in times]
        for start in range(0, len(past), recorded.MAX_BATCH):
            publisher.data(sensor.profile.site, sensor.name, past[start : start + recorded.MAX_BATCH])
    return publisher.flush(stop)


def publish_live(
    publisher: Publisher, sensors: list[Sensor], rate: float, seed: int, faulty: Faulty, stop: threading.Event,
    until: float | None = None,
) -> int:  # fmt: skip
    """Publish `rate` messages a second, sensor after sensor, until stopped. Returns how many."""
    rng = np.random.default_rng(seed)
    begun = time.monotonic()
    counters = dict.fromkeys((sensor.name for sensor in sensors), 0)  # begun anew at every start, as devices do
    sent = 0
    while not stop.wait(TICK_S) and (until is None or time.monotonic() < until):
        due = int((time.monotonic() - begun) * rate)
        for n in range(sent, due):
            sensor = sensors[n % len(sensors)]
            now = int(time.time() * 1000)
            reading = faulty.apply(sensor.name, now, measure(sensor, now, rng))
            if reading is not None:
                counters[sensor.name] += 1
                message = {"ts": reading[0], "seq": counters[sensor.name], "metrics": reading[1]}
                publisher.data(sensor.profile.site, sensor.name, message)
        sent = max(sent, due)
    return sent


def publish_recorded(publisher: Publisher, rows: list[Row], seed: int, stop: threading.Event) -> None:
    """The recorded network goes on: each sensor repeats its last day, with a little jitter, once a minute."""
    rng = np.random.default_rng(seed)
    days: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for sensor, series in recorded.by_sensor(rows).items():
        last = [row for row in series if row.ts > series[-1].ts - HISTORY_MS]
        times = np.array([row.ts % HISTORY_MS for row in last], float)
        values = np.array([row.metrics["temperature"] for row in last])
        order = np.argsort(times)
        days[sensor] = times[order], values[order]
    while not stop.is_set():
        started = time.monotonic()
        for i, (sensor, (times, values)) in enumerate(days.items()):
            if stop.wait(max(0.0, started + i * RECORDED_CADENCE_S / len(days) - time.monotonic())):
                return
            now = int(time.time() * 1000)
            value = float(np.interp(now % HISTORY_MS, times, values, period=HISTORY_MS)) + rng.normal(0, 0.05)
            publisher.data(RECORDED_SITE, sensor, {"ts": now, "metrics": {"temperature": round(value, 3)}})
        stop.wait(max(0.0, started + RECORDED_CADENCE_S - time.monotonic()))


def simulate(sensors: int, rate: float, profile: str | None, faults: str, seed: int, seconds: float | None) -> None:
    """Publish a simulated fleet until stopped or `seconds` have passed. Raises `SetupError`."""
    kinds = tuple(one.strip() for one in faults.split(",") if one.strip())
    if wrong := set(kinds) - set(FAULTS):
        raise SetupError(f"unknown fault {', '.join(sorted(wrong))}: there are {', '.join(FAULTS)}")
    try:
        profiles = PROFILES if profile is None else (by_name(profile),)
    except KeyError:
        names = ", ".join(one.name for one in PROFILES)
        raise SetupError(f"unknown profile {profile}: there are {names}") from None
    if sensors < 1 or rate <= 0:
        raise SetupError("--sensors and --rate must be more than 0")
    fleet = make_sensors(sensors, profiles, seed)
    stop = _stop_on_signals()
    publisher = Publisher(settings(), f"weir-simulate-{seed}", [(one.profile.site, one.name) for one in fleet])
    births(publisher, fleet)
    faulty = Faulty(kinds, np.random.default_rng(seed + 1))
    until = None if seconds is None else time.monotonic() + seconds
    sent = publish_live(publisher, fleet, rate, seed, faulty, stop, until)
    publisher.flush(stop)
    publisher.close()
    print(f"published {sent} readings of {sensors} sensors; {len(faulty.labels)} faults")


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def run(config: Settings) -> None:
    """The default fleet, until SIGTERM. History is back-filled once: a marker says that all of it was acknowledged."""
    stop = _stop_on_signals()
    fleet = make_sensors(config.fleet_sensors, PROFILES, config.fleet_seed)
    now = int(time.time() * 1000)
    rows = recorded.shifted(replay.read(RECORDED), now)
    recorded_names = [(RECORDED_SITE, name) for name in recorded.by_sensor(rows)]
    simulated = Publisher(config, "weir-fleet", [(one.profile.site, one.name) for one in fleet])
    network = Publisher(config, "weir-recorded", recorded_names)
    births(simulated, fleet)
    marker = config.home / "fleet" / "back-filled"
    if not marker.exists():
        log.info("back-filling %d recorded readings and a day of the simulated fleet", len(rows))
        done = back_fill_simulated(simulated, fleet, config.fleet_rate, config.fleet_seed, stop)
        if done and replay.back_fill(network, RECORDED_SITE, rows, stop):
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.write_text(f"{now}\n")
            log.info("back-filled")
    going_on = threading.Thread(target=publish_recorded, args=(network, rows, config.fleet_seed, stop))
    going_on.start()
    faulty = Faulty(("spike",), np.random.default_rng(config.fleet_seed), share=0.0005)
    publish_live(simulated, fleet, config.fleet_rate, config.fleet_seed, faulty, stop)
    going_on.join()
    simulated.close()
    network.close()


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    run(settings())
