"""Units, run-book and log format say what the code does."""

from __future__ import annotations

import configparser
import io
import json
import logging
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from deploy import conf, storage
from deploy.stack import WORKERS
from deploy.storage import Kept
from weir import logs
from weir.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "deploy" / "systemd"


def unit(name: str) -> configparser.RawConfigParser:
    class Repeated(dict):  # type: ignore[type-arg]
        """systemd takes a name several times: the values are joined."""

        def __setitem__(self, key: str, value: object) -> None:
            if key in self and isinstance(value, list):
                self[key].extend(value)
            else:
                super().__setitem__(key, value)

    parser = configparser.RawConfigParser(strict=False, dict_type=Repeated, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name)
    return parser


def test_every_worker_has_a_unit_that_starts_it_as_the_local_stack_does() -> None:
    for worker in WORKERS:
        command = unit(f"weir-{worker}.service")["Service"]["ExecStart"].split()
        assert command[0] == "/opt/weir/.venv/bin/python"
        if worker == "web":
            assert command[1:] == ["-m", "gunicorn", *conf.web_command(Settings())]
        else:
            module = command[2]
            assert (ROOT / (module.replace(".", "/") + ".py")).exists()


def test_a_unit_restarts_what_dies_and_may_write_its_own_folder_alone() -> None:
    for worker in WORKERS:
        service = unit(f"weir-{worker}.service")["Service"]
        assert (service["Restart"], service["ProtectSystem"], service["UMask"]) == ("always", "strict", "0077")
        assert not re.search(r"PASSWORD=", (UNITS / f"weir-{worker}.service").read_text())
        assert f"weir-{worker}.service" in (UNITS / "weir.target").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_itself_finds_nothing_wrong() -> None:
    files = [str(path) for path in UNITS.iterdir()]
    done = subprocess.run(["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "Unknown" in line or "Invalid" in line]
    assert ours == []


def test_the_run_book_has_a_cause_and_a_cure_for_every_alert() -> None:
    book = (ROOT / "docs" / "operations.md").read_text()
    rules = yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    for name in names:
        section = book.split(f"### {name}\n")[1].split("\n###")[0]
        assert "*Cause*:" in section, name
        assert "*Cure*:" in section, name


def test_a_json_log_line_is_one_object_whatever_is_logged() -> None:
    handler = logs.formatter(Settings(log_format="json"))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("weir.x", logging.ERROR, "f", 1, 'a "%s"\n', ("b",), sys.exc_info())
    line = handler.format(record)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("ERROR", "weir.x", 'a "b"\n')
    assert found["time"].endswith("+00:00")
    assert "ValueError: two\nlines" in found["exception"]


def test_a_text_log_line_is_as_it_always_was() -> None:
    record = logging.LogRecord("weir.x", logging.INFO, "f", 1, "hello", (), None)
    assert logs.formatter(Settings()).format(record).endswith(" INFO weir.x: hello")


def test_what_is_kept_is_shown_whole_in_a_terminal_of_80_columns() -> None:
    tables = [
        Kept("readings_chunks", 99_999_999_999, 10**12, 1200, day(2020), 0, "p", day(2030)),
        Kept("readings_1d", 3, 65_536, 1, None, 7, None, None),
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(storage.table_of(tables))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(
        one in said for one in ("readings_chunks", "99,999,999,999", "1200", "2020-01-01", "2030-01-01", "never")
    )
    assert "21,845.3" not in said, "what few rows take on average says nothing"


def day(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)
