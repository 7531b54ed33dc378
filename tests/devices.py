"""The examples of docs/devices.md, as tests run them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import msgspec

DOCUMENT = (Path(__file__).parents[1] / "docs" / "devices.md").read_text()
EXAMPLE = re.compile(r"^## (?P<title>[^\n]+)\n(?:(?!^## ).)*?```json\n(?P<rules>.*?)```\n```sh\n(?P<sh>.*?)```\n"
                     r"```text\n(?P<made>.*?)```", re.MULTILINE | re.DOTALL)  # fmt: skip
EXAMPLES = [match.groupdict() for match in EXAMPLE.finditer(DOCUMENT)]
PUBLISHER = """#!/bin/sh
n=$(ls | grep -c topic)
while [ $# -gt 0 ]; do
  case $1 in
    -t) printf %s "$2" > "$n.topic"; shift ;;
    -m) printf %s "$2" > "$n.payload"; shift ;;
    -s) cat > "$n.payload" ;;
  esac
  shift
done
"""


def published(script: str, folder: Path) -> list[tuple[str, bytes]]:
    """What an example publishes: it is run by the shell, with a `mosquitto_pub` that writes files."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "mosquitto_pub").write_text(PUBLISHER)
    (tools / "mosquitto_pub").chmod(0o755)
    out = folder / "out"
    out.mkdir()
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    subprocess.run(["sh", "-e"], input=script.encode(), cwd=out, env=env, check=True)
    count = len(list(out.glob("*.topic")))
    return [((out / f"{n}.topic").read_text(), (out / f"{n}.payload").read_bytes()) for n in range(count)]


def rules() -> list[dict[str, object]]:
    """The rules of all examples."""
    return [rule for example in EXAMPLES for rule in msgspec.json.decode(example["rules"])]


def said(example: dict[str, str]) -> list[tuple[str, str, float]]:
    """What an example says that it makes: ("site/sensor", metric, value)."""
    lines = [line.split() for line in example["made"].splitlines()]
    return [(where, name, float(value)) for where, name, value in lines]
