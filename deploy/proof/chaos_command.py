"""`weir chaos`: what is asked on the command line, and what is shown."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from deploy.proof import chaos as storm
from deploy.proof import load as loading
from deploy.proof.commands import console, shown
from deploy.proof.faults import KINDS, catalogue, names_of
from deploy.stack import Stack
from weir.errors import SetupError
from weir.settings import settings


def chaos(
    rate: Annotated[float, typer.Option(help="Readings a second.")] = 300.0,
    seconds: float = 300.0,
    kill: Annotated[str, typer.Option(help="Only kill these components, alone and in pairs; comma separated.")] = "",
    only: Annotated[str, typer.Option(help="Only these kinds of fault: kill, stop, slow, fill, cut, stall.")] = "",
    seed: Annotated[int, typer.Option(help="Of the order of the faults.")] = 1,
    sensors: int = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Break the running stack under load and check every promise; exit code 1 if one is broken.

    Do not run it where people rely on the stack.
    """
    stack = Stack(settings().home)
    if not stack.running():
        raise SetupError("Weir is not running: `weir up` starts it")
    kinds = tuple(one.strip() for one in only.split(",") if one.strip()) or KINDS
    if wrong := set(kinds) - set(KINDS):
        raise SetupError(f"no fault {', '.join(sorted(wrong))}: there are {', '.join(KINDS)}")
    faults = [one for one in catalogue(names_of(kill), seed, kills_only=bool(kill)) if one.kind in kinds]
    plan = loading.make_plan(rate, seconds, sensors)
    with shown() as look:
        report = storm.run(stack, settings(), plan, faults, look, console.print)
    found = report.as_dict()
    if as_json:
        print(json.dumps(found))
    else:
        out = Console(highlight=False)
        for one in report.faults:
            out.print(f"{one.at_s:6.1f} s  {one.what}: {one.recovered_s} s")
        out.print(", ".join(f"{name} {value}" for name, value in found.items() if name not in ("faults", "broken")))
        out.print("broken promises: " + ("; ".join(report.broken()) or "none"))
    if report.broken():
        raise typer.Exit(1)
