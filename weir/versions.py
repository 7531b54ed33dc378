"""Every version that has to fit another, in one place: `deploy` fetches these, workers check them at start."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from weir.errors import SetupError

#: The newest pyspark for which a Kafka connector of the same version is published. setup.cfg pins the same.
PYSPARK = "4.2.0"
SCALA = "2.13"
#: Of exactly pyspark's version: Spark's internal classes change between any two.
CONNECTOR = PYSPARK
#: What the connector brings; `KAFKA` may be newer, since Kafka's clients and brokers understand each other.
KAFKA_CLIENTS = "3.9.2"
KAFKA = "4.3.1"
#: The last line of Kafka that runs with ZooKeeper, and the ZooKeeper it brings.
KAFKA_WITH_ZOOKEEPER = "3.9.2"
ZOOKEEPER = "3.8.4"
#: Kafka 4 logs through SLF4J 1 and brings Log4j 2, Kafka 3.9 wants reload4j: these bind them.
SLF4J_BINDING = "2.25.1"
SLF4J_RELOAD4J = "1.7.36"
JAVA = 17
PYTHON = (3, 11)

_FETCH = "run `make jars`"


@dataclass(frozen=True)
class Row:
    """One line of the table: what must be there, what is, and the exact fix (empty when they fit)."""

    name: str
    wanted: str
    found: str
    fix: str = ""


def table(jars: Path) -> list[Row]:
    """Everything that must fit, as it is here. `jars`: where the jars are (`<jars>/spark`, `<jars>/kafka`)."""
    spark, kafka = jars / "spark", jars / "kafka"
    return [
        _package("pyspark", PYSPARK),
        _jar("Spark's Kafka connector", spark, f"spark-sql-kafka-0-10_{SCALA}", CONNECTOR),
        _jar("its token provider", spark, f"spark-token-provider-kafka-0-10_{SCALA}", CONNECTOR),
        _jar("its Kafka client", spark, "kafka-clients", KAFKA_CLIENTS),
        _jar("Kafka broker", kafka, f"kafka_{SCALA}", KAFKA),
        _jar("Kafka's log binding", kafka, "log4j-slf4j-impl", SLF4J_BINDING),
    ]


def require_spark(jars: Path) -> None:
    """Raises `SetupError` with the exact fix unless pyspark and the jars it will load fit together."""
    for row in table(jars)[:4]:
        if row.fix:
            raise SetupError(f"{row.name} must be {row.wanted} and is {row.found}: {row.fix}")


def _package(name: str, wanted: str) -> Row:
    try:
        found = version(name)
    except PackageNotFoundError:
        found = "missing"
    return Row(name, wanted, found, "" if found == wanted else f"pip install '{name}=={wanted}' (or `make setup`)")


def _jar(name: str, folder: Path, artifact: str, wanted: str) -> Row:
    pattern = re.compile(rf"{re.escape(artifact)}-(\d[\w.]*)\.jar")
    found = sorted(match[1] for one in folder.glob(f"{artifact}-*.jar") if (match := pattern.fullmatch(one.name)))
    if not found:
        return Row(name, wanted, "missing", f"{_FETCH} (they go to {folder})")
    fix = "" if found == [wanted] else f"remove {folder.parent} and {_FETCH}"
    return Row(name, wanted, " and ".join(found), fix)
