"""What the address says, and back (pure): a shared link shows the same view.

Whatever is wrong in an address falls back to a default and is told in `View.notices`, never raised.
"""

from __future__ import annotations

from collections.abc import Mapping
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


@dataclass(frozen=True)
class View:
    """The part of a view that an address carries. Empty: not chosen. `colour`: `status` or the name of a metric."""

    site: str = ""
    sensor: str = ""
    metric: str = ""
    window: str = DEFAULT_WINDOW
    status: tuple[str, ...] = ()
    kind: str = ""
    colour: str = STATUS_COLOUR
    search: str = ""
    ahead: str = DEFAULT_AHEAD
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

    window = query.get("window") or DEFAULT_WINDOW
    if window not in WINDOWS:
        notices.append(f"“{str(window)[:40]}” is not a window: showing {DEFAULT_WINDOW}.")
        window = DEFAULT_WINDOW
    ahead = query.get("ahead") or DEFAULT_AHEAD
    if ahead not in AHEAD:
        notices.append(f"“{str(ahead)[:40]}” is no horizon: showing {DEFAULT_AHEAD}.")
        ahead = DEFAULT_AHEAD
    wanted = [one for one in str(query.get("status") or "").split(",") if one]
    unknown = [one for one in wanted if one not in STATUSES]
    if unknown:
        notices.append(f"“{unknown[0][:40]}” is not a status: it is left out.")
    return View(
        site=name("site"),
        sensor=name("sensor"),
        metric=name("metric"),
        window=str(window),
        status=tuple(one for one in STATUSES if one in wanted),
        kind=name("kind"),
        colour=name("colour", STATUS_COLOUR),
        ahead=str(ahead),
        search=str(query.get("search") or "")[:MAX_SEARCH],
        notices=tuple(notices),
    )


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
    }
    return {key: value for key, value in fields.items() if value}


def link(path: str, view: View) -> str:
    """An address that shows `view` on the page at `path`."""
    query = urlencode(parameters(view), safe=",")
    return f"{path}?{query}" if query else path
