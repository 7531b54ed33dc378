"""`make audit`: known vulnerabilities of what requirements.lock pins (pip-audit), and a bill of materials (CycloneDX).

Run with a Python that has `pip-audit` and `cyclonedx-bom`; the Makefile makes one beside `.venv`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Where advisories are asked for, in this order, until one answers.
SERVICES = ("pypi", "osv")


@dataclass(frozen=True)
class Report:
    """What came out: packages that were looked up, those nobody could look up, and (package, advisory, fixed in)."""

    audited: int
    skipped: int
    found: tuple[tuple[str, str, str], ...]

    @property
    def code(self) -> int:
        """0: nothing found. 1: something to mend. 2: nothing was looked up, which is no good news either."""
        return 1 if self.found else 0 if self.audited else 2

    def lines(self) -> list[str]:
        if not self.audited:
            return ["no advisory service could be reached: NOTHING WAS AUDITED; run this where one can"]
        text = [f"{name}: {advisory}, fixed in {fixed}" for name, advisory, fixed in self.found]
        left = f", {self.skipped} could not be looked up" if self.skipped else ""
        return [*text, f"{self.audited} packages audited, {len(self.found)} advisories{left}"]


def parse(text: str) -> Report:
    """pip-audit's JSON. Text that is none counts as an audit of nothing."""
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError):
        packages = []
    audited = [one for one in packages if "skip_reason" not in one]
    found = [
        (f"{one['name']} {one['version']}", flaw["id"], ", ".join(flaw["fix_versions"]) or "nothing yet")
        for one in audited
        for flaw in one["vulns"]
    ]
    return Report(len(audited), len(packages) - len(audited), tuple(found))


def audit(lock: Path) -> Report:
    """Ask each service until one answers."""
    report = parse("")
    for service in SERVICES:
        command = [sys.executable, "-m", "pip_audit", "-r", str(lock), "--disable-pip", "--progress-spinner", "off"]
        done = subprocess.run([*command, "-s", service, "-f", "json"], capture_output=True, text=True, check=False)
        report = parse(done.stdout)
        if report.audited:
            break
    return report


def bill_of_materials(lock: Path, target: Path) -> None:
    """Write what requirements.lock pins, with hashes, as CycloneDX JSON."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--output-format", "JSON"]
    subprocess.run([*command, "--output-file", str(target)], check=True)


def main() -> None:
    """Entry point: exit code as `Report.code`."""
    lock, target = Path("requirements.lock"), Path("build/bom.json")
    bill_of_materials(lock, target)
    print(f"bill of materials: {target}")
    report = audit(lock)
    for line in report.lines():
        print(f"audit: {line}")
    sys.exit(report.code)


if __name__ == "__main__":
    main()
