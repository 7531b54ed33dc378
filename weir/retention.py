"""How long which readings are kept (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from weir.errors import SetupError
from weir.settings import Settings

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "y": timedelta(days=365.25)}


def parse(text: str) -> timedelta | None:
    """`36h`, `90d`, `4w`, `2y`; None for an empty text, which means for ever. Raises `SetupError`."""
    if not text:
        return None
    found = re.fullmatch(r"(\d{1,5})\s*([hdwy])", text.strip())
    if found is None:
        raise SetupError(f"not a length of time: {text!r}; write for example 36h, 90d, 4w or 2y")
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Rule:
    """`keep` of a table's partitions is None for ever. `reach`: how far rows reach over their partition's end."""

    table: str
    keep: timedelta | None
    reach: timedelta = timedelta()

    def drops_at(self, ends: datetime) -> datetime | None:
        """When a partition that ends at `ends` is dropped."""
        return None if self.keep is None else ends + self.reach + self.keep


def rules(config: Settings) -> list[Rule]:
    """One for each partitioned table. Raises `SetupError`."""
    raw = parse(config.retain_raw)
    return [
        Rule("readings", raw),
        Rule("readings_sealed", raw),
        Rule("readings_chunks", raw, timedelta(days=7)),
        Rule("readings_5m", parse(config.retain_5m)),
        Rule("readings_1h", parse(config.retain_1h)),
        Rule("readings_1d", parse(config.retain_1d)),
    ]
