"""Alerts reach people: a receiver on this machine stands for a chat or a mail server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy.stack import Stack
from edge.publisher import Publisher
from tests.conftest import eventually
from weir.settings import Settings


@pytest.fixture
def received(stack: Stack, config: Settings) -> Iterator[list[dict[str, str]]]:
    """What was posted to the address in WEIR_NOTIFY; the first post is refused, so that it must be sent again."""
    found: list[dict[str, str]] = []
    refused = threading.Event()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if refused.is_set():
                found.append(body)
            self.send_response(200 if refused.is_set() else 500)
            refused.set()
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    port = int(config.notify.rstrip("/").rpartition(":")[2])
    server = ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alert_is_told_even_though_the_receiver_failed_at_first(
    received: list[dict[str, str]], config: Settings
) -> None:
    publisher = Publisher(config, "weir-test-notices", [])
    start = int(time.time() * 1000) - 400_000
    steady = [{"ts": start + i * 1000, "metrics": {"t": 20 + i % 5}, "hist": True} for i in range(300)]
    publisher.data("told", "wild", steady)
    for i in range(12):
        publisher.data("told", "wild", {"ts": start + (380 + i) * 1000, "metrics": {"t": 500.0 + 90 * i}})
    publisher.close()
    eventually(lambda: any("told/wild t" in one["message"] for one in received), 180)
