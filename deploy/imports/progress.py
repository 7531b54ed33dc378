"""How far each file of an import has come, on disk: an import that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from deploy.imports.columns import Mapping
from weir.errors import SetupError


class Position(msgspec.Struct):
    """Rows of a file that Kafka has, as readings or as dead letters. `done`: all of them."""

    file: str
    rows: int = 0
    readings: int = 0
    refused: int = 0
    done: bool = False


class Place:
    """Where the position of one file with one mapping is kept. A file that changes is another file."""

    def __init__(self, home: Path, file: Path, mapping: Mapping) -> None:
        stat = file.stat()
        about = f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode() + msgspec.json.encode(mapping)
        self._path = home / "imports" / f"{hashlib.sha256(about).hexdigest()[:24]}.json"
        self._file = str(file)

    def load(self) -> Position:
        """The position; the start where there is none. Raises `SetupError` where it cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Position)
        except FileNotFoundError:
            return Position(self._file)
        except (OSError, msgspec.DecodeError) as error:
            raise SetupError(f"{self._path} is damaged: remove it to import {self._file} from its start") from error

    def save(self, position: Position) -> None:
        """Keep a position; a crash leaves the old or the new one."""
        self._path.parent.mkdir(exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(position))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
