"""Every worker as its container runs it: read-only, as nobody, without capabilities. Docker itself is not needed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from deploy import environment, status
from deploy.stack import SERVERS, Stack
from edge.publisher import Publisher
from tests.conftest import eventually, running
from tests.contained import POSSIBLE, ROOT, UID, Container
from weir.ledger import totals
from weir.settings import Settings

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="needs root, unshare and setpriv")
WORKERS = ("bridge", "detector", "alerts", "spark", "keeper", "web")
READINGS = 100
PLACES = ("/", "/etc", "/etc/weir", "/run/secrets", "/tmp", "/var/weir", str(ROOT))


@pytest.fixture(scope="module")
def servers() -> Iterator[Stack]:
    with running("weir-contained-", SERVERS, 10, 28_700) as one:
        yield one


@pytest.fixture(scope="module")
def config(servers: Stack) -> Settings:
    return Settings(_env_file=servers.home / "env", home=servers.home)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yml").read_text())["services"]
    return found


@pytest.fixture
def volumes(servers: Stack) -> Iterator[Path]:
    """One folder for each, given to the containers' user as `configure` does, and the secrets."""
    folder = Path(tempfile.mkdtemp(prefix="weir-volumes-", dir=servers.home.parent))
    for name in ("spark", "web"):
        (folder / name).mkdir()
        os.chown(folder / name, UID, UID)
    (folder / "web" / "spark").mkdir()  # Docker makes a mount point that is not there
    (folder / "secrets").mkdir(mode=0o700)
    values = environment.read(servers.home / "env")
    for name in environment.SECRETS:
        (folder / "secrets" / name).write_text(values[name] + "\n")
    yield folder
    shutil.rmtree(folder)


def test_all_workers_run_as_nobody_on_a_read_only_disk_and_readings_arrive(
    config: Settings, services: dict[str, Any], volumes: Path
) -> None:
    running: list[Container] = []
    try:
        for name in WORKERS:
            running.append(Container(name, services[name], config, volumes))
        for one in running:
            eventually(lambda one=one: one.process.poll() is not None or one.check(), 120)
            assert one.process.poll() is None, f"{one.name}: {one.log.read_text()[-1500:]}"
            found = one.status()
            assert set(found["Uid"].split()) == {str(UID)}, one.name
            assert {int(found[kind], 16) for kind in ("CapEff", "CapPrm", "CapBnd")} == {0}, one.name
            assert found["NoNewPrivs"] == "1", one.name
            assert [place for place in PLACES if one.may_write(place)] == ["/tmp"], one.name
        publisher = Publisher(config, "weir-contained", [])
        start = int(time.time() * 1000) - READINGS * 1000
        for seq in range(READINGS):
            publisher.data("bern", "c-1", {"ts": start + seq * 1000, "seq": seq, "metrics": {"t": float(seq)}})
        publisher.close()

        def balanced() -> bool:
            found = totals(status.ledger(config), int(time.time() * 1000))
            return found.received == READINGS == found.stored and not found.missing

        eventually(balanced, 60)
    finally:
        for one in running:
            one.stop()
    with psycopg2.connect(config.dsn("reader")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM all_readings")
        assert cursor.fetchone() == (READINGS,)
    assert [path.name for path in (volumes / "web").iterdir()] == ["spark"], "what the dashboard keeps are accounts"


def test_spark_says_in_one_line_that_its_user_has_no_name(
    config: Settings, services: dict[str, Any], volumes: Path
) -> None:
    one = Container("spark", services["spark"], config, volumes, named=False)
    assert one.process.wait(60) == 1
    said = [line for line in one.log.read_text().splitlines() if "Spark needs a name" in line]
    assert said == [
        f"spark: Spark needs a name for its user, and uid {UID} has none: a line in /etc/passwd, "
        f"which an image gets by `docker build --build-arg WEIR_UID={UID}`"
    ]


def test_a_container_gets_the_secrets_of_its_service_and_no_other(
    config: Settings, services: dict[str, Any], volumes: Path
) -> None:
    lacking = {**services["alerts"], "secrets": ["WEIR_REDIS_PASSWORD"]}
    one = Container("alerts", lacking, config, volumes)
    assert one.process.wait(60) == 1
    assert "the secret WEIR_POSTGRES_PASSWORD is missing" in one.log.read_text()
