"""`weir device`: which devices may publish, each its own topics only."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import mosquitto
from deploy.stack import Stack
from weir.settings import Settings, settings

console = Console(highlight=False)
device = typer.Typer(no_args_is_help=True, help="Devices that may log in: each writes its own topics only.")

Name = Annotated[str, typer.Argument(metavar="SITE/SENSOR")]
Topics = Annotated[list[str], typer.Option("--topic", help="Another topic (filter) it may write; repeat for more.")]


@device.command()
def add(name: Name, topic: Topics = []) -> None:  # noqa: B006 (typer reads it)
    """Let a device in, and print its password: once, on standard output, and kept nowhere."""
    config = settings()
    password = mosquitto.add(config, name, topic)
    _tell(config)
    _show(name, password)


@device.command()
def rotate(name: Name) -> None:
    """Give a device a new password. It is disconnected if it does not know it."""
    config = settings()
    password = mosquitto.rotate(config, name)
    _tell(config)
    _show(name, password)


@device.command()
def remove(name: Name) -> None:
    """Let a device in no more. What it measured stays: `weir retire` takes it off the map."""
    config = settings()
    mosquitto.remove(config, name)
    _tell(config)
    console.print(f"{escape(name)} is removed")


@device.command("list")
def show() -> None:
    """Devices that may log in."""
    found = mosquitto.accounts(settings())
    table = Table("device", "may write")
    for one in found:
        table.add_row(escape(one.name), escape(", ".join([f"weir/{one.name}/+", *one.topics])))
    console.print(table if found else "no device has an account of its own")


def _tell(config: Settings) -> None:
    stack = Stack(config.home)
    if stack.running():
        mosquitto.telling(stack.supervisor.signal)
    else:
        typer.echo("Mosquitto does not run here: it reads this at its next start, or on SIGHUP", err=True)


def _show(name: str, password: str) -> None:
    """On standard output alone, so that it can be piped to where it belongs; the name goes beside it."""
    typer.echo(f"user {name}, password (shown only now):", err=True)
    typer.echo(password)
