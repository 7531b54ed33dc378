"""Detectors with different parameters side by side, by site and metric; most installations have one (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace as with_changes

from stream_apps.iqr import DEFAULT, Detector, Params
from weir.errors import SetupError
from weir.events import Flag
from weir.readings import Birth, Reading


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule of the settings file: series whose site and metric match (`*`, `?`) get other parameters.

    Those are named as in `iqr_params.Params`; `off` series are not judged at all. The first rule that matches holds.
    """

    site: str = "*"
    metric: str = "*"
    off: bool = False
    warmup: int | None = None
    reach: float | None = None
    half_life: float | None = None
    soft: float | None = None
    refractory: float | None = None
    threshold: float | None = None
    far_every: float | None = None
    far_growth: float | None = None
    flat_least: float | None = None
    flat_chance: float | None = None
    flat_noisy: float | None = None
    flat_growth: float | None = None
    gap: float | None = None

    def params(self) -> Params:
        """The default parameters with these changes."""
        names = set(self.__struct_fields__) - {"site", "metric", "off"}
        changes: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(DEFAULT, **changes)


_overrides = msgspec.json.Decoder(list[Override])


def read_overrides(path: Path) -> list[Override]:
    """The rules of a settings file; none if there is no such file. Raises `SetupError`."""
    if not path.exists():
        return []
    try:
        return _overrides.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no list of rules with site, metric and parameters: {error}") from error


class Judge:
    """Judges frames: each series by the detector that its site and metric call for."""

    def __init__(self, overrides: Iterable[Override] = ()) -> None:
        self._overrides = list(overrides)
        self._detectors: dict[Params, Detector] = {DEFAULT: Detector()}
        for one in self._overrides:
            if not one.off:
                self._detectors.setdefault(one.params(), Detector(one.params()))
        self._of: dict[tuple[str, str], Detector | None] = {}

    def judge(self, readings: list[Reading], at: int) -> list[Flag]:
        """Flags for a frame judged at `at` (ms), see `Detector.judge`."""
        if not self._overrides:
            return self._detectors[DEFAULT].judge(readings, at)
        parts: dict[int, tuple[Detector, list[Reading]]] = {}
        for reading in readings:
            for detector, part in self._parts(reading):
                parts.setdefault(id(detector), (detector, []))[1].append(part)
        return [flag for detector, part in parts.values() for flag in detector.judge(part, at)]

    def born(self, site: str, sensor: str, birth: Birth) -> None:
        """Take the limits that a birth tells."""
        for name, metric in birth.metrics.items():
            detector = self._detector(site, name)
            if detector is not None:
                detector.limits(site, sensor, name, metric.min, metric.max)

    def dump(self) -> bytes:
        """All state as bytes."""
        return msgspec.msgpack.encode([detector.dump() for detector in self._detectors.values()])

    @classmethod
    def load(cls, data: bytes, overrides: Iterable[Override] = ()) -> Judge:
        """The inverse of `dump`. Series whose parameters have changed are learned anew.

        Raises `ValueError` if the bytes are damaged or of another version.
        """
        try:
            parts = msgspec.msgpack.decode(data, type=list[bytes])
        except msgspec.DecodeError as error:
            raise ValueError(f"not a state of this detector: {error}") from error
        judge = cls(overrides)
        for part in parts:
            for params in judge._detectors:
                if Detector.made_with(part, params):
                    judge._detectors[params] = Detector.load(part, params)
        return judge

    def _detector(self, site: str, metric: str) -> Detector | None:
        key = (site, metric)
        if key not in self._of:
            rule = next(
                (r for r in self._overrides if fnmatchcase(site, r.site) and fnmatchcase(metric, r.metric)), None
            )
            params = None if rule and rule.off else rule.params() if rule else DEFAULT
            if len(self._of) > 100_000:
                self._of.clear()
            self._of[key] = None if params is None else self._detectors[params]
        return self._of[key]

    def _parts(self, reading: Reading) -> list[tuple[Detector, Reading]]:
        """The reading, its metrics dealt out to the detectors."""
        dealt: dict[int, tuple[Detector, dict[str, float]]] = {}
        for metric, value in reading.metrics.items():
            detector = self._detector(reading.site, metric)
            if detector is not None:
                dealt.setdefault(id(detector), (detector, {}))[1][metric] = value
        return [(detector, with_changes(reading, metrics=metrics)) for detector, metrics in dealt.values()]
