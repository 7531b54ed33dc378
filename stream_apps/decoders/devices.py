"""The settings file that says which topics are of which format."""

from __future__ import annotations

import msgspec

from stream_apps.decoders.registry import Rule
from weir.errors import SetupError
from weir.settings import Settings

_rules = msgspec.json.Decoder(list[Rule])


def rules(config: Settings) -> list[Rule]:
    """The rules of `config.devices_file`; none if there is no such file. Raises `SetupError`."""
    path = config.devices_file
    if not path.exists():
        return []
    try:
        return _rules.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"{path} is no list of rules with a pattern and a format: {error}") from error
