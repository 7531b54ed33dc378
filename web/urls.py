"""What the address says, and back (pure): a shared link shows the same view.

Whatever is wrong in an address falls back to a default and is told in `View.notices`, never raised.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from weir.readings import NAME

#: Name in the address -> length in ms.
WINDOWS: dict[str, int] = {
    "1h": 3_600_000,
    "6h": 6 * 3_600_000,
    "24h": 24 * 3_600_000,
    "3d": 3 * 86_400_000,
    "7d": 7 * 86_400_000,
    "30d": 30 * 86_400_000,
}
#: How far ahead forecasts look.
AHEAD = ("1h", "24h")
DEFAULT_AHEAD = "1h"
STATUSES = ("alert", "flagged", "ok", "silent")
DEFAULT_WINDOW = "6h"
STATUS_COLOUR = "status"
MAX_SEARCH = 80
SEVERITIES = ("critical", "warning", "info")
STATES = ("active", "cleared")
#: What becomes of sensors that are close together on the map; `auto`: clustered when there are very many.
CLUSTER = ("auto", "on", "off")
DEFAULT_CLUSTER = "auto"
#: So many sensors can be compared in one chart.
MAX_SENSORS = 6
#: A rectangle in degrees: south, west, north, east.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """The part of a view that an address carries. Empty: not chosen.

    `colour`: `status` or the name of a metric. `sensors`: those compared, "<site>/<sensor>". `box`: what was chosen by
    a rectangle on the map. `at`: the moment (ms) played back; 0: now.
    """

    site: str = ""
    sensor: str = ""
    metric: str = ""
    window: str = DEFAULT_WINDOW
    status: tuple[str, ...] = ()
    kind: str = ""
    colour: str = STATUS_COLOUR
    search: str = ""
    ahead: str = DEFAULT_AHEAD
    sensors: tuple[str, ...] = ()
    box: Box | None = None
    cluster: str = DEFAULT_CLUSTER
    at: int = 0
    severity: tuple[str, ...] = ()
    state: str = ""
    rule: str = ""
    notices: tuple[str, ...] = ()

    @property
    def window_ms(self) -> int:
        return WINDOWS[self.window]


def parse(query: Mapping[str, object]) -> View:
    """Read the parameters of an address. Unknown names are passed over, wrong values told in `notices`."""
    notices: list[str] = []

    def name(key: str, default: str = "") -> str:
        value = query.get(key)
        if value in (None, ""):
            return default
        if isinstance(value, str) and NAME.match(value):
            return value
        notices.append(f"“{str(value)[:40]}” cannot be a {key}: showing all instead.")
        return default

    def one_of(key: str, known: Collection[str], default: str) -> str:
        value = query.get(key) or default
        if value == default or value in known:
            return str(value)
        notices.append(f"“{str(value)[:40]}” is not a {key}: showing {default or 'all'}.")
        return default

    def some_of(key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        wanted = _split(query.get(key))
        if unknown := [one for one in wanted if one not in known]:
            notices.append(f"“{unknown[0][:40]}” is not a {key}: it is left out.")
        return tuple(one for one in known if one in wanted)

    sensors, told = _sensors(_split(query.get("sensors")))
    box, at = _box(query.get("box")), _moment(query.get("at"))
    if box is None and query.get("box"):
        told.append("The rectangle is not south, west, north and east in degrees: showing all.")
    if at == 0 and query.get("at"):
        told.append("The moment to play back is not a time: showing now.")
    return View(
        site=name("site"),
        sensor=name("sensor"),
        metric=name("metric"),
        window=one_of("window", WINDOWS, DEFAULT_WINDOW),
        status=some_of("status", STATUSES),
        kind=name("kind"),
        colour=name("colour", STATUS_COLOUR),
        ahead=one_of("ahead", AHEAD, DEFAULT_AHEAD),
        search=str(query.get("search") or "")[:MAX_SEARCH],
        sensors=sensors,
        box=box,
        cluster=one_of("cluster", CLUSTER, DEFAULT_CLUSTER),
        at=at,
        severity=some_of("severity", SEVERITIES),
        state=one_of("state", STATES, ""),
        rule=name("rule"),
        notices=(*notices, *told),
    )


def _split(value: object) -> list[str]:
    return [one for one in str(value or "").split(",") if one]


def _sensors(wanted: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """The first `MAX_SENSORS` well-formed "<site>/<sensor>", each once, and what was wrong."""
    good = [one for one in wanted if len(parts := one.split("/")) == 2 and all(NAME.match(part) for part in parts)]
    told = [] if len(good) == len(wanted) else ["Not every one of the sensors to compare is a site/sensor: left out."]
    different = tuple(dict.fromkeys(good))
    if len(different) > MAX_SENSORS:
        told.append(f"Only {MAX_SENSORS} sensors can be compared: the others are left out.")
    return different[:MAX_SENSORS], told


def _box(value: object) -> Box | None:
    """`46.9,7.4,47,7.5` -> four degrees, None if it is no rectangle on earth."""
    try:
        south, west, north, east = (float(one) for one in str(value or "").split(","))
    except ValueError:
        return None
    fine = -90 <= south <= north <= 90 and -180 <= west <= east <= 180
    return (south, west, north, east) if fine else None


def _moment(value: object) -> int:
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 13 else 0


def parameters(view: View) -> dict[str, str]:
    """What of `view` differs from the defaults, as the address spells it."""
    fields = {
        "site": view.site,
        "sensor": view.sensor,
        "metric": view.metric,
        "window": "" if view.window == DEFAULT_WINDOW else view.window,
        "status": ",".join(view.status),
        "kind": view.kind,
        "colour": "" if view.colour == STATUS_COLOUR else view.colour,
        "search": view.search,
        "ahead": "" if view.ahead == DEFAULT_AHEAD else view.ahead,
        "sensors": ",".join(view.sensors),
        "box": ",".join(f"{one:.5f}" for one in view.box) if view.box else "",
        "cluster": "" if view.cluster == DEFAULT_CLUSTER else view.cluster,
        "at": str(view.at) if view.at else "",
        "severity": ",".join(view.severity),
        "state": view.state,
        "rule": view.rule,
    }
    return {key: value for key, value in fields.items() if value}


def link(path: str, view: View) -> str:
    """An address that shows `view` on the page at `path`."""
    query = urlencode(parameters(view), safe=",/")
    return f"{path}?{query}" if query else path
