"""docs/run-log.md: one section per benchmark, with the command, the date, the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

PATH = Path(__file__).resolve().parents[2] / "docs" / "run-log.md"
_HEAD = "# Run log\n\nWhat Weir's own benchmarks measured. Each section is written by the command it names.\n"
_PACKAGES = ("faust-streaming", "pyspark", "paho-mqtt", "dash", "numpy")

#: A row of the table: what, the measured figure, and what it should be (empty: nothing was promised).
Row = tuple[str, str, str]


def machine() -> str:
    """Cores, memory, system and Python of this machine, in one line."""
    memory = psutil.virtual_memory().total / 2**30
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def versions() -> str:
    """The packages that matter to figures, with their versions, in one line."""
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def section(title: str, command: str, rows: Iterable[Row], now: datetime, notes: str = "") -> str:
    """One benchmark's section in Markdown."""
    lines = [f"## {title}", "", f"`{command}`, {now:%Y-%m-%d %H:%M} UTC, {machine()}; {versions()}.", ""]
    lines += ["| what | measured | reach |", "|---|---|---|"]
    lines += [f"| {what} | {measured} | {reach} |" for what, measured, reach in rows]
    return "\n".join(lines) + "\n" + (f"\n{notes}\n" if notes else "")


def replaced(text: str, title: str, body: str) -> str:
    """`text` with the section `title` replaced by `body`, or `body` added at the end."""
    parts = re.split(r"^(?=## )", text or _HEAD, flags=re.MULTILINE)
    others = [part.rstrip() + "\n" for part in parts if not part.startswith(f"## {title}\n")]
    return "\n".join([*others, body])


def write(title: str, command: str, rows: list[Row], notes: str = "", path: Path = PATH) -> str:
    """Write a section into the run log and return it."""
    body = section(title, command, rows, datetime.now(UTC), notes)
    old = path.read_text() if path.exists() else ""
    path.write_text(replaced(old, title, body))
    return body
