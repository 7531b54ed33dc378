"""What the machine must offer: one check each, with how to mend it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy import jars
from deploy.environment import PORTS
from weir.errors import SetupError
from weir.settings import Settings
from weir.versions import JAVA, PYTHON
from weir.windows import hadoop_problem

MIN_FREE_BYTES = 2 * 1024**3
PORTS_NEEDED = len(PORTS)
PACKAGES = "deploy/system-packages"


@dataclass(frozen=True)
class Check:
    """One line of `weir doctor`. `mend` says what to do and is empty when all is well."""

    name: str
    found: str
    mend: str = ""


def python() -> Check:
    found = platform.python_version()
    return Check("Python", found, "" if sys.version_info >= PYTHON else "install Python 3.11 or newer")


def java() -> Check:
    """Spark 4 and Kafka 4 need Java 17 or newer, a full runtime with `jdk.incubator.vector`."""
    mend = f"install openjdk-17-jre-headless (`sh {PACKAGES}`)"
    if shutil.which("java") is None:
        return Check("Java", "missing", mend)
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    text = done.stderr + done.stdout
    match = re.search(r'version "(\d+)', text)
    if match is None or int(match[1]) < JAVA:
        found = text.splitlines()[0] if text else "no answer"
        return Check("Java", found, f"Java 17 or newer is needed: {mend} and put it first in PATH")
    return Check("Java", match[1])


def mosquitto_path() -> str | None:
    """Debian puts it into /usr/sbin, which is not in everybody's PATH."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/local/sbin")


def mosquitto() -> Check:
    path = mosquitto_path()
    return Check("Mosquitto", path or "missing", "" if path else f"install mosquitto (`sh {PACKAGES}`)")


def disk(home: Path) -> Check:
    folder = next(one for one in [home, *home.resolve().parents] if one.exists())
    free = shutil.disk_usage(folder).free
    mend = "" if free >= MIN_FREE_BYTES else f"free at least {MIN_FREE_BYTES / 1e9:.0f} GB on the disk of {home}"
    return Check("Disk", f"{free / 1e9:.1f} GB free", mend)


def connector(config: Settings) -> Check:
    """The connector must be of exactly pyspark's version: Spark's internal classes change between any two."""
    found = jars.present(config.jars)
    if found == jars.wanted():
        return Check("Jars", f"Kafka {found['kafka']}, Spark's connector {found['connector']}")
    if not found:
        return Check("Jars", "not fetched yet", "run `make jars` or `weir up`, which fetch them")
    return Check("Jars", str(found), "run `make jars`")


def hadoop_on_windows(system: str, environ: dict[str, str]) -> Check:
    """On Windows, Spark needs Hadoop's winutils.exe."""
    if system != "Windows":
        return Check("HADOOP_HOME", "not needed here")
    return Check("HADOOP_HOME", environ.get("HADOOP_HOME") or "not set", hadoop_problem(system, environ) or "")


def port(config: Settings, name: str) -> Check:
    number = getattr(config, name)
    if port_free(config.host, number):
        return Check(name.replace("_", " "), f"{number} is free")
    mend = f"stop it or run `weir up --port-base {_free_base(config.host)}`"
    return Check(name.replace("_", " "), f"port {number} is used by another process", mend)


def _free_base(host: str) -> int:
    """The first of some port blocks in which nothing listens."""
    blocks = range(21000, 30000, 100)
    return next((base for base in blocks if all(port_free(host, base + i) for i in range(PORTS_NEEDED))), blocks[0])


def port_free(host: str, number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError:
            return False
    return True


def needed(config: Settings) -> list[Check]:
    """All checks but those of the ports."""
    return [
        python(),
        java(),
        mosquitto(),
        disk(config.home),
        connector(config),
        hadoop_on_windows(platform.system(), dict(os.environ)),
    ]


def require(checks: Iterable[Check]) -> None:
    """Raises `SetupError` with the first thing to mend."""
    for check in checks:
        if check.mend:
            raise SetupError(f"{check.name}: {check.found}: {check.mend}")
