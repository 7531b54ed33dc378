"""A whole stack of real servers and workers, in its own folder and on its own ports, for one test session."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner

from deploy import postgres
from deploy.cli import cli
from deploy.jars import fetch
from deploy.stack import SERVERS, WORKERS, Stack
from tests.devices import rules
from weir.settings import Settings, settings

T = TypeVar("T")


def free_ports(count: int, start: int = 25_000) -> int:
    """The first of `count` neighbouring free ports."""
    for base in range(start, 32_000, 20):
        probes = [socket.socket() for _ in range(count)]
        try:
            for i, probe in enumerate(probes):
                probe.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise AssertionError("no free ports")


def eventually(look: Callable[[], T | None], seconds: float = 60.0) -> T:
    """Look until there is something to see, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def ports() -> Callable[[int], int]:
    """Gives the first of so many neighbouring free ports."""
    return free_ports


@pytest.fixture(scope="session")
def jars() -> None:
    """The jars are fetched, so that a command gets beyond them."""
    fetch(settings().jars)


@contextmanager
def silent(text: str) -> Iterator[None]:
    yield


@contextmanager
def running(
    prefix: str, wanted: Sequence[str], count: int = 10, first: int = 25_000, kafka: str = "", devices: str = ""
) -> Iterator[Stack]:
    """A stack of its own with `wanted` up, on `count` free ports from `first` on; gone afterwards with its data."""
    home = Path(tempfile.mkdtemp(prefix=prefix))
    if devices:
        (home / "devices.json").write_text(devices)
    one = Stack(home, free_ports(count, first), kafka)
    try:
        one.up(silent, wanted)
        yield one
    finally:
        one.down()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running("weir-test-", (*SERVERS, *WORKERS), devices=json.dumps(rules())) as one:
        yield one


@pytest.fixture(scope="session")
def config(stack: Stack) -> Settings:
    return Settings(_env_file=stack.home / "env", home=stack.home)


@pytest.fixture
def weir(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `weir ...` on the test's stack; returns (exit code, output)."""
    monkeypatch.setenv("WEIR_HOME", str(stack.home))
    settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        return done.exit_code, done.output

    yield run
    settings.cache_clear()
