"""The settings file that says which topics are of which format."""

from __future__ import annotations

from pathlib import Path

import msgspec

from stream_apps.decoders.registry import Rule
from weir.errors import SetupError
from weir.settings import Settings

#: Where there is no settings file: formats that keep to topics of their own, and so cannot be taken for another.
DEFAULTS = [
    Rule("spBv1.0/#", "sparkplug"),
    Rule("homie/#", "homie"),
    Rule("homeassistant/#", "homeassistant"),
    Rule("tele/#", "tasmota"),
    Rule("zigbee2mqtt/#", "zigbee2mqtt"),
    Rule("v3/#", "the-things"),
]
_rules = msgspec.json.Decoder(list[Rule])


def rules(config: Settings) -> list[Rule]:
    """The rules of `config.devices_file`; `DEFAULTS` if there is no such file. Raises `SetupError`."""
    path = config.devices_file
    return read(path) if path.exists() else list(DEFAULTS)


def read(path: Path) -> list[Rule]:
    """The rules of a settings file. Raises `SetupError`."""
    try:
        return _rules.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no list of rules with a pattern and a format: {error}") from error
