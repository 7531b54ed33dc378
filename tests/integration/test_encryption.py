"""Kafka behind SASL and TLS, Postgres and Redis behind TLS: real servers, every client, what is said when refused."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg2
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from deploy import migrations
from stream_apps.snapshot import Snapshots
from tests.certificates import Authority
from tests.conftest import free_ports
from tests.integration import pg
from tests.integration.brokers import Broker, cluster_id, run_tool, until
from tests.integration.valkey import Server
from web.access.sessions import Sessions
from weir import connections, topics
from weir.errors import SetupError
from weir.settings import Settings

PASSWORD = 'quote" and \\ backslash'


def properties(config: Settings, folder: Path, authority: Authority, controller: int) -> str:
    cert, key = authority.issue("kafka")
    chain = folder / "kafka-chain.pem"
    chain.write_text(key.read_text() + cert.read_text())
    return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=SASL_SSL://127.0.0.1:{config.kafka_port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \\
  required username="admin" password="admin-secret";
ssl.keystore.type=PEM
ssl.keystore.location={chain}
ssl.truststore.type=PEM
ssl.truststore.location={authority.file}
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
"""


@pytest.fixture(scope="module")
def secured() -> Iterator[Settings]:
    """The settings of a client that Kafka lets in."""
    with tempfile.TemporaryDirectory(prefix="weir-sasl-") as name:
        folder = Path(name)
        port = free_ports(3, 28_050)
        authority = Authority(folder / "certificates")
        config = Settings(
            home=folder, kafka_port=port, kafka_security="SASL_SSL", kafka_user="weir", kafka_password=PASSWORD,
            kafka_ca=authority.file, partitions=1, detector_port=port + 2,
        )  # fmt: skip
        text = properties(config, folder, authority, port + 1)
        broker = Broker(folder / "kafka", text, cluster_id(), "SCRAM-SHA-512=[name=admin,password=admin-secret]")
        broker.start()
        try:
            admin = config.model_copy(update={"kafka_user": "admin", "kafka_password": "admin-secret"})
            until(lambda: migrations.create_topics(admin), (KafkaError, OSError))
            add_user(admin, folder)
            until(lambda: asyncio.run(produce(config)), (KafkaError,))
            yield config
        finally:
            broker.kill()


def add_user(admin: Settings, folder: Path) -> None:
    """As docs/security.md says: the password is read from a file, not from the command line."""
    file = folder / "scram.properties"
    escaped = PASSWORD.replace("\\", "\\\\")
    file.write_text(f"SCRAM-SHA-512=password={escaped}\n")
    arguments = ["--bootstrap-server", admin.kafka, "--alter", "--entity-type", "users", "--entity-name", "weir"]
    said = run_tool(
        "kafka.admin.ConfigCommand", [*arguments, "--add-config-file", str(file)], connections.java_kafka(admin), folder
    )
    assert "Completed" in said, said


async def produce(config: Settings) -> None:
    producer = AIOKafkaProducer(**connections.aiokafka(config))
    await producer.start()
    try:
        await producer.send_and_wait(topics.READINGS, b"[]", partition=0)
    finally:
        await producer.stop()


async def consume(config: Settings) -> bytes:
    consumer = AIOKafkaConsumer(topics.READINGS, **connections.aiokafka(config), auto_offset_reset="earliest")
    await consumer.start()
    try:
        return (await asyncio.wait_for(consumer.getone(), 20)).value
    finally:
        await consumer.stop()


def test_what_is_sent_with_the_settings_is_read_with_them(secured: Settings) -> None:
    assert asyncio.run(consume(secured)) == b"[]"


def test_kafkas_own_tools_and_spark_get_the_same_settings_as_java_wants_them(secured: Settings, tmp_path: Path) -> None:
    arguments = ["--bootstrap-server", secured.kafka, "--describe", "--entity-type", "topics"]
    said = run_tool("kafka.admin.ConfigCommand", arguments, connections.java_kafka(secured), tmp_path)
    assert set(topics.ALL) <= set(said.split()), said


_FAUST = """
import asyncio, sys
from stream_apps.faust_base import make_app, run
from weir import topics
from weir.settings import settings
app = make_app("secured", settings().detector_port)
@app.agent(app.topic(topics.READINGS))
async def read(stream):
    async for value in stream:
        print("read", value, flush=True)
        await app.producer.send(topics.ANOMALIES, b"k", b"v", 0, None, None)
run(app)
"""


def test_a_faust_worker_reads_and_writes_with_the_settings(secured: Settings, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "WEIR_KAFKA_PASSWORD").write_text(PASSWORD)
    names = {
        "HOME": tmp_path, "SECRETS": tmp_path / "secrets", "KAFKA_PORT": secured.kafka_port, "PARTITIONS": 1,
        "KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "weir", "KAFKA_CA": secured.kafka_ca,
        "DETECTOR_PORT": secured.detector_port,
    }  # fmt: skip
    environment = {**os.environ, **{f"WEIR_{name}": str(value) for name, value in names.items()}}
    with subprocess.Popen([sys.executable, "-c", _FAUST], env=environment, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        try:
            assert worker.stdout.readline() == b"read b'[]'\n"
        finally:
            worker.kill()


def test_spark_reads_with_the_settings(secured: Settings, tmp_path: Path) -> None:
    from spark_jobs import session

    spark = session.start(secured.model_copy(update={"spark_master": "local[1]"}), tmp_path)
    try:
        query = session.kafka(spark, secured, [topics.READINGS], 10).writeStream.format("memory").queryName("seen")
        query.trigger(availableNow=True).option(
            "checkpointLocation", str(tmp_path / "checkpoint")
        ).start().awaitTermination(60)
        assert bytes(spark.table("seen").first()["value"]) == b"[]"
    finally:
        spark.stop()


def test_wrong_credentials_are_one_clear_line(secured: Settings) -> None:
    wrong = secured.model_copy(update={"kafka_password": "wrong"})
    with pytest.raises(SetupError, match=r"^Kafka at 127\.0\.0\.1:\d+ refuses WEIR_KAFKA_USER=weir: [^\n]+$"):
        migrations.create_topics(wrong)


def test_an_authority_that_did_not_sign_kafkas_certificate_is_one_clear_line(secured: Settings, tmp_path: Path) -> None:
    other = secured.model_copy(update={"kafka_ca": Authority(tmp_path).file})
    with pytest.raises(
        SetupError, match=r"^Kafka at 127\.0\.0\.1:\d+ does not get through TLS: its certificate is refused: [^\n]+$"
    ):
        migrations.create_topics(other)


def test_a_missing_kafka_password_is_said_before_anything_is_tried(secured: Settings) -> None:
    with pytest.raises(SetupError, match="needs WEIR_KAFKA_USER and WEIR_KAFKA_PASSWORD"):
        connections.aiokafka(secured.model_copy(update={"kafka_password": ""}))


def test_postgres_is_reached_over_tls_only_when_its_certificate_is_ours(tmp_path: Path) -> None:
    """The wheel's Postgres is built without TLS: what ends it here is a proxy that speaks Postgres' own start of it."""
    authority = Authority(tmp_path / "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("postgres"))
    with pg.server() as server, socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve_tls, args=(listener, context, server.config.postgres_port), daemon=True).start()
        trusted = {"postgres_sslmode": "verify-full", "postgres_ca": authority.file}
        config = server.config.model_copy(update={**trusted, "postgres_port": listener.getsockname()[1]})
        with psycopg2.connect(config.dsn("writer")) as connection:
            assert connection.info.ssl_in_use
        connection.close()
        assert migrations.migrate(config) == 0
        strange = config.model_copy(update={"postgres_ca": Authority(tmp_path / "strange").file})
        with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
            psycopg2.connect(strange.dsn("writer"))
        plain = server.config.model_copy(update=trusted)
        with pytest.raises(psycopg2.OperationalError, match="server does not support SSL"):
            psycopg2.connect(plain.dsn("writer"))


def test_redis_is_reached_over_tls_only_when_its_certificate_is_ours(tmp_path: Path) -> None:
    """The wheel's Valkey is built without TLS as well; its clients are those of the workers and of the dashboard."""
    authority = Authority(tmp_path / "ours")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("redis"))
    server = Server(tmp_path)
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=serve_tls, args=(listener, context, server.port, False), daemon=True).start()
            config = Settings(redis_tls=True, redis_ca=authority.file, redis_port=listener.getsockname()[1])
            assert asyncio.run(snapshot(config)) == (7, b"state")
            assert Sessions(config.redis_url).take_link("no such link") is None
            strange = config.model_copy(update={"redis_ca": Authority(tmp_path / "strange").file})
            with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
                redis.Redis.from_url(strange.redis_url).ping()
            plain = config.model_copy(update={"redis_port": server.port})
            with pytest.raises((redis.ConnectionError, redis.TimeoutError)):
                redis.Redis.from_url(plain.redis_url, socket_timeout=1).ping()
    finally:
        server.stop()


async def snapshot(config: Settings) -> tuple[int, bytes] | None:
    """As the detector saves its state and finds it again."""
    snapshots = Snapshots(config.redis_url)
    try:
        assert await snapshots.save(0, 7, b"state")
        return await snapshots.load(0)
    finally:
        await snapshots.close()


def serve_tls(listener: socket.socket, context: ssl.SSLContext, port: int, asked: bool = True) -> None:
    """Pass on what comes encrypted; `asked`: after Postgres' SSLRequest, answered with S."""
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        if asked:
            client.recv(8, socket.MSG_WAITALL)
            client.sendall(b"S")
        try:
            secured = context.wrap_socket(client, server_side=True)
        except (ssl.SSLError, OSError):
            continue
        server = socket.create_connection(("127.0.0.1", port))
        for source, sink in ((secured, server), (server, secured)):
            threading.Thread(target=carry, args=(source, sink), daemon=True).start()


def carry(source: socket.socket, sink: socket.socket) -> None:
    """Until `source` ends; then the other direction ends as well."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    sink.close()


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere\.pem cannot be read \(No such file or directory\)"):
        Settings(postgres_ca=tmp_path / "nowhere.pem").dsn()
