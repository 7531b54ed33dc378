"""Faults injected into the simulated and the recorded fleet: what is found, and what is cried about nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from deploy.bench.runlog import Row
from edge import recorded, replay
from edge.fleet import RECORDED
from edge.profiles import PROFILES
from edge.simulate import make_sensors, measure
from stream_apps.conditions import Rules, Sensor, Series
from stream_apps.iqr import Detector, Judged
from weir.events import Flag

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START = 1_790_000_000_000 // DAY_MS * DAY_MS
#: Standard deviation of what the fleets add to their metrics; temperature's is its profile's own.
NOISE = {"humidity": 1.0, "wind": 0.8}
JITTER = 0.05
SPIKE_EVERY = 500
STUCK_EVERY = 1500


@dataclass(frozen=True)
class Case:
    """One series: times (ms) and values (n), which of them are history (bool), `noise` in its unit (0: none)."""

    sensor: str
    metric: str
    ts: np.ndarray
    values: np.ndarray
    hist: np.ndarray
    noise: float


def simulated(sensors: int, days: float, seed: int) -> list[Case]:
    """The simulated fleet: a day of history at 5 minutes, then one reading a minute."""
    rng = np.random.default_rng(seed)
    past = np.arange(START - DAY_MS, START, 5 * MINUTE_MS)
    ts = np.concatenate([past, START + np.arange(0, int(days * DAY_MS), MINUTE_MS)])
    cases = []
    for sensor in make_sensors(sensors, PROFILES, seed):
        rows = [measure(sensor, int(at), rng) for at in ts]
        for metric in rows[0]:
            noise = sensor.profile.jitter if metric == "temperature" else NOISE.get(metric, 0.0)
            values = np.array([row[metric] for row in rows])
            cases.append(Case(sensor.name, metric, ts, values, ts < START, noise))
    return cases


def bern(days: float, seed: int) -> list[Case]:
    """The recorded Bern network as it goes on live: each sensor repeats its last day, with a little jitter."""
    rng = np.random.default_rng(seed)
    rows = recorded.shifted(replay.read(RECORDED), START - MINUTE_MS)
    live = START + np.arange(0, int(days * DAY_MS), MINUTE_MS)
    cases = []
    for name, series in recorded.by_sensor(rows).items():
        past, first = np.unique([row.ts for row in series], return_index=True)
        values = np.array([row.metrics["temperature"] for row in series])[first]
        last = past > past[-1] - DAY_MS
        order = np.argsort(past[last] % DAY_MS)
        day = np.interp(live % DAY_MS, (past[last] % DAY_MS)[order], values[last][order], period=DAY_MS)
        both = np.concatenate([values, np.round(day + rng.normal(0, JITTER, len(live)), 3)])
        ts = np.concatenate([past, live])
        cases.append(Case(name, "temperature", ts, both, ts < START, JITTER))
    return cases


def judge(case: Case) -> Judged:
    """What the detector says of a series."""
    detector = Detector(capacity=1)
    detector.row("bench", case.sensor, case.metric)
    return detector.points(np.zeros(len(case.ts), np.int64), case.ts, case.values, case.hist)


def openings(case: Case, found: Judged) -> list[int]:
    """The readings (indices) at which an alert would open, by the rules of the alert worker."""
    rules, series, opened = Rules(), Series(), []
    for i, (score, nth) in zip(found.flagged, ((why[0], int(why[6])) for why in found.why), strict=True):
        ts = int(case.ts[i])
        if series.abnormal and ts - series.newest >= rules.clear_ms:
            series.abnormal = False
        flag = _flag(case, ts, float(case.values[i]), score, nth)
        if series.flagged(flag, rules, ts):
            opened.append(i)
    return opened


def _flag(case: Case, ts: int, value: float, score: float, nth: int) -> Flag:
    return Flag("bench", case.sensor, case.metric, ts, value, score, 0, 0, 0, 0, 0, ts, nth)


def false_alerts(cases: list[Case]) -> float:
    """Alerts per 100 sensors and day of a healthy fleet."""
    sensor_days = sum((~case.hist).sum() for case in cases) * MINUTE_MS / DAY_MS
    sensor_days *= len({case.sensor for case in cases}) / len(cases)
    return 100 * sum(len(openings(case, judge(case))) for case in cases) / sensor_days


def spikes(cases: list[Case], sigmas: float, of_noise: bool, seed: int) -> tuple[int, int]:
    """Spikes of one reading: (found, injected). Sigma is that of the series' noise, or of the whole series."""
    rng = np.random.default_rng(seed)
    found = injected = 0
    for case in _noisy(cases):
        places = np.arange(case.hist.sum() + 100 + rng.integers(SPIKE_EVERY), len(case.ts), SPIKE_EVERY)
        sigma = case.noise if of_noise else float(case.values.std())
        values = case.values.copy()
        values[places] += rng.choice([-1, 1], len(places)) * sigmas * sigma
        found += int(np.isin(places, judge(replace(case, values=values)).flagged).sum())
        injected += len(places)
    return found, injected


def stuck(cases: list[Case], length: int, seed: int) -> tuple[int, int]:
    """Spells of equal readings: (those in which an alert opened, injected)."""
    rng = np.random.default_rng(seed)
    found = injected = 0
    for case in _noisy(cases):
        first = case.hist.sum() + 300 + rng.integers(STUCK_EVERY)
        places = np.arange(first, len(case.ts) - length - 10, STUCK_EVERY)
        values = case.values.copy()
        for place in places:
            values[place : place + length] = values[place]
        opened = np.array(openings(case, judge(replace(case, values=values))))
        found += sum(bool(((opened >= place) & (opened <= place + length)).any()) for place in places)
        injected += len(places)
    return found, injected


def silent(minutes: int, seed: int, trials: int = 300) -> tuple[int, int]:
    """Sensors of one reading a minute that say nothing for a while: (noticed in that time, trials)."""
    rng = np.random.default_rng(seed)
    rules = Rules()
    noticed = 0
    for _ in range(trials):
        sensor = Sensor(0, 0)
        for i in range(1, 30):
            sensor.heard(i * MINUTE_MS, i * MINUTE_MS + int(rng.integers(0, 500)))
        span = range(29 * MINUTE_MS, (30 + minutes) * MINUTE_MS, 1000)
        noticed += any(sensor.turned_silent(rules, now) for now in span)
    return noticed, trials


def run(sensors: int, days: float, say: Callable[[str], None]) -> list[Row]:
    """Healthy fleets first, then each fault."""
    rows: list[Row] = []
    for what, measured, reach in _measured(sensors, days):
        rows.append((what, measured, reach))
        say(f"{what}: {measured}")
    return rows


def _measured(sensors: int, days: float) -> Iterator[Row]:
    fleets = {"simulated": simulated(sensors, days, 11), "Bern": bern(days, 12)}
    for name, cases in fleets.items():
        size = f"{len({case.sensor for case in cases})} sensors, {days:g} days"
        yield f"{name} fleet, healthy, {size}: alerts per 100 sensors a day", f"{false_alerts(cases):.2f}", "1"
    for name, cases in fleets.items():
        wide = _share(spikes(cases, 6, False, 1))
        yield f"{name}: spikes of 6 standard deviations of the series, flagged", wide, "95 %"
        yield f"{name}: spikes of 6 sigma of the sensor's noise, flagged", _share(spikes(cases, 6, True, 2)), "95 %"
        for length in (10, 30):
            yield f"{name}: stuck for {length} readings, alert", _share(stuck(cases, length, 3)), "95 %"
    yield "silent for 4 minutes at one reading a minute, alert", _share(silent(4, 4)), "95 %"


def _noisy(cases: list[Case]) -> list[Case]:
    return [case for case in cases if case.noise]


def _share(counts: tuple[int, int]) -> str:
    found, of = counts
    return f"{100 * found / of:.1f} % of {of}"
