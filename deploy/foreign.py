"""`weir bridge --from URL`: read a foreign broker into the running stack until stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console

from stream_apps import broker
from stream_apps.broker import Broker
from stream_apps.decoders import devices
from stream_apps.foreign import ForeignBridge
from weir.errors import SetupError
from weir.settings import settings

console = Console(highlight=False)
PASSWORD = "WEIR_BRIDGE_FROM_PASSWORD"  # noqa: S105 (the name of a variable)

From = Annotated[str, typer.Option("--from", help="mqtt://[user@]host[:port], or mqtts:// over TLS.")]
PasswordFile = Annotated[Path | None, typer.Option(help=f"A file with the password; or set {PASSWORD}.")]
Ca = Annotated[Path | None, typer.Option(help="Certificates of the authorities to trust over TLS.")]


def chosen(url: str, password_file: Path | None, ca: Path | None) -> Broker:
    """The broker that options name, its password from a file or the environment. Raises `SetupError`."""
    password = broker.read_password(password_file) if password_file else os.environ.get(PASSWORD, "")
    return broker.parse(url, password, ca)


def bridge(
    url: From,
    password_file: PasswordFile = None,
    ca: Ca = None,
    rules: Annotated[Path | None, typer.Option(help="Another settings file than devices.json.")] = None,
) -> None:
    """Read a foreign broker beside the local one. WEIR_BRIDGE_FROM has the supervised bridge do it instead."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    config = settings()
    found = devices.read(rules) if rules else devices.rules(config)
    one = ForeignBridge(config, chosen(url, password_file, ca), found)
    try:
        asyncio.run(_until_stopped(one))
    except (KafkaError, OSError) as error:
        raise SetupError(f"Kafka does not answer ({error}): is Weir running? See `weir status`") from error
    console.print(f"{one.messages:,} messages read")


async def _until_stopped(one: ForeignBridge) -> None:
    stop = asyncio.Event()
    why: list[str] = []

    def give_up(text: str) -> None:
        why.append(text)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await one.start(give_up)
    await stop.wait()
    await one.stop()
    if why:
        raise SetupError(f"{why[0]}: nothing is lost, start it again")
