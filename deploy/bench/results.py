"""The whole proof in less than 20 minutes: loads, the highest rate, an overload, chaos; written as docs/results.md."""

# ruff: noqa: E501 - the page's sentences are as long as they are
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.bench import results_plots, runlog
from deploy.proof import chaos, load
from deploy.proof.faults import COMPONENTS, catalogue
from deploy.stack import Stack
from weir.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
FOLDER = PAGE.parent / "results"
SENSORS = 1000
#: Recovery is seen by the next reading of each watched sensor: few sensors, so that it comes soon.
CHAOS_SENSORS = 50
LATEST_MS = 2000.0
OVERLOAD = 3.0
_STAGES = ("kafka", "flag", "latest", "stored")


@dataclass(frozen=True)
class Size:
    """How much is done: seconds of each load and of chaos, the rates below the ramp, and its first rate."""

    seconds: float = 60.0
    rates: tuple[float, ...] = (100.0, 1000.0)
    first: float = 2000.0
    steps: int = 5
    chaos_s: float = 460.0
    chaos_rate: float = 300.0


#: For CI: everything runs, and what is asserted is that nothing is lost.
SMALL = Size(seconds=6.0, rates=(50.0,), first=200.0, steps=1, chaos_s=35.0, chaos_rate=50.0)

Run = dict[str, Any]


def measure(stack: Stack, config: Settings, size: Size, say: Callable[[str], None]) -> Run:
    """Run it all against the running stack. `loads`: results by rate; `highest`: the highest rate held, or None."""
    loads: dict[float, Run] = {}

    def at(rate: float, seconds: float) -> tuple[load.Result, bool]:
        plan = load.make_plan(rate, seconds, SENSORS)
        result = load.run(stack, config, plan)
        say(f"{rate:g} readings a second for {seconds:g} s: {result.found.stored} stored, {result.lost} lost")
        return result, load.held(result, plan, LATEST_MS)

    for rate in size.rates:
        loads[rate] = at(rate, size.seconds)[0].as_dict()

    def attempt(rate: float) -> bool:
        result, held = at(rate, size.seconds)
        loads[rate] = {**result.as_dict(), "held": held}
        return held

    tried = load.ramp(size.first, attempt, most=size.steps)
    highest = max((rate for rate, held in tried if held), default=None)
    overload = at(OVERLOAD * (highest or size.first), size.seconds)[0].as_dict()
    plan = load.make_plan(size.chaos_rate, size.chaos_s, CHAOS_SENSORS)
    report = chaos.run(stack, config, plan, catalogue(COMPONENTS, 1, False), lambda _: None, say)
    return {
        "machine": runlog.machine(),
        "versions": runlog.versions(),
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "seconds": size.seconds,
        "loads": {f"{rate:g}": loads[rate] for rate in sorted(loads)},
        "highest": highest,
        "overload": {"rate": OVERLOAD * (highest or size.first), **overload},
        "chaos": {"rate": size.chaos_rate, **report.as_dict()},
    }


def lost(run: Run) -> int:
    """Readings lost in any part."""
    return sum(int(one["lost"]) for one in (*run["loads"].values(), run["overload"], run["chaos"]))


def cores(one: Run) -> dict[str, float]:
    """Shares of a core by component, over the time of a load: from its first reading to the last one stored."""
    took = one["published"] / max(1e-9, one["achieved_rate"]) + one["settled_s"]
    return {name: spent / took for name, spent in one["cpu_s"].items()}


def page(run: Run, note: str = "") -> str:
    """docs/results.md. Pure."""
    stages = "".join(_stage_rows(rate, one) for rate, one in run["loads"].items())
    shown = [name for name in next(iter(run["loads"].values()))["cpu_s"] if name != "fleet"]
    over, storm = run["overload"], run["chaos"]
    return f"""# Results

Written by `weir bench results` (`make bench`), {run["at"]} UTC, {run["machine"]}; {run["versions"]}. Load generator and observer are on the same machine and included. How it is measured: [load.md](load.md). All figures: [results/results.json](results/results.json).{note}

## Throughput
Highest rate held for {run["seconds"]:g} s, with `latest` p99 under 2 s: **{format(run["highest"], ",g") if run["highest"] else "none"}** readings a second of 3 metrics.

| readings a second | achieved | lost | {" | ".join(shown)} | all, cores | CPU s per million points | bytes a point |
|---|---|---|{"---|" * (len(shown) + 3)}
{"".join(_cost_row(rate, one, shown) for rate, one in run["loads"].items())}
![cores by rate](results/cores.png)

## Latency
From when a reading is due to: a Kafka consumer has it, its flag is on `anomalies`, Redis has announced it, Postgres shows it. Milliseconds.

| readings a second | stage | p50 | p95 | p99 | max |
|---|---|---|---|---|---|
{stages}
![latency by stage](results/latency.png)

## Three times too much
{over["rate"]:,g} readings a second for {run["seconds"]:g} s: {over["published"]:,} published at {over["achieved_rate"]:,.0f} a second, {over["stored"]:,} stored, **{over["lost"]} lost**; the last one was in Postgres {over["settled_s"]:g} s after the last acknowledgement.

## Faults
{storm["rate"]:g} readings a second, `weir chaos --seed 1`: {storm["published"]:,} published, {storm["stored"]:,} stored, **{storm["lost"]} lost**, {storm["wrong_aggregates"]} wrong aggregates, {storm["missed_alerts"]} alerts missed, {storm["duplicate_alerts"]} opened twice. Broken promises: {"; ".join(storm["broken"]) or "none"}.

| fault | at, s | recovered after, s |
|---|---|---|
{"".join(f"| {one['what']} | {one['at_s']:g} | {_seconds(one['recovered_s'])} |" + chr(10) for one in storm["faults"])}
![recovery times](results/recovery.png)
"""


def _seconds(took: float | None) -> str:
    return "not within 120" if took is None else f"{took:g}"


def _cost_row(rate: str, one: Run, shown: list[str]) -> str:
    shares = cores(one)
    million = sum(one["cpu_s"].values()) / (one["published"] * 3 / 1e6)
    each = " | ".join(f"{shares.get(name, 0):.2f}" for name in shown)
    held = "" if one.get("held", True) else " (not held)"
    total = f"{sum(shares.values()):.2f} | {million:.0f} | {one['bytes_per_point'] or '-'}"
    return f"| {rate}{held} | {one['achieved_rate']:,.0f} | {one['lost']} | {each} | {total} |\n"


def _stage_rows(rate: str, one: Run) -> str:
    rows = []
    for stage in _STAGES:
        known = one["latency_ms"].get(stage)
        cells = [f"{known[name]:g}" for name in ("p50", "p95", "p99", "max")] if known else ["-"] * 4
        rows.append(f"| {rate} | {stage} | {' | '.join(cells)} |\n")
    return "".join(rows)


def write(run: Run, note: str = "") -> None:
    """Write the page, the figures behind it, and the pictures."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "results.json").write_text(json.dumps(run, indent=1) + "\n")
    PAGE.write_text(page(run, note))
    results_plots.write(run, {rate: cores(one) for rate, one in run["loads"].items()}, FOLDER)
