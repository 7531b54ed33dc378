"""`weir bench ...`: measure, and write the figures into docs/run-log.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy import environment
from deploy.bench import runlog
from deploy.stack import Stack
from weir.errors import SetupError
from weir.settings import settings

console = Console(highlight=False)
bench = typer.Typer(no_args_is_help=True, help="Measure, and write the figures into docs/run-log.md.")


def say(text: str) -> None:
    """A line as it is, however wide the terminal."""
    console.print(text, soft_wrap=True)


@bench.command("pipeline")
def bench_pipeline(rate: float = 300.0, seconds: float = 300.0) -> None:
    """Start-up, latency to Redis and to the page, a load with every reading accounted for, memory."""
    from deploy.bench import pipeline

    stack = Stack(settings().home)
    environment.prepare(stack.home, None)
    rows = pipeline.run(stack, settings(), rate, seconds, say)
    runlog.write("Pipeline", f"weir bench pipeline --rate {rate:g} --seconds {seconds:g}", rows)


@bench.command("fresh")
def bench_fresh(tests: bool = True, port_base: int = 24800) -> None:
    """README's two commands in a fresh clone with a new HOME."""
    from deploy.bench import fresh

    rows = fresh.run(tests, port_base, say)
    runlog.write("Fresh clone", "weir bench fresh" + ("" if tests else " --no-tests"), rows)


@bench.command("bridge")
def bench_bridge(messages: int = 1_000_000, seconds: float = 60.0, port_base: int = 24500) -> None:
    """The bridge alone, with the detector beside it, and a backlog, on servers of their own."""
    from deploy.bench import bridge

    rows = bridge.run(messages, seconds, port_base, say)
    command = f"weir bench bridge --messages {messages} --seconds {seconds:g}"
    runlog.write("Bridge", command, rows)


@bench.command("outage")
def bench_outage(minutes: float = 60.0, outage: float = 5.0, rate: float = 300.0, port_base: int = 24600) -> None:
    """The bridge's memory over a long run with Kafka away in the middle."""
    from deploy.bench import outage as long_run

    rows = long_run.run(minutes, outage, rate, port_base, say)
    runlog.write("Outage", f"weir bench outage --minutes {minutes:g} --outage {outage:g} --rate {rate:g}", rows)


@bench.command("detect")
def bench_detect(
    data: Annotated[Path, typer.Option(help="A folder laid out like NAB.")],
    scores: Annotated[Path | None, typer.Option(help="Write one score per point here, as NAB does.")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """The detector on labelled series: NAB's standard score, cost and size."""
    from deploy.bench import detect

    found = detect.run(data, scores)
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if name != "series":
            say(f"{name}: {value}")


@bench.command("detector")
def bench_detector(seconds: float = 30.0, port_base: int = 24900) -> None:
    """How soon readings are judged under load, and how fast a large state is restored."""
    from deploy.bench import detector

    runlog.write("Detector", f"weir bench detector --seconds {seconds:g}", detector.run(seconds, port_base, say))


@bench.command("faults")
def bench_faults(sensors: int = 100, days: float = 8.0) -> None:
    """Recall of injected faults, and alerts about nothing, on the simulated and the recorded fleet."""
    from deploy.bench import faults

    runlog.write("Faults", f"weir bench faults --sensors {sensors} --days {days:g}", faults.run(sensors, days, say))


@bench.command("forecast")
def bench_forecast(
    data: Annotated[Path, typer.Option(help="A CSV with sensor_id, ts and VALUE.")],
    horizon: Annotated[str, typer.Option(help="1h, 24h or both.")] = "1h,24h",
    extra: Annotated[bool, typer.Option(help="Also statsforecast's automatic models (extra `bench`).")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Forecasts by rolling origin, model by model: MASE, R² and coverage."""
    from deploy.bench import forecast

    found = forecast.run(data, horizon.split(","), extra)
    if as_json:
        print(json.dumps(found))
        return
    for name, figures in found["models"].items():
        say(f"{name}: " + ", ".join(f"{what} {value:.3g}" for what, value in figures.items() if value is not None))
    say(f"{found['seconds_per_series']:.3f} s a series")


@bench.command("fleet")
def bench_fleet(count: int = 1000, days: int = 14, port_base: int = 24700) -> None:
    """The hourly forecasts of a whole fleet, and one on demand."""
    from deploy.bench import fleet

    rows = fleet.run(count, days, port_base, say)
    runlog.write("Fleet forecasts", f"weir bench fleet --count {count} --days {days}", rows)


@bench.command("queries")
def bench_queries(
    points: Annotated[int, typer.Option(help="How many points to load; more cover a longer time.")] = 10_000_000,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    port_base: int = 24300,
) -> None:
    """Synthetic years of readings in Postgres, compacted; bytes a point, and every query of the dashboard timed.

    Without --json the figures go into the run log and the picture beside docs/storage.md.
    """
    from deploy.bench import growth, queries

    found = queries.run(points, port_base, (lambda _: None) if as_json else say)
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    growth.keep(found.as_dict())
    say(str(growth.draw()))
    runlog.write(f"Queries at {found.points:,} points", f"weir bench queries --points {points}", queries.table(found))


@bench.command("results")
def bench_results(
    note: Annotated[str, typer.Option(help="What else was going on: it goes onto the page.")] = "",
    small: Annotated[
        bool, typer.Option(help="For CI: a minute, nothing written; exit code 1 if a reading is lost.")
    ] = False,
) -> None:
    """Loads, the highest rate, an overload and chaos against the running stack: docs/results.md, in 18 minutes."""
    from deploy.bench import results

    stack = Stack(settings().home)
    if not stack.running():
        raise SetupError("Weir is not running: `weir up` starts it")
    run = results.measure(stack, settings(), results.SMALL if small else results.Size(), say)
    if not small:
        results.write(run, f" {note}" if note else "")
    if results.lost(run) or run["chaos"]["broken"]:
        raise typer.Exit(1)


@bench.command("plots")
def bench_plots() -> None:
    """Pictures of the best, the median and the worst forecast of the recorded network, for the docs."""
    from deploy.bench import plots

    for path in plots.write():
        say(str(path))


@bench.command("import")
def bench_import(readings: int = 10_000_000, port_base: int = 26500) -> None:
    """Import a CSV of history until every reading is stored, and export it again."""
    from deploy.bench import imports

    rows = imports.run(readings, port_base, say)
    runlog.write("Import and export", f"weir bench import --readings {readings}", rows)


@bench.command("decoders")
def bench_decoders(messages: int = 20_000) -> None:
    """Messages a second that each format's decoder takes on one core."""
    from deploy.bench import decoders

    runlog.write("Decoders", f"weir bench decoders --messages {messages}", decoders.run(messages, say))


@bench.command("access")
def bench_access(count: int = 5000) -> None:
    """What sign-in costs each request."""
    from deploy.bench import access

    runlog.write("Access", f"weir bench access --count {count}", access.run(count, say))


@bench.command("pages")
def bench_pages(sensors: int = 10_000, port_base: int = 27700) -> None:
    """The dashboard before a large fleet: first paint, updates, payload, panning, fifty open pages."""
    from deploy.bench import pages

    runlog.write("Dashboard", f"weir bench pages --sensors {sensors}", pages.run(sensors, port_base, say))


@bench.command("screenshots")
def bench_screenshots() -> None:
    """Pictures of every page of the running dashboard, light and dark, for the docs."""
    from deploy.bench import shots

    for path in shots.write(settings()):
        say(str(path))
