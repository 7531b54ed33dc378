"""The forecast of one series (pure): mend, try, weigh, forecast, and say what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from weir.forecasting import regression
from weir.forecasting import trial as trials
from weir.forecasting.grid import DAY_MS, HOUR_MS, Grid, regular
from weir.forecasting.result import Forecast, ForecastError, Skill

COMBINED = "combined"
#: Every name that `by_model` may have.
MODELS = (COMBINED, *trials.MEMBERS, trials.LINE)
#: 24 values: two hours of 5-minute means.
LEAST = 24
MOST_STEPS_AHEAD = 1000
#: The combination must have been this much better than repeating the last value: less is within the trial's luck.
BETTER = 0.98


def forecast(
    ts: np.ndarray, values: np.ndarray, *, horizon_ms: int = HOUR_MS, step_ms: int = 300_000,
    origin_ms: int | None = None,
) -> Forecast:  # fmt: skip
    """Forecast the `horizon_ms` after the last reading, every `step_ms`.

    `ts` (n,) ms since 1970 and `values` (n,) in the series' unit: in any order, with gaps, repeats and NaN. Readings
    after `origin_ms` are not looked at. A forecast at t is of the mean over (t - step, t]; with one reading a step, of
    that reading. Raises `ForecastError` if nothing usable is left or an argument makes no sense, and nothing else.
    """
    case = _case(ts, values, horizon_ms, step_ms, origin_ms)
    if case.trial is None:
        return _repeated(case)
    share = trials.weights(case.trial)
    tried = trials.combined(case.trial.paths, share)
    own = trials.skill(tried, case.trial)
    if own is None or own.mase >= BETTER:
        notes = (*case.notes, "yields to the last value, which did no worse")
        return _made(case, trials.LAST, case.values[-1:].repeat(case.steps), notes=notes, yields=True, own=own)
    mean = trials.combined(_final(case), share)[0]
    return _made(case, COMBINED, mean, tried=tried, share=share, own=own)


def by_model(
    ts: np.ndarray, values: np.ndarray, *, horizon_ms: int = HOUR_MS, step_ms: int = 300_000,
    origin_ms: int | None = None,
) -> dict[str, Forecast]:  # fmt: skip
    """Each model's own forecast, with intervals from its own trial, for comparison; and "combined", as `forecast`.

    Without a trial there is "combined" alone. Arguments and errors as in `forecast`.
    """
    case = _case(ts, values, horizon_ms, step_ms, origin_ms)
    made = {COMBINED: forecast(ts, values, horizon_ms=horizon_ms, step_ms=step_ms, origin_ms=origin_ms)}
    if case.trial is None:
        return made
    final = _final(case)
    final[trials.LINE] = regression.line(case.values, case.period, np.array([len(case.values) - 1]), case.steps)
    for name, path in final.items():
        made[name] = _made(case, name, path[0], own=trials.skill(case.trial.paths[name], case.trial))
    return made


@dataclass(frozen=True)
class _Case:
    """A mended history and its trial. `values` are in units of `scale` around `middle`, so that no model overflows."""

    grid: Grid
    ahead: np.ndarray
    steps: int
    middle: float
    scale: float
    values: np.ndarray
    period: int
    phase: np.ndarray
    trial: trials.Trial | None
    notes: tuple[str, ...]


def _case(ts: np.ndarray, values: np.ndarray, horizon_ms: int, step_ms: int, origin_ms: int | None) -> _Case:
    if step_ms <= 0 or horizon_ms < step_ms or horizon_ms // step_ms > MOST_STEPS_AHEAD:
        raise ForecastError(f"the horizon must be 1 to {MOST_STEPS_AHEAD} steps of a millisecond or more")
    ts, values = _arrays(ts, values)
    if origin_ms is not None and ts.shape == values.shape:
        ts, values = ts[ts <= origin_ms], values[ts <= origin_ms]
    grid = regular(ts, values, step_ms)
    ahead = grid.times[-1] + step_ms * np.arange(1, horizon_ms // step_ms + 1, dtype=np.int64)
    steps = max(1, -(-horizon_ms // grid.step_ms))
    middle = float(np.median(grid.values))
    # Half of the values may be equal: then the median departure is 0 and the largest has to do.
    scale = float(np.median(np.abs(grid.values - middle))) or float(np.abs(grid.values - middle).max()) or 1.0
    scaled = (grid.values - middle) / scale
    period = max(1, round(DAY_MS / grid.step_ms))
    phase = grid.times % DAY_MS / DAY_MS
    trial, notes = _trial(grid, scaled, period, phase, steps)
    return _Case(
        grid, ahead, steps, middle, scale, scaled, period, phase, trial, (*grid.fallbacks, *notes)
    )  # fmt: skip


def _arrays(ts: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    try:
        return np.asarray(ts).astype(np.int64), np.asarray(values).astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ForecastError(f"times and values must be numbers: {error}") from error


def _trial(
    grid: Grid, scaled: np.ndarray, period: int, phase: np.ndarray, steps: int
) -> tuple[trials.Trial | None, list[str]]:  # fmt: skip
    """The trial, or None and why."""
    if np.ptp(scaled) == 0:
        return None, ["constant history: the last value is repeated"]
    if len(scaled) < LEAST:
        return None, [f"short history: {len(scaled)} of {LEAST} steps: the last value is repeated"]
    trial = trials.hold(scaled, grid.real, period, phase, steps)
    if trial is None or trials.skill(trial.paths[trials.LAST], trial) is None:
        return None, ["no trial: the last value is repeated, which was never wrong of late"]
    return trial, ["less than two days: no daily cycle"] if len(scaled) < 2 * period else []


def _final(case: _Case) -> dict[str, np.ndarray]:
    """(1, steps) of each member, fitted to everything."""
    origin = np.array([len(case.values) - 1])
    return trials.paths(case.values, case.period, case.phase, len(case.values), origin, case.steps)


def _repeated(case: _Case) -> Forecast:
    """The last value; its interval grows with the root of the time ahead, as that of a random walk does."""
    changes = np.abs(np.diff(case.values))
    quantiles = np.quantile(changes, [share / 100 for share in trials.SHARES]) if len(changes) else np.zeros(3)
    half = quantiles[:, None] * np.sqrt(np.arange(1, case.steps + 1))
    return _drawn(case, case.values[-1:].repeat(case.steps), half, model=trials.LAST, weights={trials.LAST: 1.0})


def _made(
    case: _Case, model: str, mean: np.ndarray, *, tried: np.ndarray | None = None,
    share: Mapping[str, np.ndarray] | None = None, notes: tuple[str, ...] | None = None, yields: bool = False,
    own: Skill | None = None,
) -> Forecast:  # fmt: skip
    """`mean` (steps,) with what the trial says of it; `tried` are the trial's paths where `model` has none there."""
    trial = case.trial
    if trial is None:
        raise ForecastError("a model's forecast needs a trial")
    tried = trial.paths[model] if tried is None else tried
    known = {name: found for name, path in trial.paths.items() if (found := trials.skill(path, trial)) is not None}
    weights = {name: float(part.mean()) for name, part in share.items()} if share else {model: 1.0}
    half = trials.widths(tried, trial.truth, trial.apart)
    return _drawn(
        case, mean, half, model=model, weights=weights, notes=notes, yields=yields, own=own, skill=known,
        coverage80=trials.coverage(tried, trial),
    )  # fmt: skip


def _drawn(
    case: _Case, mean: np.ndarray, half: np.ndarray, *, model: str, weights: Mapping[str, float],
    notes: tuple[str, ...] | None = None, yields: bool = False, own: Skill | None = None,
    skill: Mapping[str, Skill] | None = None, coverage80: float | None = None,
) -> Forecast:  # fmt: skip
    """`mean` (steps,) and `half` (3, steps) on the grid's step, drawn to the times asked for, in the series' unit."""
    knots = case.grid.times[-1] + case.grid.step_ms * np.arange(len(mean) + 1)
    drawn = case.middle + case.scale * np.interp(case.ahead, knots, np.concatenate([case.values[-1:], mean]))
    bounds: dict[str, np.ndarray] = {}
    for percent, width in zip(trials.SHARES, half, strict=True):
        wide = case.scale * np.interp(case.ahead, knots[1:], width)
        bounds |= {f"low{percent}": drawn - wide, f"high{percent}": drawn + wide}
    return Forecast(
        case.ahead, drawn, **bounds, model=model, weights=weights, fallbacks=case.notes if notes is None else notes,
        yields=yields, r2=own.r2 if own else None, mase=own.mase if own else None, coverage80=coverage80,
        skill=skill or {}, line_r2=regression.line_fit(case.values, case.period),
    )  # fmt: skip
