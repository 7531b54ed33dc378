"""The detector: how soon a reading is judged under load, and how fast a large state comes back."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from deploy.bench.bridge import buckets, measure, quantile, servers
from deploy.bench.runlog import Row
from stream_apps.iqr import Detector

JUDGED = "weir_received_to_judged_seconds"
SERIES = 30_000
READINGS = 300


def restored() -> tuple[float, float, int]:
    """A state of 30,000 series with full history behind each: seconds to write it, to restore it, and its bytes."""
    detector = Detector(capacity=SERIES)
    rows = np.array([detector.row("bench", f"s{n}", "t") for n in range(SERIES)], np.int64)
    rng = np.random.default_rng(1)
    for k in range(READINGS):
        detector.points(rows, np.full(SERIES, k * 60_000), rng.normal(20, 1, SERIES), np.zeros(SERIES, np.bool_))
    begun = time.monotonic()
    state = detector.dump()
    wrote = time.monotonic()
    Detector.load(state)
    return wrote - begun, time.monotonic() - wrote, len(state)


def run(seconds: float, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """1,000 and 3,000 messages a second of 3 metrics through bridge and detector, then the state."""
    rows: list[Row] = []
    with servers(("bridge", "detector"), port_base) as (stack, config):
        measure(stack, config, 500, 5)
        for rate in (1000, 3000):
            before = buckets(config.detector_port, JUDGED)
            one = measure(stack, config, rate, seconds)
            time.sleep(1)
            p50, p99 = (quantile(config.detector_port, JUDGED, share, before) for share in (0.5, 0.99))
            rows.append((
                f"receipt by the bridge to judged and handed to `anomalies`, {rate:,} messages a second x 3 metrics",
                f"p50 at most {p50 * 1000:g} ms, p99 at most {p99 * 1000:g} ms; {one.achieved:,.0f} a second; detector "
                f"{one.cpu.get('detector', 0):.2f} cores", "p99 100 ms" if rate == 1000 else "",
            ))  # fmt: skip
            say(f"{rows[-1][0]}: {rows[-1][1]}")
    wrote, read, size = restored()
    rows.append((
        f"state of {SERIES:,} series",
        f"written in {wrote:.1f} s, restored in {read:.1f} s, {size / SERIES:.0f} bytes a series", "restored in 5 s",
    ))  # fmt: skip
    say(f"{rows[-1][0]}: {rows[-1][1]}")
    return rows
