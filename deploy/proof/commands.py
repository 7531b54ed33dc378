"""`weir load`: what is asked on the command line, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.proof import accounting, promises
from deploy.proof import load as loading
from deploy.proof.load import Moment, Result
from deploy.proof.observer import STAGES
from deploy.proof.trouble import Trouble
from deploy.stack import Stack
from weir.errors import SetupError
from weir.settings import settings

#: Progress goes to stderr, so that stdout holds the result alone.
console = Console(stderr=True, highlight=False)
RAMP_S = 60.0
RAMP_MS = 2000.0
LINE_S = 5.0
RECENT = 2000
PATIENCE_S = 60.0


def load(
    rate: Annotated[float, typer.Option(help="Readings a second.")] = 300.0,
    seconds: float = 300.0,
    sensors: int = 1000,
    metrics: Annotated[int, typer.Option(help="Metrics of each reading.")] = 3,
    processes: Annotated[int, typer.Option(help="How many generators share the sensors.")] = 1,
    payload: Annotated[str, typer.Option(help="`json`: a message each; `array`: ten readings a message.")] = "json",
    faults: Annotated[
        str,
        typer.Option(help="`hostile`: beside it, payloads that must become dead letters and readings an hour late."),
    ] = "",
    ramp: Annotated[bool, typer.Option(help="Find the highest rate held for a minute, from --rate on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Publish at a rate to the running stack and account for every reading; exit code 1 if one is lost."""
    stack = Stack(settings().home)
    if not stack.running():
        raise SetupError("Weir is not running: `weir up` starts it")
    if ramp:
        _ramp(stack, rate, sensors, metrics, processes, payload, as_json)
        return
    if faults not in ("", "hostile"):
        raise SetupError(f"--faults {faults}: there is `hostile`")
    plan = loading.make_plan(rate, seconds, sensors, metrics, payload)
    with shown() as look, Trouble(settings(), f"{plan.site}-bad") if faults else nullcontext() as trouble:
        result = loading.run(stack, settings(), plan, processes, look)
    result = result if trouble is None else _with_trouble(result, trouble)
    print(json.dumps(result.as_dict())) if as_json else tell(result)
    if result.lost:
        raise typer.Exit(1)


def _with_trouble(result: Result, trouble: Trouble) -> Result:
    """The same, with what the devices that misbehave have sent: a missing dead letter or late reading is lost."""
    told, config = trouble.end(), settings()
    letters = promises.settled(
        lambda: accounting.dead_lettered(config, trouble.site), lambda found: found >= told.hostile, PATIENCE_S
    )
    late = promises.settled(
        lambda: promises.behind(config, trouble.site), lambda found: found >= told.behind, PATIENCE_S
    )
    gone = max(0, told.hostile - letters) + max(0, told.behind - late)
    found = replace(result.found, stored=result.found.stored + late, lost=result.found.lost + gone)
    sent = told.hostile + told.behind
    return replace(
        result, found=found, published=result.published + sent, acknowledged=result.acknowledged + sent,
        dead_lettered=result.dead_lettered + letters,
    )  # fmt: skip


def _ramp(stack: Stack, rate: float, sensors: int, metrics: int, processes: int, payload: str, as_json: bool) -> None:
    results: dict[float, Result] = {}

    def attempt(now: float) -> bool:
        plan = loading.make_plan(now, RAMP_S, sensors, metrics, payload)
        with shown() as look:
            results[now] = loading.run(stack, settings(), plan, processes, look)
        ok = loading.held(results[now], plan, RAMP_MS)
        latest = results[now].latency_ms["latest"] or {}
        console.print(
            f"{now:g} a second: {'held' if ok else 'not held'}; achieved {results[now].achieved_rate:.0f}, "
            f"latest p99 {latest.get('p99', float('nan')):.0f} ms, lost {results[now].lost}"
        )
        return ok

    tried = loading.ramp(rate, attempt)
    best = max((one for one, ok in tried if ok), default=None)
    if as_json:
        steps = [{"rate": one, "held": ok, **results[one].as_dict()} for one, ok in tried]
        print(json.dumps({"highest": best, "steps": steps}))
    else:
        Console().print(f"highest rate held for {RAMP_S:g} s: {best}")
    if any(one.lost for one in results.values()):
        raise typer.Exit(1)


@contextmanager
def shown() -> Iterator[Callable[[Moment], None]]:
    """A table that follows the load; without a terminal a line every few seconds."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda moment: live.update(_table(moment))
        return
    last = [-LINE_S]

    def line(moment: Moment) -> None:
        if moment.at_s - last[0] >= LINE_S:
            last[0] = moment.at_s
            stages = ", ".join(f"{name} {_recent(moment, name)}" for name in STAGES)
            counts = f"{moment.published} published, {moment.acknowledged} acknowledged"
            console.print(f"{moment.at_s:6.1f} s: {counts}; p50/p99 ms: {stages}", soft_wrap=True)

    yield line


def _table(moment: Moment) -> Table:
    table = Table("seconds", "published", "acknowledged", *(f"{name} p50/p99 ms" for name in STAGES))
    recent = [_recent(moment, name) for name in STAGES]
    table.add_row(f"{moment.at_s:.0f}", f"{moment.published:,}", f"{moment.acknowledged:,}", *recent)
    return table


def _recent(moment: Moment, stage: str) -> str:
    newest = moment.observer.delays()[stage].newest(RECENT)
    return "/".join(f"{one:.0f}" for one in np.percentile(newest, [50, 99])) if len(newest) else "-"


def tell(result: Result) -> None:
    """A result for people."""
    out = Console(highlight=False)
    found = result.as_dict()
    names = ("published", "acknowledged", "stored", "dead_lettered", "duplicate", "lost", "achieved_rate", "settled_s")
    out.print(", ".join(f"{name} {found[name]}" for name in names), soft_wrap=True)
    table = Table("stage", "p50 ms", "p95 ms", "p99 ms", "max ms", "readings")
    for stage, known in result.latency_ms.items():
        cells = [f"{known[name]:g}" for name in ("p50", "p95", "p99", "max", "n")] if known else ["-"] * 5
        table.add_row(stage, *cells)
    out.print(table)
    costs = Table("component", "CPU s", "MB")
    for name, spent in found["cpu_s"].items():
        costs.add_row(name, f"{spent:g}", str(found["rss_mb"].get(name, "")))
    out.print(costs)
    out.print(f"bytes a point: {found['bytes_per_point']}")
