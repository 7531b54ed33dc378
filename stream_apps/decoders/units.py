"""Units as devices write them, as SenML codes; and what a metric's name alone says of its unit.

Codes: RFC 8428 section 12.1 and the secondary units of RFC 8798; `degF`, since neither knows Fahrenheit (F is farad).
What is not in the table is kept as it was given.
"""

from __future__ import annotations

from weir.readings import Metric

_CODES = {
    "Cel": ("°c", "c", "degc", "deg c", "celsius", "degree celsius", "degrees celsius", "℃", "cel"),
    "degF": ("°f", "degf", "deg f", "fahrenheit", "degree fahrenheit", "degrees fahrenheit", "℉"),
    "K": ("k", "kelvin"),
    "%RH": ("%rh", "% rh", "rh%", "%r.h."),
    "%EL": ("%el",),
    "hPa": ("hpa", "mbar", "millibar"),
    "Pa": ("pa", "pascal"),
    "V": ("v", "volt", "volts"),
    "A": ("a", "amp", "ampere", "amperes"),
    "W": ("w", "watt", "watts"),
    "kW": ("kw",),
    "VA": ("va",),
    "var": ("var",),
    "Wh": ("wh",),
    "kWh": ("kwh",),
    "J": ("j", "joule"),
    "Hz": ("hz", "hertz"),
    "lx": ("lx", "lux"),
    "dB": ("db",),
    "dBm": ("dbm",),
    "dBW": ("dbw",),
    "ug/m3": ("μg/m³", "μg/m3", "ug/m3", "ug/m³", "μg/m^3"),
    "ppm": ("ppm",),
    "ppb": ("ppb",),
    "m": ("m", "meter", "metre"),
    "cm": ("cm",),
    "mm": ("mm",),
    "km": ("km",),
    "m/s": ("m/s", "mps"),
    "km/h": ("km/h", "kmh", "kph"),
    "mm/h": ("mm/h",),
    "m2": ("m²", "m2"),
    "m3": ("m³", "m3"),
    "m3/s": ("m³/s", "m3/s"),
    "l": ("l", "liter", "litre"),
    "l/s": ("l/s",),
    "kg": ("kg",),
    "g": ("g",),
    "s": ("s", "sec", "second", "seconds"),
    "ms": ("ms",),
    "min": ("min",),
    "h": ("h", "hour", "hours"),
    "d": ("d",),
    "deg": ("°", "deg", "degree", "degrees"),
    "pH": ("ph",),
    "S/m": ("s/m",),
    "W/m2": ("w/m²", "w/m2"),
    "Ohm": ("ω", "ohm", "ohms"),
    "1/min": ("rpm", "1/min"),
    "bit/s": ("bit/s",),
    "B": ("byte", "bytes"),
}
#: Written in a case that means something else: milli and mega, siemens and second, grams and gauss.
_EXACT = {unit: unit for unit in ("mV", "mA", "mW", "MW", "MHz", "MB", "KiB", "S", "mS", "H", "G", "M")}
_BY_TEXT = {text: code for code, texts in _CODES.items() for text in texts}

_HUMID = ("humidity", "moisture")
_BY_NAME = {
    "temperature": "Cel",
    "dew_point": "Cel",
    "dewpoint": "Cel",
    "humidity": "%RH",
    "battery": "%EL",
    "illuminance": "lx",
    "illuminance_lux": "lx",
    "co2": "ppm",
    "pm1": "ug/m3",
    "pm10": "ug/m3",
    "pm25": "ug/m3",
    "pm2_5": "ug/m3",
    "rssi": "dBm",
    "snr": "dB",
}
_BY_CODE = {
    "Cel": "temperature",
    "K": "temperature",
    "%RH": "humidity",
    "%EL": "battery",
    "hPa": "pressure",
    "Pa": "pressure",
    "V": "voltage",
    "A": "current",
    "W": "power",
    "Wh": "energy",
    "kWh": "energy",
    "lx": "illuminance",
    "ppm": "concentration",
    "m/s": "speed",
    "m": "distance",
    "dBm": "signal",
}


def code(unit: str, metric: str = "") -> str:
    """The SenML code of a unit as a device wrote it; the unit itself (64 characters at most) where none is known.

    A bare `%` is relative humidity or a battery's charge where the metric's name says so.
    """
    text = unit.strip()
    if text in _EXACT:
        return _EXACT[text]
    if text == "%":
        if any(word in metric for word in _HUMID) and "soil" not in metric:
            return "%RH"
        return "%EL" if "battery" in metric else "%"
    # Two signs look like a micro and two like a degree; both pairs mean one thing.
    plain = text.replace("µ", "μ").replace("º", "°").casefold()
    return _BY_TEXT.get(plain, text[:64].encode(errors="replace").decode())


def guess(metric: str) -> Metric:
    """What a metric's name says of its unit: `temperature` is Cel in most formats. No unit where it says nothing."""
    return Metric(_BY_NAME.get(metric) or _BY_NAME.get(metric.rpartition("_")[2], ""))


def metric_of(unit: str) -> str:
    """A name for a value that has a unit and no name: `Cel` makes `temperature`, an unknown unit `value`."""
    return _BY_CODE.get(unit, "value")
