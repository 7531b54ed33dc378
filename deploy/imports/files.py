"""CSV and Parquet files as batches of rows, in order and with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv, parquet

from weir.errors import SetupError

ENDS = (".csv", ".csv.gz", ".parquet")
_BLOCK = 4 * 1024 * 1024
_ROWS = 50_000
_COUNTED = 1024 * 1024
#: Called with the text of a line that has too many or too few cells.
Torn = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """One file. `names` of its columns, `numeric` those that may hold measurements, `rows` where it is known."""

    path: Path
    names: list[str]
    numeric: list[str]
    rows: int | None
    delimiter: str

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    def batches(self, torn: Torn) -> Iterator[pa.RecordBatch]:
        """All rows; the cells of a CSV as text, an empty one as null. Raises `SetupError` for a damaged file."""
        try:
            if self.is_parquet:
                with parquet.ParquetFile(self.path) as file:
                    yield from file.iter_batches(batch_size=_ROWS)
                return
            with _reader(self.path, self.delimiter, self.names, torn) as reader:
                yield from reader
        except (pa.ArrowInvalid, OSError) as error:
            raise SetupError(f"{self.path} is damaged: {str(error)[:200]}") from error


def found(path: Path) -> list[Path]:
    """The file, or the files of a folder by name. Raises `SetupError` if there is none."""
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.is_file() and one.name.endswith(ENDS))
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise SetupError(f"{path} is no file, and no folder with files that end in {', '.join(ENDS)}")
    return files


def look(path: Path, delimiter: str = ",") -> Source:
    """Read what a file says of itself. Raises `SetupError`."""
    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
            return Source(path, schema.names, [one.name for one in schema if _number(one.type)], rows, delimiter)
        # The types are guessed from the first block, only to tell which columns may be metrics.
        with csv.open_csv(
            path, _read_options(), csv.ParseOptions(delimiter=delimiter, invalid_row_handler=_skip)
        ) as reader:
            schema = reader.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise SetupError(f"{path} cannot be read: {str(error)[:200]}") from error
    numeric = [one.name for one in schema if _number(one.type)]
    return Source(path, schema.names, numeric, _lines(path), delimiter)


def _reader(path: Path, delimiter: str, names: list[str], torn: Torn) -> Any:
    def handler(row: Any) -> str:
        torn(row.text)
        return "skip"

    convert = csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, strings_can_be_null=True, null_values=["", "null", "NULL"]
    )
    parse = csv.ParseOptions(delimiter=delimiter, invalid_row_handler=handler)
    return csv.open_csv(path, _read_options(), parse, convert)


def _read_options() -> csv.ReadOptions:
    return csv.ReadOptions(block_size=_BLOCK, use_threads=False)


def _skip(row: Any) -> str:
    return "skip"


def _number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def _lines(path: Path) -> int | None:
    """About how many rows a CSV has; None where it is compressed."""
    if path.suffix == ".gz":
        return None
    with path.open("rb") as file:
        return max(0, sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_COUNTED), b"")) - 1)
