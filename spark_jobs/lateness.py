"""Which readings the streaming rollup counts: a rule on the reading alone, so that all agree on it (pure)."""

from __future__ import annotations

from weir.readings import MAX_AHEAD_MS, Reading

BUCKET_MS = 5 * 60 * 1000
#: Readings beyond the year 2100 have a broken clock; the bridge refuses them, the rollup must not see them.
MAX_TS = 4_102_444_800_000

#: Between a reading's receipt by the bridge and its record being visible in Kafka.
SLACK_MS = 30_000

_UNITS = {"millisecond": 1, "second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def duration_ms(text: str) -> int:
    """Milliseconds of a Spark interval such as `10 minutes`. Raises `ValueError`."""
    number, _, unit = text.strip().partition(" ")
    try:
        return int(number) * _UNITS[unit.strip().removesuffix("s")]
    except KeyError:
        raise ValueError(f"not a duration: {text!r}; write for example '10 minutes'") from None


def horizon_ms(watermark: str) -> int:
    """How old a reading may be on arrival (`rx - ts`) to count as on time.

    Spark's watermark follows the greatest event time, and a clock may run `MAX_AHEAD_MS` ahead of ours. So a reading
    that is on time by this rule is, in order of arrival, also on time for Spark.
    """
    delay = duration_ms(watermark)
    return max(delay - MAX_AHEAD_MS, delay // 2)


def on_time(reading: Reading, at: int, horizon: int) -> bool:
    """Whether the streaming rollup counts this reading; if not, its buckets are computed from raw.

    `at` is when its record was appended to Kafka (ms): a bridge may hold what it has received while Kafka is away, and
    its buckets may be closed by then. The same rule stands in SQL in `rollups.measured`; a test compares the two.
    """
    if reading.hist or not (0 <= reading.ts <= MAX_TS and 0 <= reading.rx <= MAX_TS):
        return False
    return -MAX_AHEAD_MS <= reading.rx - reading.ts <= horizon and at - reading.rx <= SLACK_MS


def bucket_of(ts: int) -> int:
    """The start (ms) of the 5-minute bucket that `ts` falls into."""
    return ts - ts % BUCKET_MS


def minute_of(ms: int) -> int:
    """The start (ms) of the minute that `ms` falls into."""
    return ms - ms % 60_000
