"""README's two commands as a newcomer runs them: in a fresh clone, with a new HOME."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from deploy.bench.runlog import Row
from weir.errors import SetupError

ROOT = Path(__file__).resolve().parents[2]


def run(tests: bool, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """`make up` twice, then `make test`. System packages that are there already are not fetched again."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="weir-fresh-") as folder:
        clone = Path(folder) / "weir"
        _do(["git", "clone", "--quiet", str(ROOT), str(clone)], Path(folder), Path(folder))
        up = ["make", "up", f"WEIR_UP_ARGS=--detach --port-base {port_base}"]
        try:
            for what, reach in (("first `make up`", "300 s"), ("second `make up`", "30 s")):
                seconds, _ = _do(up, clone, Path(folder))
                _do(["make", "down"], clone, Path(folder))
                rows.append((what, f"{seconds:.0f} s", reach))
                say(f"{what}: {seconds:.0f} s")
            if tests:
                seconds, output = _do(["make", "test"], clone, Path(folder))
                told = re.findall(r"^\d+ passed.*", output, flags=re.MULTILINE)
                rows.append(("`make test`", f"{seconds / 60:.1f} min: {told[-1] if told else '?'}", "15 min"))
                say(f"make test: {seconds / 60:.1f} min")
        finally:
            _do(["make", "down"], clone, Path(folder))
    return rows


def _do(command: list[str], where: Path, home: Path) -> tuple[float, str]:
    """Seconds and output of a command with a HOME of its own and nothing activated. Raises `SetupError` if it fails."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "PYTHON", "VIRTUAL_ENV"))
    }
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=where, env={**kept, "HOME": str(home)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SetupError(f"{' '.join(command)} failed: {(done.stdout + done.stderr)[-2000:]}")
    return time.monotonic() - begun, done.stdout
