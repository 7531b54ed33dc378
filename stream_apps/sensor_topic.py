"""The `sensors` topic as the detector reads it: to the live picture, and to whoever judges by limits."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stream_apps.latest import LiveCache
from stream_apps.sensor_book import SensorBook
from weir import keys
from weir.errors import Reason, Refused
from weir.readings import Birth, SensorEvent, encode

_event = msgspec.json.Decoder(SensorEvent)
#: Is called with site, sensor and the birth with what people said over it.
Tell = Callable[[str, str, Birth], None]


class SensorTopic:
    """Takes the records in the order of the topic. `births`: by (site, sensor), edits laid over them."""

    def __init__(self, cache: LiveCache, tell: Tell) -> None:
        self.births: dict[tuple[str, str], Birth] = {}
        self._book = SensorBook()
        self._cache = cache
        self._tell = tell

    def take(self, key: bytes, value: bytes | None, at: int) -> list[bytes]:
        """Take one record, written at `at` (ms); returns the keys to be forgotten with it. Raises `Refused`."""
        field, _, leaf = key.decode(errors="replace").rpartition("/")
        if not value:
            return self._gone(field, leaf, at)
        try:
            event = _event.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(Reason.SHAPE, str(error)) from error
        field = f"{event.site}/{event.sensor}"
        if event.birth is not None or event.edit is not None:
            self._show(field, self._book.take(field, event))
        if event.edit is not None:
            self._cache.sensor(keys.EDITS, field, encode(event.edit))
        if event.state is not None:
            self._cache.sensor(keys.STATES, field, event.state)
        return []

    def _show(self, field: str, event: SensorEvent) -> None:
        self._cache.sensor(keys.BIRTHS, field, encode(event))
        if event.birth is not None:
            self.births[event.site, event.sensor] = event.birth
            self._tell(event.site, event.sensor, event.birth)

    def _gone(self, field: str, leaf: str, at: int) -> list[bytes]:
        """A tombstone: of a birth (the sensor is retired), of an edit (taken back), or of a state."""
        site, _, sensor = field.partition("/")
        if leaf == "birth":
            self.births.pop((site, sensor), None)
            self._cache.retired(field, at)
            if self._book.retire(field):
                # Or compaction would keep what people said, and show a sensor that is gone.
                self._cache.sensor(keys.EDITS, field, None)
                return [f"{field}/edit".encode()]
        elif leaf == "edit":
            self._cache.sensor(keys.EDITS, field, None)
            event = self._book.forget(field)
            if event is not None:
                self._show(field, event)
        else:
            self._cache.sensor(keys.STATES, field, None)
        return []
