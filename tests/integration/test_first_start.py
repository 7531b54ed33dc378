"""What is published before any bridge has ever run is not lost."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

from deploy import postgres
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, free_ports, silent
from tests.integration.test_two_bridges import records


def test_readings_published_before_the_first_bridge_has_connected_are_kept_for_it() -> None:
    home = Path(tempfile.mkdtemp(prefix="weir-first-"))
    stack = Stack(home, free_ports(12))
    try:
        config = stack.up(silent, SERVERS)
        publisher = Publisher(config, "weir-early", [])
        publisher.birth("early", "s1", {"lat": 46.9, "lon": 7.4})
        for seq in range(100):
            publisher.data("early", "s1", {"ts": int(time.time() * 1000), "seq": seq, "metrics": {"t": 1.0}})
        assert publisher.flush(threading.Event())
        publisher.close()
        stack.supervisor.start("bridge")
        found = records(config, 100)
        assert sorted({seq for _, _, seq in found}) == list(range(100))
        eventually(lambda: [one for one in stack.supervisor.processes() if one.name == "bridge"][0].state == "running")
    finally:
        stack.down()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)
