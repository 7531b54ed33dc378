"""When a series or a sensor becomes abnormal, and when it is normal again (pure).

A *condition* is abnormal or not; what people are told about it is `lifecycle`'s part. Times in ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from weir.events import Flag


class Cause(NamedTuple):
    """What is wrong: `rule` is `anomaly` (of one metric), `silence` or `clock` (`metric` is empty)."""

    site: str
    sensor: str
    metric: str
    rule: str


@dataclass(frozen=True)
class Rules:
    """The parameters of the alerts; the defaults need no tuning.

    An alert opens when flags worth `m` points lie within `n` readings of one series. A flag is worth 1 point, or 2
    if its score is `strong` or more (IQRs beyond the fence): so never on one reading alone. It closes once the
    sensor has gone on for `clear_ms` and for `clear_readings` readings without a flag, or nothing has been heard of
    it for `give_up_ms`. Flags judged more than `stale_ms` after their time open nothing: they are history.
    A sensor is silent after `silent_ms` and after `silent_cadences` times its usual interval (only `silent_ms` if
    its connection is known to be lost), or `unlearned_ms` while its interval is not known; it is back after
    `back_readings` readings. New alerts wait `hold_ms`, so that what happens at `site_min` sensors of a site, and
    at half of its sensors, within `site_ms` makes one alert; more than `flood` alerts opened within `flood_ms`
    make one as well. A clock is wrong when the last `LAGS` readings of a sensor were all measured more than `ahead_ms`
    after they were received, or all more than `behind_ms` before it by the same time, give or take `steady_ms` (of a
    backlog that is sent late the lag shrinks).
    """

    m: int = 3
    n: int = 10
    strong: float = 6.0
    clear_ms: int = 10 * 60_000
    clear_readings: int = 10
    give_up_ms: int = 60 * 60_000
    stale_ms: int = 60 * 60_000
    silent_ms: int = 180_000
    silent_cadences: int = 3
    unlearned_ms: int = 60 * 60_000
    back_readings: int = 2
    ahead_ms: int = 10_000
    behind_ms: int = 120_000
    steady_ms: int = 10_000
    hold_ms: int = 10_000
    site_min: int = 3
    site_ms: int = 5 * 60_000
    flood: int = 20
    flood_ms: int = 10 * 60_000
    shelf_max_ms: int = 30 * 24 * 3_600_000


#: Intervals a cadence is the median of; fewer than `LEARNED` and it is not known.
INTERVALS = 9
LEARNED = 3
#: Readings by which a clock is judged.
LAGS = 5


@dataclass
class Sensor:
    """When a sensor was heard. `rx`: received last; `ts`: measured last; `cadence`: usual interval, 0 if unknown."""

    rx: int
    ts: int
    cadence: int = 0
    lost: bool = False
    silent: bool = False
    back: int = 0
    intervals: list[int] = field(default_factory=list)
    lags: list[int] = field(default_factory=list)
    skewed: bool = False

    def heard(self, ts: int, rx: int) -> bool:
        """Take the newest reading; False if it is known already."""
        if rx <= self.rx:
            return False
        if not self.silent:  # a silence is no interval
            self.intervals = [*self.intervals[1 - INTERVALS :], rx - self.rx]
            if len(self.intervals) >= LEARNED:
                self.cadence = int(median(self.intervals))
        self.lags = [*self.lags[1 - LAGS :], rx - ts]
        self.rx, self.ts = rx, max(self.ts, ts)
        self.back += self.silent
        return True

    def clock(self, rules: Rules) -> int:
        """How far the sensor's clock is behind (ms, negative: ahead); 0 if it is right or nobody knows."""
        if len(self.lags) < LAGS:
            return 0
        least, most = min(self.lags), max(self.lags)
        wrong = most < -rules.ahead_ms or (least > rules.behind_ms and most - least < rules.steady_ms)
        return int(median(self.lags)) if wrong else 0

    def limit(self, rules: Rules) -> int:
        """How long this sensor may say nothing, ms."""
        if self.lost:
            return rules.silent_ms
        if not self.cadence:
            return max(rules.silent_ms, rules.unlearned_ms)
        return max(rules.silent_ms, rules.silent_cadences * self.cadence)

    def turned_silent(self, rules: Rules, now: int, since: int = 0) -> bool:
        """True once, when the sensor has become silent. Before `since` nobody listened."""
        if self.silent or now - max(self.rx, since) <= self.limit(rules):
            return False
        self.silent, self.back = True, 0
        return True

    def turned_back(self, rules: Rules, now: int) -> bool:
        """True once, when a silent sensor is heard again."""
        if not self.silent or self.back < rules.back_readings or now - self.rx > self.limit(rules):
            return False
        self.silent = False
        return True


@dataclass
class Series:
    """The recent flags of one series: (number of the reading, ts, score). `newest`: ts of the newest flag."""

    flags: list[tuple[int, int, float]] = field(default_factory=list)
    newest: int = -1
    at: int = 0
    abnormal: bool = False

    def flagged(self, flag: Flag, rules: Rules, now: int) -> bool:
        """Take a flag; True if the series has become abnormal with it. A flag seen before changes nothing."""
        if flag.ts <= self.newest or flag.at - flag.ts > rules.stale_ms:
            return False
        self.newest, self.at = flag.ts, now
        nth = flag.nth or flag.ts // 60_000  # a detector that does not count: as if there were one a minute
        if self.flags and nth < self.flags[-1][0]:
            self.flags.clear()  # the detector has started anew: its numbers have too
        self.flags = [f for f in self.flags if f[0] > nth - rules.n] + [(nth, flag.ts, flag.score)]
        if self.abnormal:
            return False
        self.abnormal = sum(2 if score >= rules.strong else 1 for _, _, score in self.flags) >= rules.m
        return self.abnormal

    def quiet(self, rules: Rules, now: int, sensor: Sensor | None) -> bool:
        """Whether it is long enough since the last flag, with readings that show it."""
        cadence = sensor.cadence if sensor else 0
        if sensor and sensor.ts - self.newest >= max(rules.clear_ms, rules.clear_readings * cadence):
            return True
        return now - self.at >= max(rules.give_up_ms, rules.clear_readings * cadence)

    def severity(self, rules: Rules) -> str:
        """`critical` if every recent flag is strong, else `warning`."""
        return "critical" if all(score >= rules.strong for _, _, score in self.flags) else "warning"
