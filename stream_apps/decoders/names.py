"""Names of other worlds as Weir's: `[a-z0-9][a-z0-9_-]{0,63}`."""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256

from stream_apps.decoders.memory import Bounded
from weir.errors import Reason, Refused, SetupError
from weir.readings import NAME

_OTHER = re.compile(r"[^a-z0-9_-]+")
_LEVEL = re.compile(r"\{(-?\d{1,3})\}")
_MAX = 64
#: Longer texts are folded afresh each time, so that the memory of names stays small.
_REMEMBERED_LENGTH = 128
_folded: Bounded[str, str] = Bounded(50_000)


def fold(text: str) -> str:
    """Fold any text to a name: lower case, accents off, every run of other characters to one `_`.

    What is a name already stays as it is. `_` and `-` at the ends are dropped. A name of more than 64 characters
    keeps its first 55 and gets 8 digits of a hash, so that two long names do not become one.
    Raises `Refused` (NAME) where nothing is left.

    >>> fold("Wohnzimmer Süd"), fold("PM2.5"), fold("Inputs/A")
    ('wohnzimmer_sud', 'pm2_5', 'inputs_a')
    """
    known = _folded.get(text)
    if known is None:
        known = _fold(text)
        if len(text) <= _REMEMBERED_LENGTH:
            _folded.put(text, known)
    return known


def _fold(text: str) -> str:
    if NAME.match(text) is not None:
        return text
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    name = _OTHER.sub("_", plain.lower()).strip("_-")
    if not name:
        raise Refused(Reason.NAME, f"nothing of {text[:80]!r} can be part of a name")
    if len(name) > _MAX:
        digest = sha256(text.encode(errors="surrogatepass")).hexdigest()
        name = f"{name[: _MAX - 9]}_{digest[:8]}"
    return name


def readable(text: str) -> str:
    """A name for people: at most 200 characters, and nothing that cannot be written as UTF-8."""
    return text[:200].encode(errors="replace").decode()


class TopicName:
    """A name taken from the topic: `{1}` is the second level, `{-1}` the last; other text stays as it is.

    >>> TopicName("house-{1}")(["tele", "Kitchen", "SENSOR"])
    'house-kitchen'
    """

    def __init__(self, template: str) -> None:
        if not template:
            raise SetupError("a site or sensor template is empty: give a name, or a topic level such as {1}")
        pieces = _LEVEL.split(template)
        self._texts = pieces[::2]
        self._levels = [int(level) for level in pieces[1::2]]
        if any("{" in text or "}" in text for text in self._texts):
            raise SetupError(f"{template!r}: only topic levels such as {{1}} or {{-1}} may stand in braces")

    def __call__(self, levels: list[str]) -> str:
        """The name for a topic split at `/`. Raises `Refused` (TOPIC) where the topic has no such level."""
        parts = [self._texts[0]]
        for level, text in zip(self._levels, self._texts[1:], strict=True):
            if not -len(levels) <= level < len(levels):
                raise Refused(Reason.TOPIC, f"the topic has no level {level}")
            parts += (levels[level], text)
        return fold("".join(parts))
