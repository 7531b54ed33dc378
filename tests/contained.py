"""Runs a service of the compose file without an engine: its command, environment, secrets and volumes, in a mount
namespace whose root is read-only, as a user without capabilities. Root's to do, on Linux."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy import environment
from weir.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
POSSIBLE = hasattr(os, "geteuid") and os.geteuid() == 0 and bool(shutil.which("unshare") and shutil.which("setpriv"))
#: Nobody who has a name on any machine; the image gives it one.
UID = 42_042
_LIMITED = f"setpriv --reuid {UID} --regid {UID} --clear-groups --no-new-privs --bounding-set -all --inh-caps -all"
_DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


def image_environment() -> dict[str, str]:
    """What `ENV` of the Dockerfile sets, but for where things are in the image."""
    (text,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", _DOCKERFILE, re.MULTILINE)
    found = dict(pair.split("=", 1) for pair in text.replace("\\\n", " ").split())
    return found | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "WEIR_JARS": str(ROOT / ".jars")}


class Container:
    """A running service. `volumes` is a folder with one for each of compose's."""

    def __init__(
        self, name: str, service: Mapping[str, Any], here: Settings, volumes: Path, *, named: bool = True
    ) -> None:  # fmt: skip
        self.name = name
        self._service = service
        self._here = here
        self._ports = {str(Settings.model_fields[one].default): str(getattr(here, one)) for one in environment.PORTS}
        self.log = volumes / f"{name}.log"
        script = volumes / f"{name}.sh"
        script.write_text(self._script(volumes, named))
        with self.log.open("w") as out:
            self.process = subprocess.Popen(["unshare", "--mount", "bash", str(script)], stdout=out, stderr=out)

    def check(self) -> bool:
        """The service's own health check, from inside."""
        kind, *test = self._service["healthcheck"]["test"]
        return self._inside(*map(self._moved, ["sh", "-c", *test] if kind == "CMD-SHELL" else test))

    def may_write(self, folder: str) -> bool:
        """Whether the service can make a file there."""
        return self._inside("touch", f"{folder}/written")

    def _inside(self, *command: str) -> bool:
        into = ["nsenter", "-t", str(self.process.pid), "--mount", *_LIMITED.split(), "env", "-i", *self._pairs()]
        return subprocess.run([*into, *command], capture_output=True, check=False, timeout=30).returncode == 0

    def status(self) -> dict[str, str]:
        """`/proc/PID/status` of the worker."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _moved(self, text: str) -> str:
        """Ports of the compose file become this installation's, and nothing is published."""
        text = text.replace("${WEIR_WEB_WORKERS:-1}", "1").replace("0.0.0.0", "127.0.0.1")
        return re.sub(r"\b\d{4,5}\b", lambda found: self._ports.get(found[0], found[0]), text)

    def _pairs(self) -> list[str]:
        here = self._here
        theirs = {name: str(value) for name, value in self._service["environment"].items()}
        hosts = {name: "127.0.0.1" for name in theirs if name.endswith("_HOST")}
        ports = {f"WEIR_{one.upper()}": str(getattr(here, one)) for one in environment.PORTS}
        return [f"{k}={v}" for k, v in (image_environment() | theirs | hosts | ports
                                        | {"WEIR_KAFKA_SERVERS": here.kafka}).items()]  # fmt: skip

    def _script(self, volumes: Path, named: bool) -> str:
        module, *arguments = map(self._moved, self._service["command"])
        known = f"echo 'weir:x:{UID}:{UID}::/nonexistent:/usr/sbin/nologin' >>/mnt/etc/passwd" if named else ""
        lines = [
            "set -e",
            "mount --make-rprivate /",
            "mount -t tmpfs -o mode=755 tmpfs /mnt",
            "mkdir /mnt/code /mnt/python /mnt/secrets",
            f"mount --rbind {ROOT} /mnt/code",
            f"mount --rbind {sys.base_prefix} /mnt/python",
            f"cp -a /etc /mnt/etc; mkdir -p /mnt/etc/weir; {known}",
            *(f"cp {volumes}/secrets/{one} /mnt/secrets/" for one in self._service["secrets"]),
            f"chown -R {UID}:{UID} /mnt/secrets; chmod 500 /mnt/secrets; chmod 400 /mnt/secrets/*",
            *(
                f"mkdir -p /mnt/volumes/{one}; mount --bind {volumes}/{one} /mnt/volumes/{one}"
                for one in ("spark", "web")
            ),
            *_shown(ROOT, "/mnt/code"),
            *_shown(Path(sys.base_prefix), "/mnt/python"),
            "mount --bind /mnt/etc /etc",
            "mount -t tmpfs -o mode=755 tmpfs /var; mkdir -p /var/weir/home /var/tmp",
            "mount -t tmpfs -o mode=755 tmpfs /run; mkdir /run/secrets; mount --bind /mnt/secrets /run/secrets",
            *(f"mount -t tmpfs -o mode=1777 tmpfs {one.split(':')[0]}" for one in self._service["tmpfs"]),
            *(line for one in self._service.get("volumes", ()) for line in _mounted(one)),
            "mount -o remount,bind,ro /",
            "for one in /mnt /etc /var /run; do mount -o remount,bind,ro $one; done",
            "cd /var/weir",
            f"exec {_LIMITED} env -i {shlex.join(self._pairs())} python -m {shlex.join([module, *arguments])}",
        ]  # fmt: skip
        return "\n".join(line for line in lines if line) + "\n"


def _shown(path: Path, kept: str) -> list[str]:
    """Commands that make `path`, kept elsewhere, readable though a folder above it is private."""
    private = [one for one in reversed(path.parents) if not one.stat().st_mode & 0o001]
    if not private:
        return []
    return [
        f"mountpoint -q {private[0]} || mount -t tmpfs -o mode=755 tmpfs {private[0]}",
        f"mkdir -p {path}; mount --rbind {kept} {path}",
    ]


def _mounted(volume: str) -> list[str]:
    """Commands that mount one of compose's own volumes; files of the installation (`${WEIR_ETC...}`) there are none."""
    source, target, *options = re.sub(r"\$\{[^}]*\}", "etc", volume).split(":")
    if source == "etc":
        return []
    commands = [f"mkdir -p {target}", f"mount --bind /mnt/volumes/{source} {target}"]
    return [*commands, f"mount -o remount,bind,ro {target}"] if options == ["ro"] else commands
