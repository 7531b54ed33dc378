"""Every endpoint: where, what it takes, what it answers, and how. One list serves the routes and OpenAPI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from web.api import answers, handlers, more_handlers
from web.api import parameters as take


@dataclass(frozen=True)
class Endpoint:
    """`path` as OpenAPI writes it; names in braces are parameters of `takes`, too. `body`: what a POST carries.

    `cost`: for how many requests it counts.
    """

    path: str
    name: str
    about: str
    takes: type[Struct]
    answers: type[Struct]
    handle: Callable[..., Any]
    method: str = "GET"
    body: type[Struct] | None = None
    status: int = 200
    cost: int = 1


ENDPOINTS = (
    Endpoint("/whoami", "whoami", "Whose token or session this is", take.Nothing, answers.Whoami, handlers.whoami),
    Endpoint("/sensors", "sensors", "Sensors, by name", take.OfSensors, answers.Sensors, handlers.sensors),
    Endpoint("/series", "series", "Metrics of sensors that are stored", take.OfSeries, answers.SeriesPage,
             handlers.series),
    Endpoint("/latest", "latest", "Newest values and status, live", take.OfLatest, answers.Latest, handlers.latest),
    Endpoint("/readings", "readings", "A series over time, raw or aggregated", take.OfReadings, answers.Readings,
             handlers.readings),
    Endpoint("/anomalies", "anomalies", "Flagged readings and why, newest first", take.OfAnomalies, answers.Anomalies,
             handlers.anomalies),
    Endpoint("/alerts", "alerts", "Alerts, the last opened first", take.OfAlerts, answers.Alerts, handlers.alerts),
    Endpoint("/alerts/live", "live_alerts", "Alerts that are active or unacknowledged now", take.Nothing,
             answers.Alerts, handlers.live_alerts),
    Endpoint("/alerts/{id}", "alert_history", "Every transition of one alert", take.OfOneAlert, answers.History,
             handlers.alert_history),
    Endpoint("/alerts/{id}/commands", "command", "Acknowledge, shelve or comment; for operators", take.OfOneAlert,
             answers.Accepted, handlers.command, "POST", take.Command, 202),
    Endpoint("/forecasts", "forecast", "The next hour or day of a series, with intervals", take.OfForecast,
             answers.Forecast, more_handlers.forecast, cost=5),
    Endpoint("/forecasts/skill", "skill", "What past forecasts were worth, series by series", take.OfSkill,
             answers.Skills, more_handlers.skill),
    Endpoint("/forecasts/crossings", "crossings", "Limits that will probably be crossed", take.Nothing,
             answers.Crossings, more_handlers.crossings),
    Endpoint("/ledger", "ledger", "What arrived and what became of it, per minute", take.OfLedger, answers.Ledger,
             more_handlers.ledger),
    Endpoint("/dead-letters", "dead_letters", "What was refused and why, newest first", take.OfDeadLetters,
             answers.DeadLetters, more_handlers.dead_letters),
    Endpoint("/sites", "sites", "Sites with their sensors and the silent ones", take.Nothing, answers.Sites,
             more_handlers.sites),
    Endpoint("/storage", "storage", "Tables, their partitions and sizes", take.Nothing, answers.Storage,
             more_handlers.storage),
    Endpoint("/components", "components", "Is each component well", take.Nothing, answers.Components,
             more_handlers.components),
)  # fmt: skip
