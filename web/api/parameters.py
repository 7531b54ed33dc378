"""The parameters of each endpoint: one definition that parses them and describes them in OpenAPI (pure)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from web.api import times
from web.api.problems import Wrong

S = TypeVar("S", bound=Struct)
MAX_PAGE = 1000
MAX_POINTS = 10_000

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z", description="A site's, sensor's or metric's name.")]
Time = Annotated[
    str,
    Meta(max_length=40, description="Ms since the epoch, RFC 3339, or how long ago: `-90s`, `-30m`, `-6h`, `-7d`."),
]
Cursor = Annotated[str, Meta(max_length=400, description="`next` of the page before; keep the other parameters.")]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Entries a page.")]
Id = Annotated[str, Meta(pattern=r"^[0-9a-zA-Z_-]{1,64}\Z", description="An alert's id.")]
Resolution = Literal["auto", "raw", "5m", "1h", "1d"]
Horizon = Literal["1h", "24h"]


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class OfSensors(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name | None = None
    sensor: Name | None = None
    kind: Name | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfSeries(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name | None = None
    sensor: Name | None = None
    metric: Name | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfLatest(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name | None = None
    sensor: Name | None = None
    kind: Name | None = None
    status: Literal["ok", "flagged", "alert", "silent"] | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfReadings(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name
    sensor: Name
    metric: Name
    since: Time = "-6h"
    until: Time | None = None
    resolution: Resolution = "auto"
    limit: Annotated[int, Meta(ge=1, le=MAX_POINTS, description="Points a page.")] = 1000
    cursor: Cursor | None = None


class OfAnomalies(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name | None = None
    sensor: Name | None = None
    metric: Name | None = None
    since: Time = "-24h"
    until: Time | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfAlerts(Struct, frozen=True, forbid_unknown_fields=True):
    site: Annotated[str, Meta(pattern=r"^(\*|[a-z0-9][a-z0-9_-]{0,63})\Z")] | None = None
    sensor: Name | None = None
    state: Literal["active", "cleared"] | None = None
    severity: Literal["critical", "warning", "info"] | None = None
    rule: Name | None = None
    acknowledged: bool | None = None
    since: Time | None = None
    until: Time | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class OfOneAlert(Struct, frozen=True, forbid_unknown_fields=True):
    id: Id


class OfForecast(Struct, frozen=True, forbid_unknown_fields=True):
    site: Name
    sensor: Name
    metric: Name
    horizon: Horizon = "1h"


class OfSkill(Struct, frozen=True, forbid_unknown_fields=True):
    horizon: Horizon = "1h"
    limit: Limit = 100
    cursor: Cursor | None = None


class OfLedger(Struct, frozen=True, forbid_unknown_fields=True):
    since: Time = "-1h"


class OfDeadLetters(Struct, frozen=True, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}\Z")] | None = None
    since: Time = "-24h"
    until: Time | None = None
    limit: Limit = 100
    cursor: Cursor | None = None


class Command(Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with an alert. `until` is for `shelve`, `text` a comment."""

    verb: Literal["acknowledge", "shelve", "comment"]
    text: Annotated[str, Meta(max_length=500)] = ""
    until: Time | None = None


_FIELD = re.compile(r"`\$\.?([a-zA-Z_]*)[^`]*`")
_UNKNOWN = re.compile(r"(?:unknown field|missing required field) `([^`]{1,60})")


def parse(kind: type[S], given: Mapping[str, list[str]]) -> S:
    """The parameters of a request, checked. Raises `Wrong` that names the first bad one."""
    values: dict[str, Any] = {}
    for name, texts in given.items():
        if len(texts) != 1:
            raise Wrong("This parameter is given more than once.", name[:60])
        if "\x00" in texts[0]:
            raise Wrong("A parameter holds no zero byte.", name[:60])
        values[name] = texts[0]
    return check(lambda: msgspec.convert(values, kind, strict=False))


def check(read: Any) -> Any:
    """What `read` gives. Raises `Wrong` with the name of the field that msgspec complains of."""
    try:
        return read()
    except msgspec.ValidationError as error:
        text = str(error)
        found = _UNKNOWN.search(text) or _FIELD.search(text)
        raise Wrong(text.split(" - at `$")[0][:300] + ".", found[1] if found else "") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Wrong(f"This is not JSON: {str(error)[:200]}.") from None


def moment(name: str, text: str | None, now: int, default: int) -> int:
    """A time of a request in ms. Raises `Wrong`."""
    if text is None:
        return default
    try:
        return times.parse(text, now)
    except ValueError as error:
        raise Wrong(f"{str(error)[:1].upper()}{str(error)[1:]}.", name) from None


def span(since: str | None, until: str | None, now: int, most_ms: int) -> tuple[int, int]:
    """[since, until] in ms. Raises `Wrong` if it is empty or longer than `most_ms`."""
    end = moment("until", until, now, now)
    start = moment("since", since, now, 0)
    if start > end:
        raise Wrong("It must not be after `until`.", "since")
    if end - start > most_ms:
        raise Wrong(f"At most {most_ms // 86_400_000} days at once.", "since")
    return start, end


def cursor(key: Any) -> str:
    """The key of a page's last entry, as text for `next`."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def uncursor(text: str | None, kind: Any) -> Any:
    """The key in a cursor, None if there is none. Raises `Wrong`: it is only what we have given out, or not at all."""
    if text is None:
        return None
    try:
        found = msgspec.json.decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True), type=kind)
    except (msgspec.DecodeError, ValueError):
        raise Wrong("This is not a `next` of such a page.", "cursor") from None
    for part in found if isinstance(found, tuple) else (found,):
        if (isinstance(part, int) and not 0 <= part <= times.MAX_MS) or (isinstance(part, str) and "\x00" in part):
            raise Wrong("This is not a `next` of such a page.", "cursor")
    return found
