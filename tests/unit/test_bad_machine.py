"""What a machine may lack: each is one line that says what to do, and exit code 1."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import cli, machine

Usage = namedtuple("Usage", "total used free")


def weir(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(
        command,
        env={**os.environ, "WEIR_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What was said to the user, if it was one line and the exit code 1."""
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    return lines[0]


def only(folder: Path, **programs: str) -> str:
    """A PATH with nothing in it but these shell scripts."""
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_java_that_is_too_old_is_named_with_what_to_install(tmp_path: Path) -> None:
    path = only(tmp_path / "bin", java="""echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    said = one_line(weir(tmp_path / "home", "up", PATH=f"{path}:{os.environ['PATH']}"))
    assert "11.0.2" in said
    assert "openjdk-17-jre-headless" in said


def test_a_missing_java_is_named_with_what_to_install(tmp_path: Path) -> None:
    said = one_line(weir(tmp_path / "home", "up", PATH=only(tmp_path / "bin")))
    assert "Java: missing" in said
    assert "openjdk-17-jre-headless" in said


def test_a_missing_mosquitto_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "mosquitto_path", lambda: None)
    assert "mosquitto" in machine.mosquitto().mend


def test_a_busy_port_is_named_with_a_command_that_avoids_it(
    tmp_path: Path, ports: Callable[[int], int], jars: None
) -> None:
    base = ports(10)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 3))
        taken.listen()
        said = one_line(weir(tmp_path / "home", "up", "--port-base", str(base)))
    assert f"port {base + 3} is used" in said
    assert "--port-base" in said


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    assert "free at least" in machine.disk(tmp_path).mend


def test_a_disk_that_fills_later_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "log")

    monkeypatch.setattr(cli, "cli", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "No space left" in capsys.readouterr().err


def test_an_installation_that_is_not_running_is_said_to_be_so(tmp_path: Path) -> None:
    done = weir(tmp_path / "home", "status")
    assert done.returncode == 0
    assert "not running" in done.stdout


def test_a_log_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "home" / "log").mkdir(parents=True)
    (tmp_path / "home" / "log" / "kafka.log").write_text("")
    assert "there are: kafka" in one_line(weir(tmp_path / "home", "logs", "nothing"))
