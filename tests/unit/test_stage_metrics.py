"""What Spark's workers measure is what the driver serves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from spark_jobs import stage_metrics
from weir.errors import SetupError
from weir.settings import Settings

_WORKER = """
import time
import pytest

from spark_jobs import stage_metrics
from weir.readings import Reading
now = int(time.time() * 1000)
stage_metrics.stored([Reading("a", "s", now - 1000 * i, now, {"t": 1.0}, hist=i == 3) for i in range(4)])
"""


def test_the_driver_serves_what_its_workers_have_measured_and_nothing_of_an_earlier_run(
    tmp_path: Path, ports: Callable[[int], int]
) -> None:
    port = ports(1)
    config = Settings(home=tmp_path, spark_port=port)
    old = tmp_path / "spark" / "metrics" / "histogram_1.db"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"left behind")
    stage_metrics.serve(config)
    environment = {**os.environ, "WEIR_HOME": str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", _WORKER], check=True, env=environment)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert "weir_published_to_stored_seconds_count 6.0" in text
    assert 'weir_published_to_stored_seconds_bucket{le="0.5"} 2.0' in text
    assert "weir_spark_heartbeat_age_seconds +Inf" in text


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SetupError, match=rf"^[^\n]+127\.0\.0\.1:{port} \(Address already in use\): set WEIR_SPARK_PORT$"
        ):
            stage_metrics.serve(Settings(home=tmp_path, spark_port=port))
