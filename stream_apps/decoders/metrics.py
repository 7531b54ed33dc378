"""The counts of every decoder on /metrics, by format: one place that reads `Counts` when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from stream_apps.decoders.registry import Channel, Counts

#: metric: (what it counts, how to read it).
_COUNTS: dict[str, tuple[str, Callable[[Counts], int]]] = {
    "messages": ("MQTT messages that a decoder was given", lambda counts: counts.messages),
    "readings": ("Readings that a decoder made", lambda counts: counts.readings),
    "births": ("Births that a decoder made", lambda counts: counts.births),
    "states": ("States that a decoder made", lambda counts: counts.states),
    "requests": ("Messages sent in answer, such as Sparkplug's rebirth requests", lambda counts: counts.requests),
    "empty": ("Valid messages without a measurement", lambda counts: counts.empty),
    "stamped": ("Readings without a time of their own, given that of receipt", lambda counts: counts.stamped),
}


class DecoderMetrics(Collector):
    """`weir_decoder_<count>_total{format}` and `weir_decoder_refused_total{format,reason}`.

    Decoders of one format with different options are added up.
    """

    def __init__(self, channels: Iterable[Channel]) -> None:
        self._channels = list(channels)

    def collect(self) -> Iterator[Metric]:
        """Called by prometheus_client at every scrape."""
        for name, (about, read) in _COUNTS.items():
            totals: dict[str, int] = {}
            for channel in self._channels:
                totals[channel.name] = totals.get(channel.name, 0) + read(channel.counts)
            family = CounterMetricFamily(f"weir_decoder_{name}", about, labels=["format"])
            for format_name, count in totals.items():
                family.add_metric([format_name], count)
            yield family
        yield self._refused()

    def _refused(self) -> Metric:
        totals: dict[tuple[str, str], int] = {}
        for channel in self._channels:
            # A copy: the scrape is answered in the worker's own loop today, but need not be tomorrow.
            for reason, count in dict(channel.counts.refused).items():
                key = (channel.name, str(reason))
                totals[key] = totals.get(key, 0) + count
        family = CounterMetricFamily(
            "weir_decoder_refused", "Messages that a decoder refused: dead letters", labels=["format", "reason"]
        )
        for labels, count in totals.items():
            family.add_metric(list(labels), count)
        return family
