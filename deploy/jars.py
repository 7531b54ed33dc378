"""The pinned jars: Kafka's broker, and Spark's Kafka connector in exactly pyspark's version.

Fetched by the Ivy that ships inside pyspark, honouring the machine's own configuration:
WEIR_MAVEN_MIRROR, else ~/.ivy2/ivysettings.xml, else a mirror of ~/.m2/settings.xml, else Ivy's default.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import quoteattr, unescape

import pyspark

from weir.errors import SetupError
from weir.settings import settings
from weir.versions import CONNECTOR, KAFKA, KAFKA_WITH_ZOOKEEPER, SLF4J_BINDING, SLF4J_RELOAD4J

#: Beside the others, fetched only when somebody runs Kafka with ZooKeeper.
ZOOKEEPER_FOLDER = "kafka-zookeeper"
#: Of the connector's dependencies, what pyspark does not ship itself.
SPARK_JARS = ("spark-sql-kafka-0-10_2.13", "spark-token-provider-kafka-0-10_2.13", "kafka-clients", "commons-pool2")

_IVY = f"""<ivy-module version="2.0"><info organisation="weir" module="jars"/>
<configurations><conf name="kafka"/><conf name="spark"/></configurations>
<dependencies>
<dependency org="org.apache.kafka" name="kafka_2.13" rev="{KAFKA}" conf="kafka->default"/>
<dependency org="org.apache.logging.log4j" name="log4j-slf4j-impl" rev="{SLF4J_BINDING}" conf="kafka->default"/>
<dependency org="org.apache.spark" name="spark-sql-kafka-0-10_2.13" rev="{CONNECTOR}" conf="spark->default"/>
</dependencies></ivy-module>
"""
_IVY_ZOOKEEPER = f"""<ivy-module version="2.0"><info organisation="weir" module="zookeeper"/>
<configurations><conf name="{ZOOKEEPER_FOLDER}"/></configurations>
<dependencies>
<dependency org="org.apache.kafka" name="kafka_2.13" rev="{KAFKA_WITH_ZOOKEEPER}" conf="{ZOOKEEPER_FOLDER}->default"/>
<dependency org="org.slf4j" name="slf4j-reload4j" rev="{SLF4J_RELOAD4J}" conf="{ZOOKEEPER_FOLDER}->default"/>
</dependencies></ivy-module>
"""


def wanted() -> dict[str, str]:
    """The versions that must be there."""
    return {"kafka": KAFKA, "connector": CONNECTOR, "binding": SLF4J_BINDING}


def present(folder: Path) -> dict[str, str]:
    """The versions that are there; empty when nothing (or only a part) was fetched."""
    stamp = folder / "versions.json"
    return json.loads(stamp.read_text()) if stamp.exists() else {}


def fetch(folder: Path) -> None:
    """Fetch the jars into `folder`/{kafka,spark} unless they are there. Raises `SetupError`."""
    if present(folder) == wanted():
        return
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _retrieve(work, _IVY, ["kafka", "spark"])
        for jar in (work / "spark").iterdir():
            if not jar.name.startswith(SPARK_JARS):
                jar.unlink()
        (work / "versions.json").write_text(json.dumps(wanted()))
        if present(folder) != wanted():
            _replace(folder, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _replace(folder: Path, work: Path) -> None:
    """Put `work` in the place of `folder`; what a site fetched besides stays."""
    besides = folder / ZOOKEEPER_FOLDER
    if besides.exists():
        besides.rename(work / ZOOKEEPER_FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    work.rename(folder)


def has_zookeeper(folder: Path) -> bool:
    return (folder / ZOOKEEPER_FOLDER / f"kafka_2.13-{KAFKA_WITH_ZOOKEEPER}.jar").exists()


def fetch_zookeeper(folder: Path) -> Path:
    """Fetch Kafka 3.9 with ZooKeeper unless it is there, and return where it is. Raises `SetupError`."""
    target = folder / ZOOKEEPER_FOLDER
    if has_zookeeper(folder):
        return target
    work = folder.with_name(f"{folder.name}.zookeeper.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        _retrieve(work, _IVY_ZOOKEEPER, [ZOOKEEPER_FOLDER])
        folder.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        (work / ZOOKEEPER_FOLDER).rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def ivy_settings(user_home: Path, mirror: str | None, work: Path) -> Path:
    """The settings file for Ivy: the user's own, or one written into `work`."""
    own = user_home / ".ivy2" / "ivysettings.xml"
    if not mirror and own.exists():
        return own
    root = mirror or maven_mirror(user_home / ".m2" / "settings.xml")
    attribute = f" root={quoteattr(root)}" if root else ""
    path = work / "settings.xml"
    path.write_text(
        '<ivysettings><settings defaultResolver="maven"/><resolvers>'
        f'<ibiblio name="maven" m2compatible="true"{attribute}/></resolvers></ivysettings>'
    )
    return path


def maven_mirror(path: Path) -> str | None:
    """The address of the mirror that stands for Maven's central repository in a settings.xml, if there is one."""
    if not path.exists():
        return None
    text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
    for mirror in re.findall(r"<mirror>(.*?)</mirror>", text, flags=re.DOTALL):
        of = re.search(r"<mirrorOf>\s*(.*?)\s*</mirrorOf>", mirror, flags=re.DOTALL)
        url = re.search(r"<url>\s*(.*?)\s*</url>", mirror, flags=re.DOTALL)
        if of and url and {"*", "central", "external:*"} & {name.strip() for name in of[1].split(",")}:
            return unescape(url[1])
    return None


def _retrieve(work: Path, wanted: str, confs: list[str]) -> None:
    ivy = next(Path(pyspark.__file__).parent.glob("jars/ivy-*.jar"))
    (work / "ivy.xml").write_text(wanted)
    settings_file = ivy_settings(Path.home(), os.environ.get("WEIR_MAVEN_MIRROR"), work)
    command = ["java", "-jar", str(ivy), "-settings", str(settings_file), "-ivy", str(work / "ivy.xml")]
    command += ["-confs", *confs, "-types", "jar", "bundle"]
    command += ["-retrieve", f"{work}/[conf]/[artifact]-[revision].[ext]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not all((work / conf).exists() for conf in confs):
        log = folder_log(work)
        log.write_text(done.stdout + done.stderr)
        raise SetupError(
            "the jars of Kafka and Spark could not be fetched: check the network (or set WEIR_MAVEN_MIRROR to a Maven "
            f"mirror) and run the command again; details in {log}"
        )


def folder_log(work: Path) -> Path:
    """Where the output of a failed fetch is kept."""
    return work.parent / "jars-failed.log"


def main() -> None:
    """Fetch the jars, saying so when it takes time."""
    config = settings()
    if present(config.jars) != wanted():
        print("==> fetching the jars of Kafka and Spark (once, about 55 MB)", flush=True)
        try:
            fetch(config.jars)
        except SetupError as error:
            raise SystemExit(f"weir: {error}") from None


if __name__ == "__main__":
    main()
