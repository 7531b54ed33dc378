"""What each endpoint does: forecasts, the ledger, dead letters, health. Raises `Wrong`, `StoreDown`."""

from __future__ import annotations

import base64

from redis.exceptions import RedisError

from web import components as health
from web import forecasts, queries, queries_api, queries_storage
from web.api import answers
from web.api import parameters as take
from web.api.handlers import MAX_SPAN_MS, following, one_series
from web.api.problems import Wrong
from web.feed import feed
from web.store import now_ms, store
from weir.ledger import totals
from weir.settings import settings

MAX_LEDGER_MS = 8 * 86_400_000
MAX_CROSSINGS = 1000
_COLUMNS = ("ts", "mean", "low50", "high50", "low80", "high80", "low95", "high95")


def forecast(asked: take.OfForecast) -> answers.Forecast:
    number, unit = one_series(asked.site, asked.sensor, asked.metric)
    try:
        made = forecasts.forecast(store(), number, now_ms(), asked.horizon)
    except forecasts.NoForecast as error:
        raise Wrong(f"{str(error)[:1].upper()}{str(error)[1:]}.", status=404) from error
    return answers.Forecast(
        asked.site, asked.sensor, asked.metric, unit, asked.horizon, made.model, made.mase, made.r2, made.coverage80,
        made.note, *(getattr(made, name).tolist() for name in _COLUMNS),
    )  # fmt: skip


def skill(asked: take.OfSkill) -> answers.Skills:
    after = take.uncursor(asked.cursor, int)
    rows = queries_api.skill(store(), asked.limit + 1, after, asked.horizon)
    found = [answers.Skill(*row[1:]) for row in rows[: asked.limit]]
    return answers.Skills(asked.horizon, found, following(rows, asked.limit, lambda row: row[0]))


def crossings(_: take.Nothing) -> answers.Crossings:
    return answers.Crossings([answers.Crossing(*row) for row in queries_api.crossings(store(), MAX_CROSSINGS)])


def ledger(asked: take.OfLedger) -> answers.Ledger:
    now = now_ms()
    since, _ = take.span(asked.since, None, now, MAX_LEDGER_MS)
    try:
        received = feed().received()
    except RedisError as error:
        raise Wrong("Redis does not answer: the bridge's counts are there.", status=503, wait=5) from error
    minutes = queries.ledger(store(), received, since)
    all_ = totals(minutes, now)
    found = [
        answers.LedgerMinute(
            one.minute, one.received, one.stored, one.dead_lettered, one.duplicate, one.missing, one.settled_at <= now
        )
        for one in minutes
    ]
    return answers.Ledger(
        all_.received, all_.stored, all_.dead_lettered, all_.duplicate, all_.missing, all_.pending, found
    )


def dead_letters(asked: take.OfDeadLetters) -> answers.DeadLetters:
    since, until = take.span(asked.since, asked.until, now_ms(), MAX_SPAN_MS)
    after = take.uncursor(asked.cursor, tuple[int, str])
    rows = queries_api.dead_letters(store(), asked.limit + 1, after, reason=asked.reason, since=since, until=until)
    found = [
        answers.DeadLetter(id, at, source, reason, detail, base64.b64encode(bytes(payload)).decode(), size)
        for id, at, source, reason, detail, payload, size in rows[: asked.limit]
    ]
    return answers.DeadLetters(found, following(rows, asked.limit, lambda row: (row[1], row[0])))


def sites(_: take.Nothing) -> answers.Sites:
    silent_since = now_ms() - settings().silent_after_s * 1000
    found = queries.site_summary(store(), silent_since)
    return answers.Sites([answers.Site(one.site, one.sensors, one.silent, one.newest) for one in found])


def storage(_: take.Nothing) -> answers.Storage:
    found = queries_storage.storage_summary(store())
    return answers.Storage([answers.Table(one.table, one.partitions, one.bytes, one.rows) for one in found])


def components(_: take.Nothing) -> answers.Components:
    return answers.Components([answers.Component(one.name, one.what, one.problem) for one in health.components()])
