"""`weir soak`: what is asked on the command line, and what is shown."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from deploy.proof import load as loading
from deploy.proof import soak as soaking
from deploy.proof.commands import shown, tell
from deploy.stack import Stack
from weir.errors import SetupError
from weir.settings import settings


def soak(
    hours: Annotated[float, typer.Option(help="How long.")] = 2.0,
    rate: Annotated[float, typer.Option(help="Readings a second.")] = 300.0,
    sensors: int = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load for hours: exit code 1 if a reading is lost, a component restarts, or memory, handles, disk or lag grow."""
    stack = Stack(settings().home)
    if not stack.running():
        raise SetupError("Weir is not running: `weir up` starts it")
    plan = loading.make_plan(rate, hours * 3600, sensors)
    with shown() as look:
        report = soaking.run(stack, settings(), plan, look)
    if as_json:
        print(json.dumps(report.as_dict()))
    else:
        tell(report.result)
        out = Console(highlight=False)
        for name in ("memory_mb", "handles", "lag_ms", "bytes_per_point_halves", "restarts"):
            out.print(f"{name}: {report.as_dict()[name]}", soft_wrap=True)
        out.print("not flat: " + (", ".join(report.not_flat()) or "nothing"))
    if report.result.lost or report.restarts or report.not_flat():
        raise typer.Exit(1)
