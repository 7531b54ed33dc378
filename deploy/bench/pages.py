"""The dashboard before a large fleet, in a real browser: what is drawn when, what an update costs, what it weighs."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from deploy import access, postgres, status
from deploy.bench import pipeline
from deploy.bench.runlog import Row
from deploy.stack import SERVERS, Stack
from edge.fleet import births
from edge.profiles import PROFILES
from edge.publisher import Publisher
from edge.simulate import Sensor, make_sensors, measure
from weir.errors import SetupError
from weir.settings import Settings

RATE = 500.0
PAGES = 50
LOOK_S = 20.0
SWITCHES = 10
WORKERS = ("bridge", "detector", "alerts", "web")
_sessions: dict[str, str] = {}
# Notes when the last circle of the fleet is there and painted, and how long each update keeps the main thread.
_WATCH = """
window.weirBench = { drawn: 0, updates: [], longest: 0 };
(function look() {
  const map = window.weirMap, live = window.weirLive;
  if (map && map.shown && live && live.sensors.size >= SENSORS && map.shown.size >= SENSORS) {
    requestAnimationFrame(() => setTimeout(() => { window.weirBench.drawn = performance.now(); }, 0));
    live.listeners = live.listeners.map((listen) => (changed, whole) => {
      const begun = performance.now();
      listen(changed, whole);
      if (!whole) window.weirBench.updates.push([changed.length, performance.now() - begun]);
    });
  } else setTimeout(look, 10);
})();
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.weirBench.longest = Math.max(window.weirBench.longest, task.duration);
}).observe({ type: "longtask" });
"""


@contextmanager
def publishing(config: Settings, fleet: list[Sensor], rate: float) -> Iterator[None]:
    """The fleet announces itself and is heard: all once, then `rate` readings a second in turn."""
    publisher = Publisher(config, "weir-bench-pages", [(one.profile.site, one.name) for one in fleet])
    births(publisher, fleet)
    stop, rng = threading.Event(), np.random.default_rng(1)

    def send(one: Sensor) -> None:
        now = time.time_ns() // 1_000_000
        publisher.data(one.profile.site, one.name, {"ts": now, "metrics": measure(one, now, rng)})

    def run() -> None:
        for one in fleet:
            send(one)
        begun, sent = time.monotonic(), 0
        while not stop.wait(0.05):
            due = int((time.monotonic() - begun) * rate)
            for n in range(sent, due):
                send(fleet[n % len(fleet)])
            sent = max(sent, due)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        publisher.close()


def _get(config: Settings, path: str) -> Any:
    """The open answer of our own dashboard, as somebody who is signed in."""
    headers = {"Accept-Encoding": "gzip", **_cookies(config)}
    request = urllib.request.Request(status.url(config) + path, headers=headers)  # noqa: S310 (our own)
    return urllib.request.urlopen(request, timeout=20)  # noqa: S310 (our own)


def known(config: Settings) -> dict[str, Any]:
    """What an open page is sent first, and how it travelled: `sensors`, `gzip` (bytes), `version`."""
    with _get(config, "api/live") as answer:
        data = answer.read()
    body = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    heard = sum("t" in one for one in body["sensors"])
    return {"sensors": len(body["sensors"]), "heard": heard, "gzip": len(data), "version": body["version"]}


def _cookies(config: Settings) -> dict[str, str]:
    """The headers of somebody who is signed in: one session for all that is asked of one installation."""
    address = status.url(config)
    if address not in _sessions:
        _sessions[address] = access.session(config)
    return {"Cookie": _sessions[address]}


def _update_bytes(config: Settings, version: str) -> int:
    """Bytes of one update that follows `version`, as it travels."""
    with _get(config, f"api/live?since={version}") as answer:
        return len(answer.read())


def poll_ms(config: Settings, times: int = 50) -> float:
    """The median time of a poll in which next to nothing has changed, seen from outside (ms)."""
    version, taken = _poll(config, ""), []
    for _ in range(times):
        begun = time.monotonic()
        version = _poll(config, version)
        taken.append(1000 * (time.monotonic() - begun))
    return float(np.median(taken))


def in_browser(config: Settings, sensors: int) -> dict[str, Any]:
    """Times in ms."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SetupError("Chromium is missing: run `sh deploy/system-packages --test`")
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1360, "height": 860})
        own = status.url(config)
        page = context.new_page()
        begun = time.monotonic()
        page.goto(access.link(config, "/overview"))
        page.locator(".tile-value").first.wait_for(timeout=60_000)
        found["first useful paint"] = 1000 * (time.monotonic() - begun)
        page.locator("#warm .ag-root").wait_for(state="attached", timeout=60_000)
        found["switches"] = []
        for _ in range(SWITCHES):
            begun = time.monotonic()
            page.locator("#nav-alerts").click()
            page.locator("#alerts-table .ag-root").wait_for(timeout=60_000)
            found["switches"].append(1000 * (time.monotonic() - begun))
            page.locator("#nav-overview").click()
            page.locator(".tile-value").first.wait_for(timeout=60_000)
            page.wait_for_timeout(700)  # out of step with the refresh
        page.close()

        page = context.new_page()
        page.add_init_script(_WATCH.replace("SENSORS", str(sensors)))
        page.goto(f"{own}?cluster=off")
        while not page.evaluate("window.weirBench.drawn"):
            page.wait_for_timeout(50)
        found["map drawn"] = page.evaluate("window.weirBench.drawn")
        page.evaluate("window.weirBench.longest = 0; window.weirBench.updates = [];")
        page.wait_for_timeout(10_000)
        found["updates"] = page.evaluate("window.weirBench.updates")
        found["longest while watching"] = page.evaluate("window.weirBench.longest")
        page.evaluate("window.weirBench.longest = 0")
        page.mouse.move(600, 450)
        page.mouse.down()
        for step in range(30):
            page.mouse.move(600 + 6 * step, 450 + 3 * step)
        page.mouse.up()
        page.wait_for_timeout(500)
        found["longest while panning"] = page.evaluate("window.weirBench.longest")
        browser.close()
    return found


@dataclass
class Tally:
    """Polls of many pages."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def fail(self, error: OSError) -> None:
        """Count it by what it says."""
        self.failed[str(error)] += 1


def many_pages(config: Settings, stack: Stack, count: int, seconds: float) -> tuple[float, Tally]:
    """`count` pages are open, each of which listens or polls as live.js does: the share of a core that the web server
    takes, and what became of their polls; one fails that is not answered within 20 s."""
    stop, tally = threading.Event(), Tally()
    threads = [threading.Thread(target=_page, args=(config, stop, tally), daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(5)
    before = _cpu(stack)
    time.sleep(seconds)
    used = (_cpu(stack) - before) / seconds
    stop.set()
    for thread in threads:
        thread.join(timeout=25)
    return used, tally


def _page(config: Settings, stop: threading.Event, tally: Tally) -> None:
    """One open page: told of each change it asks what is new; one that may not listen asks each 5 s."""
    version = ""
    while not stop.is_set():
        try:
            with _get(config, "events") as stream:
                listens = stream.status == 200  # 204: there is no room for one more
                for line in stream:
                    if stop.is_set():
                        return
                    if line.startswith(b"data:"):
                        version = _counted(config, version, tally)
            while not listens and not stop.wait(5.0):
                version = _counted(config, version, tally)
        except OSError as error:
            tally.fail(error)
            stop.wait(1.0)


def _counted(config: Settings, version: str, tally: Tally) -> str:
    try:
        found = _poll(config, version)
    except OSError as error:
        tally.fail(error)
        return version
    tally.answered += 1
    return found


def _poll(config: Settings, version: str) -> str:
    with _get(config, f"api/live?since={version}") as answer:
        data = answer.read()
    body = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    return str(body["version"])


def _cpu(stack: Stack) -> float:
    """Seconds of processor time of the web server and its workers."""
    pid = next(one.pid for one in stack.supervisor.processes() if one.name == "web")
    master = psutil.Process(pid)
    times = [one.cpu_times() for one in (master, *master.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def run(sensors: int, port_base: int, say: Callable[[str], None]) -> list[Row]:
    """All of it, about three minutes, on a stack of its own without Spark."""
    rows: list[Row] = []

    def note(what: str, measured: str, reach: str = "") -> None:
        rows.append((what, measured, reach))
        say(f"{what}: {measured}")

    home = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    stack = Stack(home, port_base)
    try:
        config = stack.up(lambda _: nullcontext(), (*SERVERS, *WORKERS))
        with publishing(config, make_sensors(sensors, PROFILES, 7), RATE):
            _measure(stack, config, sensors, note)
    finally:
        stack.down()
        postgres.remove_data(home)
        shutil.rmtree(home, ignore_errors=True)
    return rows


def _measure(stack: Stack, config: Settings, sensors: int, note: Callable[..., None]) -> None:
    deadline = time.monotonic() + 120
    while (first := known(config))["heard"] < sensors:
        if time.monotonic() > deadline:
            raise SetupError(f"only {first['heard']} of {sensors} sensors were heard within two minutes")
        time.sleep(1)
    note("all sensors, gzip", f"{first['gzip'] / 1000:.0f} kB", "300 kB")
    version = known(config)["version"]
    time.sleep(1)
    note(
        f"one second of updates at {RATE:g} readings/s, gzip",
        f"{_update_bytes(config, version) / 1000:.1f} kB",
        "300 kB",
    )
    note("a poll right after another", f"{poll_ms(config):.1f} ms", "5 ms")
    seen = in_browser(config, sensors)
    note("first useful paint, overview", f"{seen['first useful paint']:.0f} ms", "1500 ms")
    switches = seen["switches"]
    told = f"p50 {np.median(switches):.0f}, worst {max(switches):.0f} ms ({len(switches)} times)"
    note("page switch, overview to alerts, once the first page has settled", told, "500 ms")
    note("map drawn, every sensor a circle", f"{seen['map drawn']:.0f} ms", "2000 ms")
    taken = [one[1] for one in seen["updates"]] or [0.0]
    changed = np.mean([one[0] for one in seen["updates"]]) if seen["updates"] else 0
    note(
        f"main thread per update (mean {changed:.0f} sensors)",
        f"p50 {np.percentile(taken, 50):.0f}, p95 {np.percentile(taken, 95):.0f}, worst {max(taken):.0f} ms", "150 ms",
    )  # fmt: skip
    note("longest task while watching", f"{seen['longest while watching']:.0f} ms", "150 ms")
    note("longest task while panning", f"{seen['longest while panning']:.0f} ms", "100 ms")
    delays = pipeline.page_delays(config, 100)
    note("publish to visible", pipeline.percentiles(delays), "p99 1000 ms")
    used, polls = many_pages(config, stack, PAGES, LOOK_S)
    told = f"{100 * used:.0f} % of a core; {polls.answered} polls answered, {polls.failed.total()} not"
    if polls.failed:
        told += f" ({polls.failed.most_common(1)[0][0]})"
    note(f"web server with {PAGES} open pages", told, "100 %, all answered")
