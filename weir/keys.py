"""Redis keys. Losing Redis loses no data: everything here is rebuilt from Kafka and Postgres."""

from __future__ import annotations

#: Hash: "<site>/<sensor>" -> JSON `Latest` (weir.live). The last *measured* reading of each sensor.
LATEST = "weir:latest"
#: Hash: "<site>/<sensor>" -> JSON SensorEvent with the last birth; field "<site>/<sensor>" of STATES -> online|lost.
BIRTHS = "weir:births"
STATES = "weir:states"
#: Hash: "<site>/<sensor>" -> JSON Edit: what people said last of the sensor. BIRTHS has it applied already.
EDITS = "weir:edits"
#: Hash: "<site>/<sensor>" -> ms of the last flagged reading.
FLAGGED = "weir:flagged"
#: Hash: "<site>/<sensor>" -> ms when the sensor was retired: an empty birth. What it measures later revives it.
RETIRED = "weir:retired"
#: Hash: alert id -> JSON Alert, only those that are ACTIVE or unacknowledged.
LIVE_ALERTS = "weir:alerts"
#: The alert worker's snapshot: its book and the offsets it stands for, in one value.
ALERTS_STATE = "weir:alerts-state:0"
#: Pub/sub channel: a JSON list of the "<site>/<sensor>" that changed.
CHANGES = "weir:changes"


def window(partition: int) -> str:
    """Detector snapshot of a partition: its state and the next offset in one value."""
    return f"weir:detector:{partition}"


def bridge(worker: str) -> str:
    """Hash of the bridge's live counters: received, refused, inflight, at."""
    return f"weir:bridge:{worker}"


#: Hash: minute of arrival (ms) -> readings and refused messages the bridge has handed to Kafka.
RECEIVED = "weir:received"

#: Hash: what Mosquitto says of itself ($SYS) -> its number: `dropped`, `stored`, `clients`; `at`: when (ms).
BROKER = "weir:broker"

#: Sorted set: id of a browser session that was signed out -> ms from when on it would be over anyway.
ENDED_SESSIONS = "weir:ended-sessions"


def link(digest: str) -> str:
    """A one-time link that has not been used: the key is the SHA-256 of its token, the value what may be done."""
    return f"weir:link:{digest}"
