"""Decoders: what devices speak on MQTT, as Weir's readings. One file per format behind one interface."""

from stream_apps.decoders.base import Decoded, Decoder, RefusedAsking
from stream_apps.decoders.registry import Channel, Counts, Registry, Rule

__all__ = ["Channel", "Counts", "Decoded", "Decoder", "RefusedAsking", "Registry", "Rule"]
