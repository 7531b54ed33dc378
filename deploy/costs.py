"""What a message costs, as measured: the one place for these figures. `weir scale` multiplies them.

Each names where it was measured; a test holds them to that file.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN_LOG = "docs/run-log.md"
RESULTS = "docs/results/results.json"
PROTOTYPE = "a prototype of the same design, 2 cores, before the first commit; no committed command measures it"


@dataclass(frozen=True)
class Cost:
    """`value` in the unit that `what` names; `figures` are the texts of the source it was worked out from."""

    what: str
    value: float
    source: str
    figures: tuple[str, ...] = ()


#: CPU seconds of each component for 272,000 messages of 3 values at 4,500 a second: the highest rate of `make bench`
#: at which nothing had to wait. Live delivery, updates of the dashboard and idling are in them.
_MESSAGES = 272_000
_ALL = f'"published": {_MESSAGES}'
BRIDGE = Cost("core seconds a message, bridge", 22.4 / _MESSAGES, RESULTS, (_ALL, '"bridge": 22.4'))
DETECTOR = Cost("core seconds a message, detector", 11.7 / _MESSAGES, RESULTS, (_ALL, '"detector": 11.7'))
KAFKA = Cost("core seconds a message and replica, Kafka", 7.8 / _MESSAGES, RESULTS, (_ALL, '"kafka": 7.8'))
MOSQUITTO = Cost("core seconds a message in and out, Mosquitto", 2.4 / _MESSAGES, RESULTS, (_ALL, '"mosquitto": 2.4'))
VALKEY = Cost("core seconds a message, Redis", 3.4 / _MESSAGES, RESULTS, (_ALL, '"valkey": 3.4'))
SPARK = Cost("core seconds a message, archive and rollups", 19.8 / _MESSAGES, RESULTS, (_ALL, '"spark": 19.8'))
POSTGRES = Cost("core seconds a message, Postgres", 6.2 / _MESSAGES, RESULTS, (_ALL, '"postgres": 6.2'))
FORECAST = Cost("core seconds a series and forecast", 0.188, RUN_LOG, ("188 ms of work a series",))
BRIDGE_MOST = Cost("messages a second that one bridge carries", 10_537, RUN_LOG, ("10,537 a second",))
#: A test holds it to the detector itself.
DETECTOR_STATE = Cost("bytes of state a series, detector", 10_448, "docs/detection.md", ("10,448 bytes a series",))
POSTGRES_ROWS = Cost("rows a second into Postgres, one connection", 190_000, PROTOTYPE)
#: Heap and primary key of `readings` at a reading a minute.
POSTGRES_ROW = Cost("bytes of a stored value, Postgres", 91.3, "docs/storage.md", ("| 91.3 | 91.3 | 90 |",))
#: Heap and primary key of `readings_5m`, filled once; this test measures it. `readings_1h` has three columns fewer.
BUCKET_ROW = Cost("bytes of a bucket, Postgres", 170, "tests/integration/test_scale_costs.py")
COMPACTED = Cost("bytes of a compacted value, Postgres", 5.3, "docs/storage.md", ("| 5.5 | 5.3 | 10 |",))

ALL = (
    BRIDGE, DETECTOR, KAFKA, MOSQUITTO, VALKEY, SPARK, POSTGRES, FORECAST, BRIDGE_MOST, DETECTOR_STATE,
    POSTGRES_ROWS, POSTGRES_ROW, BUCKET_ROW, COMPACTED,
)  # fmt: skip
