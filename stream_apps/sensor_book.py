"""What sensors and people say of each sensor, as one (pure)."""

from __future__ import annotations

from msgspec.structs import replace

from weir.edits import applied
from weir.readings import Edit, SensorEvent


class SensorBook:
    """The last birth and the last edit of every sensor, by "<site>/<sensor>"."""

    def __init__(self) -> None:
        self._born: dict[str, SensorEvent] = {}
        self._edits: dict[str, Edit] = {}

    def take(self, field: str, event: SensorEvent) -> SensorEvent:
        """Take a birth or an edit; returns the birth with the edit laid over it."""
        if event.birth is not None:
            self._born[field] = event
        if event.edit is not None:
            self._edits[field] = event.edit
        return self._shown(field, event)

    def forget(self, field: str) -> SensorEvent | None:
        """The edit was taken back; returns what the sensor says of itself, None where it never spoke."""
        self._edits.pop(field, None)
        return self._born.get(field)

    def retire(self, field: str) -> bool:
        """The sensor is gone. True if there was an edit, which is to be forgotten too."""
        self._born.pop(field, None)
        return self._edits.pop(field, None) is not None

    def _shown(self, field: str, event: SensorEvent) -> SensorEvent:
        born, edit = self._born.get(field), self._edits.get(field)
        if edit is None and born is not None:
            return born
        return replace(event, birth=applied(edit, born.birth if born else None), edit=None, state=None)
