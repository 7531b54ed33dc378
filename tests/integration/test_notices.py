"""Alerts reach people: a receiver on this machine stands for a chat or a mail server."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy.stack import Stack
from stream_apps.notifier import Notifier
from tests.conftest import eventually
from weir import connections, topics
from weir.events import Alert, AlertState
from weir.readings import encode
from weir.settings import Settings


class Receiver(BaseHTTPRequestHandler):
    """Keeps what was posted; refuses the first post, so that it must be sent again."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append(body)  # type: ignore[attr-defined]
        self.send_response(500 if len(self.server.posts) == 1 else 200)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def posts(stack: Stack, config: Settings) -> Iterator[list[dict[str, str]]]:
    """What a notifier posts, which reads the stack's alerts from now on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    found: list[dict[str, str]] = []
    server.posts = found  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    stop = threading.Event()
    ready = threading.Event()

    async def notify() -> None:
        notifier = Notifier(config.model_copy(update={"notify": f"json://127.0.0.1:{server.server_address[1]}/"}))
        notifier.start()
        await asyncio.wait_for(notifier.reading.wait(), 30)
        ready.set()
        await asyncio.to_thread(stop.wait)
        await notifier.stop()

    notifying = threading.Thread(target=lambda: asyncio.run(notify()))
    notifying.start()
    assert ready.wait(30)
    yield found
    stop.set()
    notifying.join()
    server.shutdown()
    serving.join()
    server.server_close()


async def publish(config: Settings, alert: Alert) -> None:
    """As the alert worker does. Not by readings: where other tests have opened many alerts, one stands for all."""
    producer = AIOKafkaProducer(**connections.aiokafka(config))
    await producer.start()
    try:
        await producer.send_and_wait(topics.ALERTS, encode(alert), key=alert.id.encode())
    finally:
        await producer.stop()


def test_an_alert_is_told_even_though_the_receiver_failed_at_first(
    posts: list[dict[str, str]], config: Settings
) -> None:
    now = int(time.time() * 1000)
    alert = Alert(
        id=f"told-{now}", site="told", sensor="wild", metric="t", rule="anomaly", severity="critical",
        state=AlertState.ACTIVE, acknowledged=False, opened=now, at=now, n=1, text="is far out",
    )  # fmt: skip
    asyncio.run(publish(config, alert))
    try:
        eventually(lambda: any("told/wild t is far out" in one["message"] for one in posts[1:]), 90)
    finally:
        cleared = msgspec.structs.replace(alert, state=AlertState.CLEARED, at=now + 1, n=2, by="test")
        asyncio.run(publish(config, cleared))
