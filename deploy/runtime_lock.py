"""What of requirements.lock a worker needs: the image leaves out the local servers and the tools of developers.

The lock says of every package by whom it is wanted (`# via`); those that `install_requires` leads to are kept, with
their hashes. Needs nothing but Python: it runs before anything is installed.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

_NAME = re.compile(r"([A-Za-z0-9._-]+)")


def canonical(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> dict[str, str]:
    """Each package's lines: its pin, its hashes, and by whom it is wanted."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.splitlines():
        if line and not line.startswith((" ", "#")):
            name = canonical(line.split("==")[0])
        if name:
            found[name] = found.get(name, "") + line + "\n"
    return found


def parents(block: str) -> set[str]:
    """By whom a package is wanted; `weir-iot` is ourselves."""
    lines = [line.strip() for line in block.splitlines() if line.lstrip().startswith("#")]
    names = [line.removeprefix("#").strip().removeprefix("via").strip() for line in lines]
    return {canonical(match[1].removeprefix("weir-iot")) for name in names if (match := _NAME.match(name))}


def runtime(lock: str, wanted: set[str]) -> str:
    """The part of `lock` that the packages `wanted` lead to."""
    all_blocks = blocks(lock)
    kept = {name for name in all_blocks if name in wanted}
    while True:
        more = {name for name, block in all_blocks.items() if name not in kept and parents(block) & kept}
        if not more:
            return "".join(block for name, block in all_blocks.items() if name in kept)
        kept |= more


def wanted(setup: Path) -> set[str]:
    """The names in `install_requires`."""
    parser = configparser.ConfigParser()
    parser.read(setup)
    lines = parser["options"]["install_requires"].split("\n")
    return {canonical(match[1]) for line in lines if (match := _NAME.match(line.strip()))}


if __name__ == "__main__":
    sys.stdout.write(runtime(Path("requirements.lock").read_text(), wanted(Path("setup.cfg"))))
