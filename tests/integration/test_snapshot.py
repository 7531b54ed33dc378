"""The fence, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_apps.latest import LiveCache
from stream_apps.snapshot import PIECE, Snapshots, pack
from tests.integration.valkey import Server
from weir import keys
from weir.readings import Reading


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


def test_a_snapshot_comes_back_with_its_offset(server: Server) -> None:
    async def body() -> None:
        snapshots = Snapshots(server.url)
        assert await snapshots.load(2) is None
        assert await snapshots.save(2, 41, b"\x00state\xff") is True
        assert await snapshots.load(2) == (41, b"\x00state\xff")
        await snapshots.forget(2)
        assert await snapshots.load(2) is None
        await snapshots.close()

    asyncio.run(body())


def test_a_large_state_is_written_in_pieces_that_leave_nothing_behind(server: Server) -> None:
    async def body() -> None:
        snapshots = Snapshots(server.url)
        state = bytes(range(256)) * 5000
        assert await asyncio.gather(snapshots.save(1, 7, state), snapshots.save(1, 7, state)) == [True, True]
        assert await snapshots.save(1, 6, state) is False
        assert await snapshots.load(1) == (7, state)
        assert server.client.llen(keys.window(1)) == 1 + -(-len(state) // PIECE)
        assert server.client.ttl(keys.window(1)) == -1
        assert server.client.keys("*") == [keys.window(1).encode()]
        await snapshots.close()

    asyncio.run(body())


def test_the_string_of_an_earlier_version_is_read_and_fences(server: Server) -> None:
    async def body() -> None:
        server.client.set(keys.window(0), pack(41, b"state"))
        snapshots = Snapshots(server.url)
        assert await snapshots.load(0) == (41, b"state")
        assert await snapshots.save(0, 40, b"old") is False
        assert await snapshots.save(0, 42, b"new") is True
        assert await snapshots.load(0) == (42, b"new")
        await snapshots.close()

    asyncio.run(body())


def test_a_worker_that_was_frozen_cannot_put_its_old_state_back(server: Server) -> None:
    async def body() -> None:
        frozen, owner = Snapshots(server.url), Snapshots(server.url)
        assert await owner.save(0, 9_999, b"owner") is True
        assert await frozen.save(0, 9_998, b"old") is False
        assert await owner.load(0) == (9_999, b"owner")
        assert await owner.save(0, 10_000, b"newer") is True
        assert frozen.fenced == 1
        await frozen.close()
        await owner.close()

    asyncio.run(body())


def test_without_redis_it_goes_on_and_counts(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        snapshots = Snapshots(server.url)
        server.stop()
        assert await snapshots.save(0, 1, b"") is None
        assert await snapshots.save(0, 2, b"") is None
        assert await snapshots.load(0, patience_s=0) is None
        assert snapshots.failures == 3
        server.start()
        assert await snapshots.save(0, 3, b"x") is True
        await snapshots.close()

    asyncio.run(body())
    assert sum("Redis is away" in record.message for record in caplog.records) == 1


def test_what_is_no_snapshot_starts_fresh(server: Server) -> None:
    async def body() -> None:
        server.client.set(keys.window(0), "rubbish")
        snapshots = Snapshots(server.url)
        assert await snapshots.load(0) is None
        await snapshots.close()

    asyncio.run(body())


async def _until_latest(server: Server, field: str, part: bytes) -> None:
    async with asyncio.timeout(10):
        while part not in (server.client.hget(keys.LATEST, field) or b""):
            await asyncio.sleep(0.02)


def test_the_last_measured_reading_stays_and_births_survive_a_restart_of_redis(server: Server) -> None:
    async def body() -> None:
        first, second = LiveCache(server.url), LiveCache(server.url)
        await first.start()
        await second.start()
        first.sensor(keys.STATES, "bern/s1", "online")
        first.readings([Reading("bern", "s1", 2000, 1, {"t": 2.0}), Reading("bern", "s1", 1000, 2, {"t": 1.0})])
        await _until_latest(server, "bern/s1", b'"ts":2000')
        second.readings([Reading("bern", "s1", 1500, 3, {"t": 1.5}), Reading("bern", "s2", 1, 3, {"t": 1.5})])
        await _until_latest(server, "bern/s2", b'"ts":1')
        assert b'"ts":2000' in server.client.hget(keys.LATEST, "bern/s1")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        first.readings([Reading("bern", "s1", 3000, 1, {"t": 3.0})])
        await _until_latest(server, "bern/s1", b'"ts":3000')
        async with asyncio.timeout(10):
            while server.client.hget(keys.STATES, "bern/s1") != b"online":
                await asyncio.sleep(0.02)
        await first.stop()
        await second.stop()

    asyncio.run(body())
