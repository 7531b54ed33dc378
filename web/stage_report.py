"""Throughput, what waits and latency of each stage: asked from the workers, remembered for a moment."""

from __future__ import annotations

import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from web import stages
from web.kept import Kept
from weir.settings import Settings, settings

ASK_S = 1.0
#: Latencies and rates are of about the last minute.
SPAN_S = 60.0


@dataclass(frozen=True)
class Stage:
    """One stage. `rate` a second of `what`; `waiting`: how many are in it now; `p50`, `p95` in s. None: not known."""

    name: str
    what: str
    rate: float | None
    waiting: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True)
class _Source:
    name: str
    what: str
    port: str
    counter: str
    histogram: str = ""
    gauge: str = ""


_SOURCES = (
    _Source("Bridge", "messages, received to Kafka", "bridge_port", "weir_bridge_messages_total",
            "weir_received_to_kafka_seconds", "weir_bridge_unacknowledged"),
    _Source("Detector", "readings, received to judged", "detector_port", "weir_detector_readings_total",
            "weir_received_to_judged_seconds"),
    _Source("Alerts", "flags taken", "alerts_port", "weir_alerts_flags_total", "", "weir_alerts_live"),
)  # fmt: skip
_kept: Kept[list[Stage]] = Kept(2.0)
_before: dict[str, list[tuple[float, str]]] = {}


def report() -> list[Stage]:
    """Every stage that tells of itself; one whose worker does not answer has no figures."""
    return _kept.get(0, lambda: _ask(settings()))


def _ask(config: Settings) -> list[Stage]:
    with ThreadPoolExecutor(len(_SOURCES)) as pool:
        texts = list(pool.map(lambda one: _metrics(config.host, getattr(config, one.port)), _SOURCES))
    now = time.monotonic()
    return [_stage(one, text, now) for one, text in zip(_SOURCES, texts, strict=True)]


def _metrics(host: str, port: int) -> str | None:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=ASK_S) as answer:
            return str(answer.read(2_000_000).decode())
    except OSError:
        return None


def _stage(one: _Source, text: str | None, now: float) -> Stage:
    past = _before.setdefault(one.name, [])
    if text is None:
        past.clear()
        return Stage(one.name, one.what, None, None, None, None)
    past[:] = [held for held in past if now - held[0] <= SPAN_S]
    then, before = past[0] if past else (now, text)
    past.append((now, text))
    done, done_before = stages.total(text, one.counter), stages.total(before, one.counter)
    rate = None
    if done is not None and done_before is not None and now > then:
        rate = max(0.0, done - done_before) / (now - then)
    spread = None
    if one.histogram:
        whole = stages.histogram(text, one.histogram)
        spread = whole.minus(stages.histogram(before, one.histogram)) if now > then else whole
    waiting = stages.total(text, one.gauge) if one.gauge else None
    p50, p95 = (spread.quantile(0.5), spread.quantile(0.95)) if spread else (None, None)
    return Stage(one.name, one.what, rate, waiting, p50, p95)
