"""Kafka topics, MQTT topics and partitioning: one place for each name."""

from __future__ import annotations

READINGS = "readings"
ANOMALIES = "anomalies"
ALERTS = "alerts"
ALERT_COMMANDS = "alert-commands"
SENSORS = "sensors"
DEAD_LETTERS = "dead-letters"
#: Carries nothing: its partitions, as Faust assigns them, say which bridge owns which sites.
BRIDGE_SHARDS = "bridge-shards"

PARTITIONS = 4
COMPACTED = frozenset({ALERTS, SENSORS})
ALL = (READINGS, ANOMALIES, ALERTS, ALERT_COMMANDS, SENSORS, DEAD_LETTERS, BRIDGE_SHARDS)

MQTT_ROOT = "weir"
MQTT_SUBSCRIPTION = "weir/#"


def mqtt_topic(site: str, sensor: str, leaf: str) -> str:
    """`leaf` is `birth`, `data` or `state`."""
    return f"{MQTT_ROOT}/{site}/{sensor}/{leaf}"


def murmur2(data: bytes) -> int:
    """Kafka's own 32-bit murmur2 (org.apache.kafka.common.utils.Utils.murmur2), unsigned."""
    mask = 0xFFFFFFFF
    m = 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def partition_of(sensor: str, partitions: int = PARTITIONS) -> int:
    """The partition that Kafka's default partitioner gives the key `sensor`."""
    return (murmur2(sensor.encode()) & 0x7FFFFFFF) % partitions
