"""How numbers, units and times are spelled for people (pure)."""

from __future__ import annotations

from datetime import UTC, datetime

#: SenML unit codes (RFC 8428, section 12.1) -> what people write.
SYMBOLS = {
    "Cel": "°C",
    "degF": "°F",
    "%RH": "%",
    "%EL": "%",
    "/": "",
    "hPa": "hPa",
    "Pa": "Pa",
    "m/s": "m/s",
    "lx": "lx",
    "V": "V",
    "dB": "dB",
    "W": "W",
    "mm": "mm",
}


def symbol(unit: str) -> str:
    """`Cel` -> `°C`; an unknown code stands for itself."""
    return SYMBOLS.get(unit, unit)


def number(value: float | None) -> str:
    """Four significant digits at most, without an exponent for everyday sizes; `–` for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def measure(value: float | None, unit: str) -> str:
    """A number with its unit."""
    sign = symbol(unit)
    return f"{number(value)} {sign}".strip() if value is not None else "–"


def age(ms: float | None) -> str:
    """How long ago: `now`, `14 s`, `3 min`, `5 h`, `2 d`."""
    if ms is None:
        return "never"
    seconds = max(0.0, ms) / 1000
    if seconds < 1:
        return "now"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def utc(ms: int) -> str:
    """`2026-11-23 20:14:05 UTC`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def pretty(metric: str) -> str:
    """`wind_speed` -> `Wind speed`."""
    return metric.replace("_", " ").replace("-", " ").capitalize()


def local(ms: int, offset: int) -> str:
    """`23 Nov 21:14:05` on a clock `offset` minutes ahead of UTC."""
    return datetime.fromtimestamp(ms / 1000 + offset * 60, UTC).strftime("%-d %b %H:%M:%S")
