"""The `weir` command."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy import access, accounts, anomalies, backup, editing, looking, migrations, status, storage
from deploy.benches import bench
from deploy.device_commands import device
from deploy.discover import discover
from deploy.doctor import doctor
from deploy.export import export
from deploy.foreign import bridge
from deploy.imports.command import import_
from deploy.proof import commands as proof
from deploy.proof.chaos_command import chaos
from deploy.proof.soak_command import soak
from deploy.scale import scale
from deploy.stack import FLEET, SERVERS, WORKERS, Stack
from weir.errors import SetupError
from weir.settings import Settings, settings

cli = typer.Typer(no_args_is_help=True, add_completion=False, help="Weir: from MQTT to map, alerts and forecasts.")
console = Console(highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def main() -> None:
    """Entry point: what the user can mend is one line and exit code 1, never a traceback."""
    try:
        cli()
    except SetupError as error:
        _complain(str(error))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        _complain(
            f"{error.strerror}: {error.filename or _home()}: free space there, or set WEIR_HOME to another folder"
        )


def _complain(text: str) -> NoReturn:
    Console(stderr=True, highlight=False).print(f"[red]weir:[/red] {escape(text)}", soft_wrap=True)
    sys.exit(1)


@contextmanager
def _step(text: str) -> Iterator[None]:
    started = time.monotonic()
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield
    # Printed when done: without a terminal nothing moves, but every line tells how long its step took.
    console.print(f"  [green]✓[/green] {text} [dim]{time.monotonic() - started:.1f} s[/dim]")


def _home() -> Path:
    return settings().home


@cli.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when all is healthy.")] = False,
    fleet: Annotated[bool, typer.Option(help="Run the simulated fleet and the recorded one.")] = True,
    only: Annotated[str, typer.Option(help="`servers`: Mosquitto, Kafka, Postgres and Valkey alone.")] = "",
    port_base: Annotated[int | None, typer.Option(help="Use this port and the nine after it.")] = None,
    kafka: Annotated[str, typer.Option(help="`kraft`, or `zookeeper`: Kafka 3.9 with ZooKeeper.")] = "",
) -> None:
    """Start everything, wait until it is healthy, and show where the dashboard is."""
    if only not in ("", "servers"):
        raise SetupError(f"--only {only}: the only part that runs alone is `servers`")
    if kafka not in ("", "kraft", "zookeeper"):
        raise SetupError(f"--kafka {kafka}: it runs with `kraft` or with `zookeeper`")
    names = SERVERS if only else (*SERVERS, *WORKERS, *([FLEET] if fleet else []))
    stack = Stack(_home(), port_base, kafka)
    started = time.monotonic()
    already = stack.running()
    if not console.is_terminal:
        console.print("==> starting Weir")
    config = _bring_up(stack, names, detach)
    took = f"{time.monotonic() - started:.0f} s"
    console.print(f"Weir {'was already running' if already else f'is up after {took}'}:")
    # Whole on one line, whatever the width: it is there to be clicked.
    print(access.link(config) if not only else status.url(config), flush=True)
    if not only and config.auth == "on":
        console.print("That link signs you in, once, within 15 minutes; `weir link` prints another.")
    elif not only:
        console.print("[yellow]WEIR_AUTH=off: whoever reaches this port may do everything.[/yellow]")
    if detach:
        console.print("Stop it with `weir down` (or `make down`).")
        return
    console.print("Ctrl-C stops everything; the data stays.")
    _until_stopped(stack)


def _bring_up(stack: Stack, names: tuple[str, ...], detach: bool) -> Settings:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    ours = not stack.running()
    try:
        return stack.up(_step, names)
    except (SetupError, KeyboardInterrupt) as error:
        if ours and stack.running() and (not detach or isinstance(error, KeyboardInterrupt)):
            with _step("everything is stopped"):
                stack.down()
        if isinstance(error, KeyboardInterrupt):
            sys.exit(130)
        raise


def _until_stopped(stack: Stack) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(2):
        if not stack.running():
            if stack.supervisor.ended_cleanly():
                console.print("Weir was stopped from elsewhere.")
                return
            stack.down()
            raise SetupError("supervisord has died, and everything with it was stopped: run `weir up` again")
    with _step("everything is stopped"):
        stack.down()


@cli.command()
def down() -> None:
    """Stop everything. The data stays."""
    stack = Stack(_home())
    if not stack.running() and not stack.supervisor.leftovers():
        console.print("Nothing is running.")
        return
    with _step("everything is stopped"):
        stack.down()


@cli.command("status")
def show_status(as_json: Json = False) -> None:
    """Every component's state, and the ledger."""
    stack = Stack(_home())
    report = status.report(stack, settings())
    if as_json:
        print(json.dumps(report))
        return
    table = Table("component", "state", "pid", "up", "restarts")
    for one in report["components"]:
        colour = "green" if one["state"] == "healthy" else "red"
        table.add_row(
            one["name"],
            f"[{colour}]{one['state']}[/{colour}]",
            str(one["pid"] or ""),
            f"{one['uptime_s']} s",
            str(one["restarts"]),
        )
    console.print(report["url"] if report["components"] else "Weir is not running: `weir up` starts it.")
    if report["components"]:
        console.print("To sign in: `weir link` prints a link, `weir open` opens it.")
    console.print(table)
    if report["ledger"]:
        console.print("ledger: " + ", ".join(f"{name} {count}" for name, count in report["ledger"].items()))


@cli.command()
def logs(name: str, follow: Annotated[bool, typer.Option("--follow", "-f")] = False, lines: int = 100) -> None:
    """Show a component's log."""
    path = _home() / "log" / f"{name}.log"
    if not path.exists():
        known = sorted(one.stem for one in path.parent.glob("*.log"))
        raise SetupError(f"there is no log of {name}; there are: {', '.join(known) or 'none yet, run `weir up`'}")
    arguments = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(path)]
    os.execvp("tail", arguments)  # noqa: S606


@cli.command()
def migrate() -> None:
    """Apply the database migrations that are due, and make missing topics."""
    config = settings()
    with _step("migrations"):
        migrations.migrate(config)
    with _step("topics"):
        migrations.create_topics(config)


@cli.command()
def simulate(
    sensors: int = 50,
    rate: Annotated[float, typer.Option(help="Messages a second, all sensors together.")] = 25.0,
    profile: Annotated[str | None, typer.Option(help="One of the ten profiles; all when not given.")] = None,
    faults: Annotated[str, typer.Option(help="spike, drift, stuck, drop-out, wrong-clock; comma separated.")] = "",
    seed: int = 2018,
    seconds: Annotated[float | None, typer.Option(help="Stop after this time; never when not given.")] = None,
) -> None:
    """Publish a simulated fleet's readings to MQTT."""
    from edge.fleet import simulate as run

    run(sensors=sensors, rate=rate, profile=profile, faults=faults, seed=seed, seconds=seconds)


@cli.command()
def replay(
    file: Path,
    speed: Annotated[float, typer.Option(help="Times as fast as recorded; 0: as fast as possible.")] = 0.0,
    end: Annotated[str, typer.Option(help="`now`: shift the recording in time so that it ends now.")] = "",
) -> None:
    """Publish a recorded CSV (`sensor_id,ts,VALUE...`) to MQTT."""
    from edge.replay import replay_file

    if not file.exists():
        raise SetupError(f"{file} does not exist")
    replay_file(file, speed, end == "now")


cli.add_typer(accounts.letters, name="dead-letters")
cli.command("ledger")(accounts.ledger)
cli.command("retire")(accounts.retire)
cli.command("storage")(storage.storage)

cli.command()(doctor)
cli.command()(scale)
cli.command("backup")(backup.backup_command)
cli.command("restore")(backup.restore_command)
cli.add_typer(bench, name="bench")
cli.add_typer(device, name="device")
cli.command("load")(proof.load)
cli.command("chaos")(chaos)
cli.command("soak")(soak)
for command in (anomalies.explain, anomalies.redetect, anomalies.alerts):
    cli.command()(command)
cli.add_typer(access.user, name="user")
cli.add_typer(access.token, name="token")
cli.command("link")(access.show_link)
cli.command("open")(access.open_link)

cli.command("export")(export)
cli.command("import")(import_)
cli.command("tail")(looking.tail)
cli.command("sensors")(looking.sensors)
cli.command("query")(looking.query)
cli.command("place")(editing.place)
cli.command("edit")(editing.edit)
cli.command("discover")(discover)
cli.command("bridge")(bridge)


if __name__ == "__main__":
    main()
