"""What people decide at the dashboard, on its way to Kafka: the only thing that the dashboard writes."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Coroutine
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from web.access.identity import acting
from weir import connections
from weir.errors import WeirError
from weir.events import AlertCommand
from weir.readings import encode
from weir.settings import settings
from weir.topics import ALERT_COMMANDS

VERBS = ("acknowledge", "shelve", "comment")
TIMEOUT_S = 6.0
MAX_TEXT = 500
MAX_NAME = 60
_ID = re.compile(r"[0-9a-zA-Z_-]{1,64}\Z")


class NotSent(WeirError):
    """Kafka has not taken a command; the text may be shown."""


def command(id: str, verb: str, by: str, at: int, text: str = "", until: int = 0) -> AlertCommand:
    """A command fit to be sent. Raises `ValueError` with words for the operator."""
    if _ID.match(id) is None:
        raise ValueError("this is not the id of an alert")
    if verb not in VERBS:
        raise ValueError(f"{verb!r} is not something that can be done with an alert")
    text = text.strip()
    if verb == "comment" and not text:
        raise ValueError("write the comment first")
    if verb == "shelve" and until <= at:
        raise ValueError("choose for how long to shelve")
    return AlertCommand(id, verb, by.strip()[:MAX_NAME] or "operator", at, text[:MAX_TEXT], until)


class Commands:
    """Sends from any thread through one event loop of its own."""

    def __init__(self, kafka: dict[str, Any]) -> None:
        self._kafka = kafka
        self._producer: Any = None
        self._starting: asyncio.Lock | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="commands", daemon=True).start()

    def send(self, commands: list[AlertCommand]) -> None:
        """Return once Kafka has all of them, in the name of who asks. Raises `NotSent`; some may have been taken then.

        Through this and `put` the dashboard and the API write: here `NotAllowed` is raised for viewers.
        """
        self._wait(self._send([msgspec.structs.replace(one, by=acting(one.by)) for one in commands]))

    def put(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        """Return once Kafka has this record. Raises `NotSent`, `NotAllowed`."""
        acting("")
        self._wait(self._put(topic, key, value, partition))

    def _wait(self, sending: Coroutine[Any, Any, None]) -> None:
        waiting = asyncio.run_coroutine_threadsafe(asyncio.wait_for(sending, TIMEOUT_S), self._loop)
        try:
            waiting.result(TIMEOUT_S + 1)
        except (KafkaError, OSError, TimeoutError) as error:
            waiting.cancel()
            raise NotSent("Kafka does not answer: nothing is certain to be done, try again") from error

    async def _send(self, commands: list[AlertCommand]) -> None:
        producer = await self._ready()
        for one in commands:
            await producer.send_and_wait(ALERT_COMMANDS, encode(one), key=one.id.encode())

    async def _put(self, topic: str, key: bytes, value: bytes, partition: int) -> None:
        producer = await self._ready()
        await producer.send_and_wait(topic, value, key=key, partition=partition)

    async def _ready(self) -> Any:
        self._starting = self._starting or asyncio.Lock()
        async with self._starting:
            if self._producer is None:
                made = AIOKafkaProducer(**self._kafka, acks="all", enable_idempotence=True, request_timeout_ms=5000)
                try:
                    await made.start()
                except BaseException:
                    await made.stop()
                    raise
                self._producer = made
        return self._producer


_commands: Commands | None = None
_making = threading.Lock()


def commands() -> Commands:
    """The sender of this process, made at first use."""
    global _commands
    with _making:
        if _commands is None:
            _commands = Commands(connections.aiokafka(settings()))
        return _commands
