"""What every Faust worker of Weir has in common: settings, an idempotent producer, health and metrics."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types.auth import CredentialsT
from faust.web import Request, Response, View, Web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from weir import connections, logs
from weir.settings import Settings, settings

#: Says what is wrong, in words, or None when all is well.
Check = Callable[[], str | None]


class Producer(driver.Producer):
    """Faust has no setting for idempotence: Kafka must neither lose, repeat nor reorder what we send."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust has no setting for how long a fetch may wait for data, and makes it 1.5 s.

    One fetch at a time is under way, for the partitions of which nothing waits in memory. Where that leaves only idle
    ones (`sensors`, say), the busy ones stand still until the fetch has waited its time: at 3,000 readings a second
    they were judged 1.3 s late by a worker that had little to do.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        made: Any = super()._create_worker_consumer(transport)
        ours: Any = self.consumer
        made._fetch_max_wait_ms = ours.fetch_wait_ms
        return made


class Consumer(driver.Consumer):
    """Faust's consumer, with our thread. `fetch_wait_ms`: lower costs more when idle, higher costs latency."""

    fetch_wait_ms = 250

    def _new_consumer_thread(self) -> Any:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class WorkerApp(faust.App):
    """A Faust app that knows whether it is well: `checks` are asked by /healthz."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.checks: dict[str, Check] = {"kafka": self._unassigned}
        self._assigned = False
        signal: Any = self.on_rebalance_complete
        signal.connect(self._on_rebalance_complete)

    async def _on_rebalance_complete(self, app: faust.App, **kwargs: Any) -> None:
        self._assigned = True

    def _unassigned(self) -> str | None:
        return None if self._assigned else "waiting for Kafka to assign partitions"

    def problems(self) -> dict[str, str]:
        """The checks that fail now, by name."""
        found = {name: check() for name, check in self.checks.items()}
        return {name: problem for name, problem in found.items() if problem}


def make_app(name: str, web_port: int, consumer: type[driver.Consumer] | None = None) -> WorkerApp:
    """A Faust app named `weir-<name>` on raw bytes, with /healthz and /metrics on loopback.

    `consumer` replaces the driver's consumer class. Topics are made by `weir migrate`, never by a worker.
    """
    config = settings()
    app = WorkerApp(
        f"weir-{name}",
        broker=[f"kafka://{server}" for server in config.kafka.split(",")],
        broker_credentials=_credentials(config),
        datadir=config.home / "faust" / name,
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=config.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_publish_on_commit=False,
        broker_session_timeout=8,
        broker_heartbeat_interval=2,
        broker_commit_interval=1,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        web_bind=config.host,
        web_host=config.host,
        web_port=web_port,
    )
    classes = {"Producer": Producer, "Consumer": consumer or Consumer}
    transport = type("Transport", (driver.Transport,), classes)
    app.transport = transport(app.conf.broker_consumer, app)
    app.producer_transport = transport(app.conf.broker_producer, app)
    _add_pages(app)
    return app


def _credentials(config: Settings) -> CredentialsT | None:
    """Faust's form of the TLS and SASL settings."""
    context = connections.kafka_tls(config)
    if not connections.uses_sasl(config):
        return faust.SSLCredentials(context) if context else None
    given = connections.aiokafka(config)
    return faust.SASLCredentials(
        username=given["sasl_plain_username"],
        password=given["sasl_plain_password"],
        mechanism=config.kafka_mechanism,
        ssl_context=context,
    )


def _add_pages(app: WorkerApp) -> None:
    @app.page("/healthz")
    class Health(View):
        async def get(self, request: Request) -> Response:
            problems = app.problems()
            return self.json({"ok": not problems, "problems": problems}, status=503 if problems else 200)

    @app.page("/metrics")
    class Metrics(View):
        async def get(self, request: Request) -> Response:
            web: Web = self.web
            return web.bytes(generate_latest(), content_type=CONTENT_TYPE_LATEST.split(";")[0])


def run(app: WorkerApp) -> None:
    """Run the worker until a signal stops it. Faust logs warnings, Weir's own loggers say what they do."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.formatter(settings()))
    own = logging.getLogger("weir")
    own.setLevel(logging.INFO)
    own.addHandler(handler)
    own.propagate = False
    Path(app.conf.datadir).mkdir(parents=True, exist_ok=True)
    worker = faust.Worker(app, loglevel="warn", redirect_stdouts=False, quiet=True)
    worker.spinner = None  # it would write escape codes into the log
    worker.execute_from_commandline()
