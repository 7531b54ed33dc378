"""`weir doctor`: what this machine lacks, which versions fit, and with --security what is open."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import environment, exposure, machine
from deploy.stack import Stack
from weir import versions
from weir.settings import Settings, settings

console = Console(highlight=False)


def doctor(
    security: Annotated[bool, typer.Option("--security", help="Say what is open, and to whom.")] = False,
) -> None:
    """Check what this machine must offer and which versions fit, and say how to mend what does not."""
    config = settings()
    checks = exposure.findings(config) if security else _machine(config)
    for check in checks:
        sign = "[red]✗[/red]" if check.mend else "[green]✓[/green]"
        text = f"{check.name}: {check.found}" + (f" → {check.mend}" if check.mend else "")
        console.print(f"{sign} {escape(text)}", soft_wrap=True)
    unfit = False if security else _show_versions(config)
    if unfit or any(check.mend for check in checks):
        raise typer.Exit(1)


def _machine(config: Settings) -> list[machine.Check]:
    checks = machine.needed(config)
    if os.name != "nt" and not Stack(config.home).running():
        checks += [machine.port(config, name) for name in environment.PORTS]
    return checks


def _show_versions(config: Settings) -> bool:
    """The table; True when something does not fit. Jars that were never fetched are no mismatch: `weir up` does it."""
    rows = versions.table(config.jars)
    table = Table("version of", "wanted", "found", "fix")
    for row in rows:
        colour = "red" if row.fix else "green"
        table.add_row(row.name, row.wanted, f"[{colour}]{row.found}[/{colour}]", escape(row.fix))
    console.print(table)
    return any(row.fix and row.found != "missing" for row in rows)
