"""What sign-in costs each request, and a log-in once; on the dashboard's own application, without servers."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from argon2 import PasswordHasher
from flask import Flask
from werkzeug.test import EnvironBuilder

from deploy import environment
from deploy.bench.runlog import Row
from weir.access import Account, Accounts, Role, Tokens, new_token

BASE = "http://127.0.0.1:8050"
PASSWORD = "only for this measurement"  # noqa: S105
NAME = "bench"


def run(count: int, say: Callable[[str], None]) -> list[Row]:
    """`count` requests of each kind: how long until it is known who asks, the cookie's reading included."""
    with tempfile.TemporaryDirectory(prefix="weir-access-") as folder:
        home = Path(folder)
        token = _prepare(home)
        os.environ["WEIR_HOME"] = folder
        environment.current(home)
        from web.app import create

        server = create().server
        client = server.test_client()
        form = re.search(r'name="csrf" value="([^"]+)"', client.get("/login", base_url=BASE).text)
        data = {"csrf": form[1] if form else "", "name": NAME, "password": PASSWORD}
        begun = time.perf_counter()
        answer = client.post("/login", data=data, base_url=BASE, headers={"Origin": BASE})
        took = time.perf_counter() - begun
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        # The first look at who signed out waits for a Redis that is not there: not what is measured.
        client.get("/api/v1/whoami", base_url=BASE)
        rows = [
            (what, _times(server, headers, count), reach)
            for what, headers, reach in (
                ("a request with a session", {"Cookie": cookie}, "100 µs"),
                ("a request with a token", {"Authorization": f"Bearer {token}"}, "100 µs"),
            )
        ]
        rows.append(("a log-in (the first also hashes a password of nobody)", f"{took * 1000:.0f} ms", ""))
    for what, measured, _ in rows:
        say(f"{what}: {measured}")
    return rows


def _prepare(home: Path) -> str:
    """An account and a token; returns the token. Ports on which nobody listens."""
    (home / "env").write_text("WEIR_WEB_SECRET=bench\nWEIR_REDIS_PORT=1\nWEIR_POSTGRES_PORT=1\nWEIR_KAFKA_PORT=1\n")
    account = Account(NAME, Role.VIEWER, PasswordHasher().hash(PASSWORD), 0)
    text, token = new_token(NAME, Role.VIEWER, 0)
    (home / "users.json").write_bytes(msgspec.json.encode(Accounts((account,))))
    (home / "tokens.json").write_bytes(msgspec.json.encode(Tokens((token,))))
    return text


def _times(server: Flask, headers: dict[str, str], count: int) -> str:
    """In CPU time: what else runs on the machine does not count."""
    (gate,) = [one for one in server.before_request_funcs[None] if one.__name__ == "gate"]
    environ = EnvironBuilder(path="/api/live", headers=list(headers.items()), base_url=BASE).get_environ()
    nobody = EnvironBuilder(path="/api/live", base_url=BASE).get_environ()
    found = []
    for _ in range(count):
        without = server.request_context(dict(nobody))
        begun = time.thread_time()
        without.push()
        plain = time.thread_time() - begun
        without.pop()
        context = server.request_context(dict(environ))
        begun = time.thread_time()
        context.push()
        refused = gate()
        found.append(max(0.0, time.thread_time() - begun - plain))
        context.pop()
        if refused is not None:
            raise RuntimeError("the gate did not know who asks")
    p50, p99 = np.percentile(np.array(found) * 1e6, [50, 99])
    return f"p50 {p50:.0f} µs, p99 {p99:.0f} µs ({count} requests, CPU)"
