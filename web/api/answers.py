"""What each endpoint answers: definitions that are encoded and that OpenAPI describes. Times are ms since the epoch."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Sensor(Struct, frozen=True):
    """A sensor as its birth describes it. `units`: of each metric, SenML codes (RFC 8428)."""

    site: str
    sensor: str
    kind: str
    name: str
    lat: float | None
    lon: float | None
    units: dict[str, str]
    state: str | None


class Sensors(Struct, frozen=True):
    sensors: list[Sensor]
    next: str | None


class Series(Struct, frozen=True):
    """One metric of one sensor that has been stored."""

    site: str
    sensor: str
    metric: str
    unit: str


class SeriesPage(Struct, frozen=True):
    series: list[Series]
    next: str | None


class Live(Struct, frozen=True):
    """The newest values of a sensor, measured at `ts`; None while it was never heard."""

    site: str
    sensor: str
    kind: str
    status: str
    ts: int | None
    values: dict[str, float]
    units: dict[str, str]


class Latest(Struct, frozen=True):
    """`now`: the server's time; `stale`: the live values cannot be followed just now, and may be old."""

    now: int
    stale: bool
    sensors: list[Live]
    next: str | None


class Readings(Struct, frozen=True):
    """A series over time, oldest first, as columns. Of raw readings `low` and `high` are the reading itself.

    Aggregates stand at the start of their bucket.
    """

    site: str
    sensor: str
    metric: str
    unit: str
    resolution: str
    since: int
    until: int
    ts: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]
    next: str | None


class Anomaly(Struct, frozen=True):
    """One flagged reading and what it was judged against (docs/detection.md)."""

    site: str
    sensor: str
    metric: str
    unit: str
    ts: int
    value: float
    score: float
    q1: float
    q3: float
    low: float
    high: float
    window: int
    feature: str
    detector: str
    version: int


class Anomalies(Struct, frozen=True):
    anomalies: list[Anomaly]
    next: str | None


class Alert(Struct, frozen=True):
    """An alert as it stands. `sensor` is empty for a whole site; `site` is `*` for everything."""

    id: str
    site: str
    sensor: str
    metric: str
    rule: str
    severity: str
    state: str
    acknowledged: bool
    opened: int
    at: int
    n: int
    text: str
    by: str
    shelved_until: int | None


class Alerts(Struct, frozen=True):
    alerts: list[Alert]
    next: str | None


class Transition(Struct, frozen=True):
    n: int
    at: int
    state: str
    acknowledged: bool
    by: str
    text: str


class History(Struct, frozen=True):
    id: str
    history: list[Transition]


class Accepted(Struct, frozen=True):
    """The command is in Kafka; the alert worker acts on it within a second or so."""

    id: str
    verb: str
    by: str
    at: int


class Forecast(Struct, frozen=True):
    """Columns of one length with the 50, 80 and 95 % intervals, and what the forecast's trial says of it.

    `mase` below 1 beats repeating the last value; `r2` may be negative; `note` tells what was not as it should be.
    """

    site: str
    sensor: str
    metric: str
    unit: str
    horizon: str
    model: str
    mase: float | None
    r2: float | None
    coverage80: float | None
    note: str
    ts: list[int]
    mean: list[float]
    low50: list[float]
    high50: list[float]
    low80: list[float]
    high80: list[float]
    low95: list[float]
    high95: list[float]


class Skill(Struct, frozen=True):
    """How good the forecasts of a series were in the last 7 days. `mae_last`: the error of repeating the last value."""

    site: str
    sensor: str
    metric: str
    unit: str
    n: int
    mae: float
    mae_last: float
    r2: float | None
    coverage80: float


class Skills(Struct, frozen=True):
    horizon: str
    series: list[Skill]
    next: str | None


class Crossing(Struct, frozen=True):
    """A limit that will probably be crossed `at`, as the forecast `made` then says."""

    site: str
    sensor: str
    metric: str
    unit: str
    above: bool
    level: float
    at: int
    probability: float
    made: int


class Crossings(Struct, frozen=True):
    crossings: list[Crossing]


class LedgerMinute(Struct, frozen=True):
    minute: int
    received: int
    stored: int
    dead_lettered: int
    duplicate: int
    missing: int
    settled: bool


class Ledger(Struct, frozen=True):
    """What arrived and what became of it. `missing` counts settled minutes, `pending` what may be on its way."""

    received: int
    stored: int
    dead_lettered: int
    duplicate: int
    missing: int
    pending: int
    minutes: list[LedgerMinute]


class Site(Struct, frozen=True):
    """A site by what is stored: its sensors, how many of them are silent, when its newest value was measured (ms)."""

    site: str
    sensors: int
    silent: int
    newest: int | None


class Sites(Struct, frozen=True):
    sites: list[Site]


class Table(Struct, frozen=True):
    """A table with its partitions and indexes. `rows` is Postgres' estimate."""

    table: str
    partitions: int
    bytes: int
    rows: int | None


class Storage(Struct, frozen=True):
    tables: list[Table]


class DeadLetter(Struct, frozen=True):
    """What was refused. `payload`: base64 of its first 4096 of `size` bytes."""

    id: str
    at: int
    source: str
    reason: str
    detail: str
    payload: str
    size: int


class DeadLetters(Struct, frozen=True):
    dead_letters: list[DeadLetter]
    next: str | None


class Component(Struct, frozen=True):
    """`problem` is empty when all is well."""

    name: str
    what: str
    problem: str


class Components(Struct, frozen=True):
    components: list[Component]


class Whoami(Struct, frozen=True):
    name: str
    role: str
    how: str


class Problem(Struct, frozen=True):
    """An error, as RFC 9457 has it. `parameter` names what is wrong in the request, where it is one thing."""

    type: str
    title: str
    status: int
    detail: str
    parameter: str | None = None


Answer = Any
