"""supervisord: start it, ask it, stop it, and find what it left behind when it was killed."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil

from weir import windows
from weir.errors import SetupError


@dataclass(frozen=True)
class Process:
    """What supervisord knows of one program. `state` as supervisord names it; `uptime_s` 0 when it is not running."""

    name: str
    state: str
    pid: int
    uptime_s: int
    restarts: int


def socket_path(home: Path) -> Path:
    """In a short folder only we may enter: a Unix socket's path may have 107 bytes at most."""
    windows.require_posix()
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"weir-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o077:
        raise SetupError(f"{folder} belongs to somebody else or is open to others: remove it")
    return folder / f"{name}.sock"


class Supervisor:
    """The supervisord of one installation."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.socket = socket_path(self.home)

    @property
    def _rpc(self) -> Any:
        from supervisor.xmlrpc import SupervisorTransport  # it needs POSIX, and this module must import anywhere

        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        return ServerProxy("http://127.0.0.1", transport).supervisor

    def running(self) -> bool:
        """Does it answer?"""
        try:
            self._rpc.getState()
        except (OSError, HTTPException, Fault):
            return False
        return True

    def ended_cleanly(self) -> bool:
        """A supervisord that was told to stop removes its pid file; a killed one cannot."""
        return not (self.home / "supervisord.pid").exists()

    def launch(self, configuration: str) -> None:
        """Start supervisord in a session of its own, so that Ctrl-C reaches only us."""
        path = self.home / "supervisord.conf"
        path.write_text(configuration)
        with (self.home / "log" / "supervisord.out").open("w") as out:
            command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(path)]
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, env=_environment()
            )
        deadline = time.monotonic() + 20
        while not self.running():
            if started.poll() is not None or time.monotonic() > deadline:
                said = (self.home / "log" / "supervisord.out").read_text()[-300:]
                raise SetupError(f"supervisord did not start: {said.strip() or 'it says nothing'}")
            time.sleep(0.05)

    def start(self, name: str) -> None:
        """Start one program, without waiting."""
        try:
            self._rpc.startProcess(name, False)
        except Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise SetupError(f"{name} could not be started: {fault.faultString}") from fault

    def stop(self, name: str) -> None:
        """Stop one program and wait for it."""
        try:
            self._rpc.stopProcess(name, True)
        except Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def signal(self, name: str, number: str) -> None:
        """Send a running program a signal, such as `HUP`."""
        self._rpc.signalProcess(name, number)

    def processes(self) -> list[Process]:
        """All programs, in the order of their priority."""
        restarts = self._restarts()
        found = []
        for info in self._rpc.getAllProcessInfo():
            running = info["statename"] == "RUNNING"
            uptime = info["now"] - info["start"] if running else 0
            found.append(
                Process(info["name"], info["statename"].lower(), info["pid"], uptime, restarts.get(info["name"], 0))
            )
        return found

    def _restarts(self) -> dict[str, int]:
        """How often each program was started again since supervisord was, from its own log."""
        log = self.home / "log" / "supervisord.log"
        lines = "".join(log.read_text() for log in (log.with_suffix(".log.1"), log) if log.exists())
        since = lines[lines.rfind("supervisord started with pid") :]
        spawned = re.findall(r"spawned: '([\w-]+)' with pid", since)
        return {name: spawned.count(name) - 1 for name in set(spawned)}

    def shut_down(self) -> None:
        """Stop all programs, workers before servers, then supervisord; end what a killed one left behind."""
        if self.running():
            pid = self._rpc.getPID()
            self._rpc.shutdown()
            try:
                psutil.Process(pid).wait(timeout=90)
            except psutil.NoSuchProcess:
                pass
            except psutil.TimeoutExpired:
                psutil.Process(pid).kill()
        self.end_leftovers()

    def leftovers(self) -> list[psutil.Process]:
        """Processes of this installation, known by what supervisord put into their environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("WEIR_STACK") == str(self.home):
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def end_leftovers(self) -> None:
        """End them all, at once: politely first. SIGTERM would make Postgres wait for its clients, SIGINT does not."""
        left = self.leftovers()
        for process in left:
            _signal(partial(_ask_to_end, process))
        _, alive = psutil.wait_procs(left, timeout=15)
        for process in alive:
            _signal(process.kill)
        psutil.wait_procs(alive, timeout=10)


def _ask_to_end(process: psutil.Process) -> None:
    process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)


def _signal(send: Any) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return


def _environment() -> dict[str, str]:
    """Ours, without the secrets that may have been given as WEIR_...: children read them from `<home>/env`."""
    kept = {"WEIR_HOME", "WEIR_JARS"}
    return {name: value for name, value in os.environ.items() if not name.startswith("WEIR_") or name in kept}
