"""How fast the local stack starts, how late a reading is seen, what a load loses and how much memory all takes."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import msgspec
import numpy as np
import psutil
import redis

from deploy import access, status
from deploy.bench.runlog import Row
from deploy.proof import load
from deploy.stack import Stack
from edge.publisher import Publisher
from weir import keys
from weir.errors import SetupError
from weir.live import Latest
from weir.settings import Settings

SITE, SENSOR = "bench", "probe"
PROBE_EVERY_S = 0.25
MEMORY_EVERY_S = 10.0
_BIRTH = {"lat": 46.948, "lon": 7.447, "kind": "probe", "metrics": {"temperature": {"unit": "Cel"}}}
# A promise of the time (ms) at which the row shows the text, told by the browser itself: looking from outside in
# intervals would measure the intervals.
_WATCH = """([row, text]) => {
  window.weirSeen = new Promise((done) => {
    const look = () => [...document.querySelectorAll(row)].some((one) => one.textContent.includes(text));
    const observer = new MutationObserver(() => { if (look()) { observer.disconnect(); done(Date.now()); } });
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
  });
}"""
_latest = msgspec.json.Decoder(Latest)


def startup(stack: Stack, times: int) -> list[float]:
    """Seconds from `weir up` to every component being healthy, `times` over; the data are kept between."""
    taken = []
    for _ in range(times):
        stack.down()
        begun = time.monotonic()
        stack.up(lambda _: nullcontext())
        taken.append(time.monotonic() - begun)
    return taken


@dataclass
class Probe:
    """Publishes a reading four times a second and notes when Redis announces it. `delays` in seconds."""

    config: Settings
    delays: list[float] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Probe:
        for work in (self._listen, self._publish):
            thread = threading.Thread(target=work)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _publish(self) -> None:
        publisher = Publisher(self.config, "weir-bench-probe", [(SITE, SENSOR)])
        publisher.birth(SITE, SENSOR, _BIRTH)
        while not self._stop.wait(PROBE_EVERY_S):
            now = time.time_ns() // 1_000_000
            publisher.data(SITE, SENSOR, {"ts": now, "metrics": {"temperature": 20 + now % 97 / 100}})
        publisher.retire()
        publisher.close()

    def _listen(self) -> None:
        field_name = f"{SITE}/{SENSOR}"
        seen = time.time_ns() // 1_000_000  # what an earlier probe has left is none of ours
        with redis.Redis.from_url(self.config.redis_url) as client, client.pubsub() as channel:
            channel.subscribe(keys.CHANGES)
            while not self._stop.is_set():
                message = channel.get_message(ignore_subscribe_messages=True, timeout=0.2)
                if message is None or field_name.encode() not in message["data"]:
                    continue
                value: object = client.hget(keys.LATEST, field_name)
                latest = _latest.decode(value) if isinstance(value, bytes) else None
                if latest is not None and latest.ts > seen:
                    seen = latest.ts
                    self.delays.append(time.time() - latest.ts / 1000)


def page_delays(config: Settings, count: int) -> list[float]:
    """Seconds from publishing a reading to its value standing on the open map page, in Chromium.

    Browser and publisher share the machine's clock. Raises `SetupError` without a browser.
    """
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SetupError("Chromium is missing: run `sh deploy/system-packages --test`")
    publisher = Publisher(config, "weir-bench-page", [(SITE, "page")])
    publisher.birth(SITE, "page", _BIRTH)
    delays = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        # Filtered to one site, because the list beside the map shows the first 200 sensors only.
        publisher.data(SITE, "page", {"ts": time.time_ns() // 1_000_000, "metrics": {"temperature": 19.0}})
        page.goto(access.link(config, f"/?site={SITE}"))
        row = page.locator(f'[data-sensor="{SITE}/page"]').first
        row.wait_for(timeout=60_000)
        for n in range(count):
            value = round(20 + n / 100, 2)
            page.evaluate(_WATCH, [f'[data-sensor="{SITE}/page"]', f"{value:g}"])
            now = time.time_ns() // 1_000_000
            publisher.data(SITE, "page", {"ts": now, "metrics": {"temperature": value}})
            delays.append((page.evaluate("window.weirSeen") - now) / 1000)
        browser.close()
    publisher.retire()
    publisher.close()
    return delays


def memory_gib(stack: Stack) -> float:
    """Proportional memory (PSS) of every process of the stack, in GiB."""
    total = 0
    for process in stack.supervisor.leftovers():
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 2**30


@dataclass
class Memory:
    """The peak of `memory_gib`, looked at every 10 seconds."""

    stack: Stack
    peak: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Memory:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(MEMORY_EVERY_S):
            self.peak = max(self.peak, memory_gib(self.stack))


def percentiles(delays: list[float]) -> str:
    """p50 / p95 / p99 and the worst, in milliseconds."""
    if not delays:
        return "nothing was seen"
    p50, p95, p99 = np.percentile(np.array(delays) * 1000, [50, 95, 99])
    return f"p50 {p50:.0f}, p95 {p95:.0f}, p99 {p99:.0f}, worst {max(delays) * 1000:.0f} ms ({len(delays)} readings)"


def run(stack: Stack, config: Settings, rate: float, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """All of it, about `seconds` + 3 minutes. The stack is restarted twice first and goes on running."""
    rows: list[Row] = []

    def note(what: str, measured: str, reach: str = "") -> None:
        rows.append((what, measured, reach))
        say(f"{what}: {measured}")

    taken = startup(stack, 2)
    note("`weir up`, not the first", " and ".join(f"{one:.1f} s" for one in taken), "30 s")
    with Probe(config) as probe:
        time.sleep(60)
    note("publish to Redis, the default fleet", percentiles(probe.delays), "p95 500 ms")
    note("publish to the open page, the default fleet", percentiles(page_delays(config, 40)), "2000 ms")
    with Memory(stack) as memory, Probe(config) as probe:
        account = load.run(stack, config, load.make_plan(rate, seconds, 100))
    note(
        f"{rate:g} messages a second for {seconds:g} s beside the fleet",
        f"{account.published} published, {account.found.stored} stored, {account.lost} lost; the last row "
        f"{account.settled_s:.1f} s after the last PUBACK",
        "0 lost",
    )
    note("publish to Redis, under that load", percentiles(probe.delays), "p95 500 ms")
    note("memory of all processes, peak (PSS)", f"{memory.peak:.2f} GiB", "3 GiB")
    totals = status.ledger_totals(config)
    if totals is not None:
        note("ledger: missing", str(totals.missing), "0")
    return rows
