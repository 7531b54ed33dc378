"""Forecasts of one series (pure: no clock, no I/O): history in, mean and intervals out, and an honest word on skill.

Holt-Winters, Theta, a robust ridge and two plain repetitions, weighted by their skill in a rolling-origin trial on
the newest part of the history; intervals are quantiles of the combination's errors in that trial. It yields to
repeating the last value when it does no better there. docs/forecasting.md has the method and what it measured.
"""

from weir.forecasting.core import COMBINED, MODELS, by_model, forecast
from weir.forecasting.crossing import Crossing, crossing
from weir.forecasting.grid import DAY_MS, HOUR_MS, Grid, regular
from weir.forecasting.result import Forecast, ForecastError, Skill

__all__ = [
    "COMBINED",
    "DAY_MS",
    "HOUR_MS",
    "MODELS",
    "Crossing",
    "Forecast",
    "ForecastError",
    "Grid",
    "Skill",
    "by_model",
    "crossing",
    "forecast",
    "regular",
]
