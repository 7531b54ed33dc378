"""What the detector tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from weir.readings import Reading

_BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

frames_total = Counter("weir_detector_frames", "Frames judged")
readings_total = Counter("weir_detector_readings", "Readings judged")
flags_total = Counter("weir_detector_flags", "Readings flagged")
undecodable = Counter("weir_detector_undecodable", "Records that could not be decoded", ["topic"])
snapshots_total = Counter("weir_detector_snapshots", "Snapshots by outcome", ["outcome"])
lag_records = Gauge("weir_detector_lag_records", "Records of `readings` not judged yet", ["partition"])
published_to_latest = Histogram(
    "weir_published_to_latest_seconds",
    "From the time a live reading claims to its being announced by Redis",
    buckets=_BUCKETS,
)
published_to_judged = Histogram(
    "weir_published_to_judged_seconds", "From the time a live reading claims to its judgement", buckets=_BUCKETS
)
received_to_judged = Histogram(
    "weir_received_to_judged_seconds", "From receipt by the bridge to judgement, per frame", buckets=_BUCKETS
)


def measure(readings: list[Reading], at: int, flags: int) -> None:
    """Count a frame judged at `at` (ms), and how long its readings were on their way."""
    frames_total.inc()
    readings_total.inc(len(readings))
    flags_total.inc(flags)
    if readings:
        received_to_judged.observe(max(0, at - readings[0].rx) / 1000)
    for reading in readings:
        if not reading.hist:
            published_to_judged.observe(max(0, at - reading.ts) / 1000)
