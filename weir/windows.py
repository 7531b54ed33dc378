"""What Windows lacks. Everything else of the workers is plain Python; WSL 2 needs none of this."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from weir.errors import SetupError

WSL = "or use WSL 2, where everything runs as on Linux (docs/windows.md)"


def hadoop_problem(system: str, environ: Mapping[str, str]) -> str | None:
    """What to do before Spark can write a file on Windows; None when all is well or it is no Windows."""
    if system != "Windows":
        return None
    home = environ.get("HADOOP_HOME")
    if not home:
        return f"set HADOOP_HOME to a folder with bin\\winutils.exe and bin\\hadoop.dll in it, {WSL}"
    missing = [name for name in ("winutils.exe", "hadoop.dll") if not (Path(home) / "bin" / name).exists()]
    if missing:
        return f"put {' and '.join(missing)} into {Path(home) / 'bin'}, {WSL}"
    return None


def require_hadoop() -> None:
    """Raises `SetupError` before Spark would fail with a long trace."""
    problem = hadoop_problem(platform.system(), os.environ)
    if problem:
        raise SetupError(f"Spark on Windows needs Hadoop's winutils: {problem}")


def require_posix() -> None:
    """Raises `SetupError`: Mosquitto, Kafka and Postgres are supervised on Linux and macOS only."""
    if os.name == "nt":
        raise SetupError(
            "the local stack needs Linux or macOS: use WSL 2, or run the servers elsewhere (docs/windows.md)"
        )
