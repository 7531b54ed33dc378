"""Alerts reach people: a receiver on this machine stands for a chat or a mail server."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.stack import Stack
from edge.publisher import Publisher
from stream_apps.notifier import Notifier
from tests.conftest import eventually
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


def test_an_alert_is_told_even_though_the_receiver_failed_at_first(
    posts: list[dict[str, str]], config: Settings
) -> None:
    publisher = Publisher(config, "weir-test-notices", [])
    start = int(time.time() * 1000) - 400_000
    steady = [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(300)]
    publisher.data("told", "wild", steady)
    for i in range(12):
        publisher.data("told", "wild", {"ts": start + (380 + i) * 1000, "metrics": {"t": 500.0 + 90 * i}})
    publisher.close()
    eventually(lambda: any("told/wild t" in one["message"] for one in posts[1:]), 150)
