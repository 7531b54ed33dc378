"""The command `weir import`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deploy.imports import files
from deploy.imports.columns import Mapping, read_mapping
from deploy.imports.files import Source
from deploy.imports.progress import Position
from deploy.imports.running import Importer, Limits
from deploy.imports.sending import Sender
from weir.errors import SetupError
from weir.settings import Settings, settings

Pairs = Annotated[list[str] | None, typer.Option("--column", help="ts=COLUMN; also site, sensor, metric, value.")]
Values = Annotated[list[str] | None, typer.Option("--value", help="METRIC=COLUMN, where each metric has a column.")]


def import_(
    path: Annotated[Path, typer.Argument(help="A file, or a folder of .csv, .csv.gz and .parquet.")],
    column: Pairs = None,
    value: Values = None,
    site: Annotated[str, typer.Option(help="The site of all rows.")] = "",
    sensor: Annotated[str, typer.Option(help="The sensor of all rows.")] = "",
    metric: Annotated[str, typer.Option(help="The metric of all rows.")] = "",
    zone: Annotated[str, typer.Option(help="What a time without a zone means: Europe/Zurich, UTC ...")] = "",
    mapping: Annotated[Path | None, typer.Option(help="The same as a JSON file; options go before it.")] = None,
    delimiter: Annotated[str, typer.Option(help="Between the cells of a CSV.")] = ",",
    most_refused: Annotated[int, typer.Option(help="Stop when more rows of a file are refused.")] = 10_000,
    ahead: Annotated[int, typer.Option(help="Most readings in Kafka that are not stored yet.")] = 200_000,
    again: Annotated[bool, typer.Option(help="From the start, also what was imported already.")] = False,
) -> None:
    """Import history. Stop it whenever you like: the same command goes on where it was."""
    base = read_mapping(mapping) if mapping else Mapping()
    fixed = {name: text for name, text in (("site", site), ("sensor", sensor), ("metric", metric)) if text}
    chosen = msgspec.structs.replace(
        base,
        columns=base.columns | _pairs(column or []),
        fixed=base.fixed | fixed,
        metrics=base.metrics | _pairs(value or []),
        zone=zone or base.zone,
    )
    if len(delimiter) != 1:
        raise SetupError("--delimiter is one character")
    sources = [files.look(one, delimiter) for one in files.found(path)]
    console = Console(stderr=True, highlight=False)
    try:
        done, took = asyncio.run(run(settings(), sources, chosen, Limits(ahead, most_refused), console, again))
    except KeyboardInterrupt:
        console.print("stopped: the same command goes on from here")
        raise typer.Exit(130) from None
    readings, refused = sum(one.readings for one in done), sum(one.refused for one in done)
    console.print(
        f"{readings:,} readings of {sum(one.rows for one in done):,} rows in {len(done)} files, all of them stored; "
        f"{refused:,} rows refused (`weir dead-letters`); {took:.0f} s",
        soft_wrap=True,
    )


async def run(
    config: Settings, sources: list[Source], mapping: Mapping, limits: Limits, console: Console, again: bool = False
) -> tuple[list[Position], float]:
    """Import files; returns how far each has come, and the seconds it took until all was stored."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    done: list[Position] = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        async with Sender(config, limits.ahead) as sender:
            importer = Importer(config, sender, mapping, limits)
            for source in sources:
                task = progress.add_task(source.path.name, total=source.rows)

                def told(at: Position, task: TaskID = task) -> None:
                    progress.update(task, completed=at.rows)

                done.append(await importer.run(source, told, again))
            await sender.keep_up(0)
    return done, time.monotonic() - started


def _pairs(given: list[str]) -> dict[str, str]:
    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise SetupError(f"{wrong[0]!r}: give NAME=COLUMN")
    return dict(one.split("=", 1) for one in given)
