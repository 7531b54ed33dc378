"""The manifests, held to Kubernetes' own API schemas, and to the settings and commands of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.unit.test_compose import load as compose
from weir.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
VERSION = "1.33"


def documents() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.name}:{one['kind']}/{one['metadata']['name']}", one)
        for path in sorted(FOLDER.glob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text())
    ]


ALL = documents()


def pods() -> list[tuple[str, dict[str, Any]]]:
    """The pod templates, Spark's executors among them."""
    found = [(name, one["spec"]["template"]["spec"]) for name, one in ALL if one["kind"] in ("Deployment", "Job")]
    executor = next(one for _, one in ALL if one["metadata"]["name"] == "weir-spark-executor")
    return [*found, ("executor", yaml.safe_load(executor["data"]["executor.yaml"])["spec"])]


@pytest.mark.parametrize(("name", "document"), ALL, ids=[name for name, _ in ALL])
def test_a_manifest_keeps_to_the_api(name: str, document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_executors_are_pods_that_keep_to_the_api() -> None:
    executor = next(one for _, one in ALL if one["metadata"]["name"] == "weir-spark-executor")
    pod = yaml.safe_load(executor["data"]["executor.yaml"])
    pod["spec"]["containers"][0]["image"] = "weir:0.1.0"  # Spark puts it in
    kubernetes_validate.validate(pod, VERSION, strict=True)


def test_the_check_would_notice_a_misspelt_field() -> None:
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_every_worker_runs_the_command_it_runs_in_compose() -> None:
    services = compose()["services"]
    for name, pod in pods():
        if name == "executor":
            continue
        [container] = pod["containers"]
        wanted = ["1" if word == "${WEIR_WEB_WORKERS:-1}" else word for word in services[container["name"]]["command"]]
        assert container["args"] == wanted, name
        assert container["image"] == services[container["name"]]["image"], name


def test_every_worker_gets_the_secrets_it_gets_in_compose() -> None:
    services = compose()["services"]
    for name, pod in pods():
        if name == "executor":
            continue
        volume = next(one for one in pod["volumes"] if one["name"] == "secrets")
        given = [item["path"] for item in volume["projected"]["sources"][0]["secret"]["items"]]
        assert given == services[pod["containers"][0]["name"]]["secrets"], name


def test_nothing_runs_as_root_or_writes_where_it_need_not() -> None:
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        # WEIR_WEB_PORT=tcp://... of a service named weir-web would be taken for a setting
        assert pod["enableServiceLinks"] is False, name
        inner = pod["containers"][0]["securityContext"]
        assert (inner["allowPrivilegeEscalation"], inner["capabilities"]) == (False, {"drop": ["ALL"]}), name
        assert name == "executor" or inner["readOnlyRootFilesystem"] is True


def test_every_setting_in_the_manifests_is_one() -> None:
    known = {f"WEIR_{name.upper()}" for name in Settings.model_fields}
    settings = next(one for _, one in ALL if one["metadata"]["name"] == "weir-settings")["data"]
    assert set(settings) <= known
    for name, pod in pods():
        names = {one["name"] for one in pod["containers"][0].get("env", []) if one["name"].startswith("WEIR_")}
        assert names <= known, name


def test_workers_wait_until_their_topics_and_tables_are_there() -> None:
    waiting = {pod["containers"][0]["name"] for _, pod in pods() if "initContainers" in pod}
    assert waiting == {"bridge", "detector", "alerts", "spark", "keeper"}


def test_no_secret_is_in_a_manifest() -> None:
    assert [name for name, one in ALL if one["kind"] == "Secret"] == []
