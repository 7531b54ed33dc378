"""Imports files one after the other: read, check, send, note how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from deploy.imports.columns import Mapping, plan
from deploy.imports.files import Source
from deploy.imports.progress import Place, Position
from deploy.imports.rows import Bad, Rows
from deploy.imports.sending import Sender
from weir.errors import Reason, SetupError
from weir.settings import Settings

#: Rows handled at once: what a stop makes the next run repeat, at most.
STEP = 20_000

Told = Callable[[Position], None]


@dataclass(frozen=True)
class Limits:
    """`ahead`: readings that Kafka has and the archive not yet; `refused`: rows of a file that may be refused."""

    ahead: int = 200_000
    refused: int = 10_000


class Importer:
    """Imports one file. What Kafka has acknowledged is never sent again, but for the last step before a crash."""

    def __init__(self, config: Settings, sender: Sender, mapping: Mapping, limits: Limits) -> None:
        self._config = config
        self._sender = sender
        self._mapping = mapping
        self._limits = limits

    async def run(self, source: Source, told: Told, again: bool = False) -> Position:
        """Import a file from where it stopped. Raises `SetupError`; a later run then goes on."""
        place = Place(self._config.home, source.path, self._mapping)
        position = Position(str(source.path)) if again else place.load()
        told(position)
        if position.done:
            return position
        rows = Rows(plan(self._mapping, source.names, source.numeric))
        torn: list[str] = []
        at = 0
        for batch in source.batches(torn.append):
            if at + len(batch) <= position.rows:
                at += len(batch)
                torn.clear()
                continue
            skipped = max(0, position.rows - at)
            await self._batch(rows, batch.slice(skipped), _torn(torn, at), position, place, source.path, told)
            at += len(batch)
            torn.clear()
        last = _torn(torn, at)
        await self._sender.send([], last, source.path.name, time.time_ns() // 1_000_000)
        position.refused += len(last)
        position.done = True
        place.save(position)
        told(position)
        return position

    async def _batch(
        self, rows: Rows, batch: pa.RecordBatch, bad: list[Bad], position: Position, place: Place, path: Path,
        told: Told,
    ) -> None:  # fmt: skip
        for start in range(0, len(batch), STEP):
            part = batch.slice(start, STEP)
            rx = time.time_ns() // 1_000_000
            readings, refused = rows.convert(part, position.rows, rx)
            await self._sender.send(readings, bad + refused, path.name, rx)
            position.rows += len(part)
            position.readings += len(readings)
            position.refused += len(bad) + len(refused)
            bad = []
            place.save(position)
            told(position)
            if position.refused > self._limits.refused:
                raise SetupError(
                    f"{path}: {position.refused:,} rows refused, the last one because of {_why(refused)}; mend the "
                    "mapping (`weir dead-letters` tells more), or allow more with --most-refused"
                )
            await self._sender.keep_up()


def _torn(lines: list[str], row: int) -> list[Bad]:
    return [
        Bad(row, Reason.SHAPE, "not as many cells as the header", line.encode(errors="replace")[:4096])
        for line in lines
    ]  # fmt: skip


def _why(refused: list[Bad]) -> str:
    return f"{refused[-1].reason}: {refused[-1].detail}" if refused else Reason.SHAPE
