"""The dashboard behind two processes: both serve, and one that is killed is replaced while the other goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from deploy import conf
from tests.conftest import eventually, free_ports
from weir.settings import Settings


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[psutil.Process, str]]:
    """gunicorn as the local stack starts it, without any server behind it."""
    config = Settings(web_workers=2, web_port=free_ports(2, 28_290))
    environment = {**os.environ, "WEIR_HOME": str(tmp_path), "WEIR_WEB_PORT": str(config.web_port)}
    with (tmp_path / "web.log").open("w") as out:
        command = [sys.executable, "-m", "gunicorn", *conf.web_command(config)]
        started = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield psutil.Process(started.pid), f"http://127.0.0.1:{config.web_port}"
    finally:
        started.terminate()
        try:
            started.wait(15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def answer(url: str) -> int:
    """The status, or 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def children(master: psutil.Process) -> set[int]:
    return {one.pid for one in master.children() if one.status() != psutil.STATUS_ZOMBIE}


def test_two_processes_serve_and_a_killed_one_is_replaced(web: tuple[psutil.Process, str]) -> None:
    master, url = web
    eventually(lambda: answer(f"{url}/healthz") and len(children(master)) == 2, 60)
    before = children(master)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    fresh = eventually(lambda: (now := children(master)) and len(now) == 2 and now - before and now, 30)
    assert killed not in fresh
    eventually(lambda: answer(f"{url}/login.css") == 200, 30)
    assert {answer(f"{url}/healthz") for _ in range(20)} != {0}


def test_workers_end_with_their_master_so_that_the_next_one_can_have_the_port(web: tuple[psutil.Process, str]) -> None:
    master, url = web
    eventually(lambda: answer(f"{url}/healthz") and len(children(master)) == 2, 60)
    orphans = children(master)
    with held(url, 4):
        master.kill()
        master.wait(10)
        eventually(lambda: not any(psutil.pid_exists(pid) for pid in orphans), 20)


def test_clients_that_leave_their_connections_open_hold_nobody_up(web: tuple[psutil.Process, str]) -> None:
    _, url = web
    eventually(lambda: answer(f"{url}/healthz"), 60)
    with held(url, 120):  # gunicorn's own worker waits two seconds for each of them, one after the other
        assert [answer(f"{url}/login.css") for _ in range(4)] == [200] * 4


@contextmanager
def held(url: str, count: int) -> Iterator[None]:
    """So many clients have had their answer, were told that the connection is closed, and do not close theirs."""
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    clients = [socket.create_connection((host, int(port)), timeout=10) for _ in range(count)]
    try:
        for one in clients:
            one.sendall(f"GET /login.css HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        for one in clients:
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
        yield
    finally:
        for one in clients:
            one.close()
