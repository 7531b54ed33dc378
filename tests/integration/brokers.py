"""Kafka brokers of a test's own, with whatever properties it wants."""

from __future__ import annotations

import base64
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy import conf, jars
from deploy.broker import KAFKA_JVM
from weir.settings import settings

KAFKA_JARS = f"{settings().jars}/kafka/*"


def cluster_id() -> str:
    return "w" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]


class Broker:
    """One node; `properties` is its whole configuration."""

    def __init__(self, folder: Path, properties: str, cluster: str, scram: str = "") -> None:
        jars.fetch(settings().jars)
        folder.mkdir(parents=True)
        self._file = folder / "server.properties"
        self._file.write_text(properties)
        (folder / "log4j2.properties").write_text(conf.LOG4J)
        self.log = folder / "log"
        self._java = ["java", *KAFKA_JVM.split(), f"-Dlog4j2.configurationFile={folder}/log4j2.properties"]
        self._java += ["-cp", KAFKA_JARS]
        command = [*self._java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._file)]
        command += ["--add-scram", scram] if scram else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            command = [*self._java, "kafka.Kafka", str(self._file)]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def run_tool(main: str, arguments: list[str], properties: Mapping[str, str], folder: Path) -> str:
    """One of Kafka's own tools with a client's properties, as an operator would run it; what it prints."""
    file = folder / "client.properties"
    file.write_text("".join(f"{name}={value}\n".replace("\\", "\\\\") for name, value in properties.items()))
    command = ["java", "-cp", KAFKA_JARS, main, *arguments, "--command-config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def until(action: Callable[[], object], errors: tuple[type[BaseException], ...], seconds: float = 60) -> None:
    """Try again while a server starts."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
        except errors:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return
