"""What a message costs, as measured: the one place for these figures. `weir scale` multiplies them.

Each names where it was measured; a test holds those of docs/run-log.md to that file.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN_LOG = "docs/run-log.md"
PROTOTYPE = "a prototype of the same design, 2 cores, before the first commit; no committed command measures it"


@dataclass(frozen=True)
class Cost:
    """`value` in the unit that `what` names; `figures` are the texts of the source it was worked out from."""

    what: str
    value: float
    source: str
    figures: tuple[str, ...] = ()


_LIVE = "2,959 a second"
#: Core seconds per message of 3 metrics, each from the bench's cores at 2,959 messages a second.
BRIDGE = Cost("core seconds a message, bridge", 0.25 / 2959, RUN_LOG, (_LIVE, "bridge: 0.25"))
DETECTOR = Cost("core seconds a message, detector", 0.16 / 2959, RUN_LOG, (_LIVE, "detector: 0.16"))
KAFKA = Cost("core seconds a message and replica, Kafka", 0.09 / 2959, RUN_LOG, (_LIVE, "kafka: 0.09"))
MOSQUITTO = Cost("core seconds a message in and out, Mosquitto", 0.03 / 2959, RUN_LOG, (_LIVE, "mosquitto: 0.03"))
VALKEY = Cost("core seconds a message, Redis", 0.03 / 2959, RUN_LOG, (_LIVE, "valkey: 0.03"))
SPARK = Cost("core seconds a message, archive and rollups", 0.38 / 4000, PROTOTYPE)
FORECAST = Cost("core seconds a series and forecast", 0.188, RUN_LOG, ("188 ms of work a series",))
BRIDGE_MOST = Cost("messages a second that one bridge carries", 10_537, RUN_LOG, ("10,537 a second",))
DETECTOR_STATE = Cost("bytes of state a series, detector", 6048, RUN_LOG, ("6048 bytes a series",))
POSTGRES_ROWS = Cost("rows a second into Postgres, one connection", 190_000, PROTOTYPE)
#: Heap and primary key of `readings`; tests/integration/test_scale_costs.py measures it.
POSTGRES_ROW = Cost("bytes of a stored value, Postgres", 93, "tests/integration/test_scale_costs.py")

ALL = (
    BRIDGE, DETECTOR, KAFKA, MOSQUITTO, VALKEY, SPARK, FORECAST, BRIDGE_MOST, DETECTOR_STATE, POSTGRES_ROWS,
    POSTGRES_ROW,
)  # fmt: skip
