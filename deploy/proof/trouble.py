"""Devices that misbehave beside a load: payloads that are hostile and clocks that are wrong, all of them counted."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass

from edge.lean import LeanPublisher
from weir import wire
from weir.readings import MAX_METRICS, MAX_PAYLOAD_BYTES, MAX_READINGS_PER_MESSAGE
from weir.settings import Settings
from weir.topics import mqtt_topic

EVERY_S = 0.1
FLUSH_S = 120.0
HOUR_MS = 3_600_000


def payloads(now: int) -> list[tuple[str, str, bytes]]:
    """(sensor, last part of the topic, payload) of messages that must all become dead letters. Pure."""
    good = {"temperature": 20.0}
    many = {f"m{i}": 1.0 for i in range(MAX_METRICS + 1)}
    array = [{"ts": now, "metrics": good}] * (MAX_READINGS_PER_MESSAGE + 1)
    as_json = {
        "ahead": {"ts": now + HOUR_MS, "metrics": good},
        "far-ahead": {"ts": 2**62, "metrics": good},
        "before": {"ts": -1, "metrics": good},
        "many": {"ts": now, "metrics": many},
        "none": {"ts": now, "metrics": {}},
        "names": {"ts": now, "metrics": {"'; DROP TABLE readings; --": 1.0}},
        "script": {"ts": now, "metrics": {"<script>alert(1)</script>": 1.0}},
        "array": array,
        "empty": [],
        "shape": {"ts": "now", "metrics": good},
        "huge": {"ts": now, "metrics": {"temperature": 10**400}},
    }
    found = [("hostile", "data", json.dumps(value).encode()) for value in as_json.values()]
    found += [("hostile", "data", one) for one in (
        b"", b"\0", b"\xff\xfe{", b"{", b"[" * 100_000, b"nan", b'{"ts":1,"metrics":{"t":NaN}}',
        b'{"ts":1,"metrics":{"t":1e999}}', b" " * (MAX_PAYLOAD_BYTES + 1), b'{"ts":1,"ts":2}', b"\x1b[2J$(reboot)",
    )]  # fmt: skip
    found += [("hostile", "evil", b"{}"), ("hostile", "birth", b'{"lat":91,"lon":0}'), ("-bad-", "data", b"{}")]
    return found


@dataclass(frozen=True)
class Told:
    """Messages sent: `hostile` must be dead letters, `behind` must be stored, an hour late."""

    hostile: int
    behind: int


class Trouble:
    """Publishes one hostile message and one of an hour ago every tenth of a second while it is open."""

    def __init__(self, config: Settings, site: str) -> None:
        self.told = Told(0, 0)
        self.failure: BaseException | None = None
        self._config = config
        self.site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> Told:
        """Stop, and wait until all that was sent is acknowledged."""
        self._stop.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure
        return self.told

    def _run(self) -> None:
        try:
            self._publish()
        except BaseException as error:  # raised again in the thread that waits for us
            self.failure = error

    def _publish(self) -> None:
        publisher = LeanPublisher(self._config, f"weir-{self.site}-trouble")
        behind = wire.text(mqtt_topic(self.site, "behind", "data"))
        n = last = 0
        while not self._stop.wait(EVERY_S):
            now = time.time_ns() // 1_000_000
            corpus = payloads(now)
            sensor, leaf, payload = corpus[n % len(corpus)]
            last = max(last + 1, now - HOUR_MS)
            late = b'{"ts":%d,"metrics":{"temperature":20.5}}' % last
            publisher.publish([(wire.text(mqtt_topic(self.site, sensor, leaf)), payload), (behind, late)])
            n += 1
        publisher.flush(FLUSH_S)
        publisher.publish([(wire.text(mqtt_topic(self.site, "behind", "birth")), b"")], retain=True)
        publisher.flush(FLUSH_S)
        publisher.close()
        self.told = Told(n, n)
