"""Readings as Apache Arrow: the same columns as in JSON, ready for pandas, Polars or DuckDB without being parsed."""

from __future__ import annotations

import io

import pyarrow as pa

from web.api.answers import Readings

MIMETYPE = "application/vnd.apache.arrow.stream"
_COLUMNS = pa.schema(
    [("ts", pa.timestamp("ms", "UTC")), ("mean", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
)


def stream(found: Readings) -> bytes:
    """One record batch in Arrow's streaming format.

    What is no column (site, sensor, metric, unit, resolution, and `next` where there is more) is the schema's metadata.
    """
    facts = {name: str(getattr(found, name)) for name in ("site", "sensor", "metric", "unit", "resolution")}
    if found.next is not None:
        facts["next"] = found.next
    schema = _COLUMNS.with_metadata(facts)
    columns = [pa.array(getattr(found, field.name), field.type) for field in schema]
    out = io.BytesIO()
    with pa.ipc.new_stream(out, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return out.getvalue()
