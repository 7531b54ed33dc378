"""Is each component well? Asked over the network, remembered for a moment."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from web.feed import feed
from web.queries import ping
from web.store import StoreDown, store
from weir.settings import Settings, settings

ASK_S = 1.0
KEEP_S = 2.0
HEARTBEAT_S = 30.0


@dataclass(frozen=True)
class Health:
    """`problem` is empty when all is well."""

    name: str
    what: str
    problem: str


def _healthz(host: str, port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=ASK_S):
            return ""
    except urllib.error.HTTPError as error:
        try:
            told = json.loads(error.read(10_000)).get("problems", {})
        except (ValueError, AttributeError):
            told = {}
        return "; ".join(f"{name}: {text}" for name, text in told.items()) or f"answers with {error.code}"
    except OSError:
        return "does not answer"


def _listens(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=ASK_S):
            return ""
    except OSError:
        return "does not answer"


def _spark(config: Settings) -> str:
    try:
        silent = time.time() - (config.home / "spark" / "heartbeat").stat().st_mtime
    except OSError:
        return "no heartbeat yet"
    return "" if silent < HEARTBEAT_S else f"no heartbeat for {silent:.0f} s"


def _postgres() -> str:
    try:
        ping(store())
    except StoreDown as error:
        return str(error)
    return ""


def _ask() -> list[Health]:
    config = settings()
    checks = {
        ("Mosquitto", "takes readings"): lambda: _listens(*config.mqtt),
        ("Bridge", "MQTT to Kafka"): lambda: _healthz(config.bridge_host or config.host, config.bridge_port),
        ("Kafka", "keeps the streams"): lambda: _listens(*config.kafka_first),
        ("Detector", "flags readings"): lambda: _healthz(config.detector_host or config.host, config.detector_port),
        ("Alerts", "flags to alerts"): lambda: _healthz(config.alerts_host or config.host, config.alerts_port),
        ("Redis", "latest values"): lambda: "" if feed().down_since is None else "does not answer",
        ("Spark", "archive and rollups"): lambda: _spark(config),
        ("Postgres", "every reading"): _postgres,
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        problems = list(pool.map(lambda check: check(), checks.values()))
    return [Health(*names, problem) for names, problem in zip(checks, problems, strict=True)]


_lock = threading.Lock()
_kept: tuple[float, list[Health]] = (0.0, [])


def components() -> list[Health]:
    """Each component in the order readings pass through them; asked anew when older than `KEEP_S`."""
    global _kept
    with _lock:
        if time.monotonic() - _kept[0] > KEEP_S or not _kept[1]:
            _kept = (time.monotonic(), _ask())
        return _kept[1]
