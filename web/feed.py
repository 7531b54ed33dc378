"""Redis in, changes out: one thread a process follows Redis and wakes the pages that listen."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import redis
from redis.exceptions import RedisError

from web.live import LiveState, Raw
from web.store import now_ms
from weir import keys
from weir.settings import settings

log = logging.getLogger("weir.web")

GAP_S = 0.25
WHOLE_S = 10.0
JUDGE_S = 1.0
STREAM_S = 300.0
STREAMS = 20
#: Also how long a page that was closed may still take the place of another.
BEAT_S = 5.0


class Feed:
    """The live state and who waits for it. `epoch` tells the versions of one process from those of another."""

    def __init__(self, url: str, silent_after_ms: int) -> None:
        self._redis: Any = redis.Redis.from_url(url, socket_timeout=3, socket_connect_timeout=1)
        self.state = LiveState(silent_after_ms)
        self.epoch = secrets.token_hex(4)
        self.lock = threading.RLock()
        self.read_at = 0
        self.down_since: int | None = now_ms()
        self.closing = False
        self._summed = ("", -1)
        self._sums: tuple[int | None, dict[str, int]] = (None, {})
        self._moved = threading.Condition()
        self._streams = threading.BoundedSemaphore(STREAMS)
        self._started = False

    def start(self) -> None:
        """Begin to follow Redis. Once; after gunicorn has forked."""
        with self.lock:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="feed", daemon=True).start()

    def close(self) -> None:
        """Let every stream end within a second: safe in a signal handler."""
        self.closing = True

    def received(self) -> dict[int, int]:
        """The bridge's counts: minute of arrival (ms) -> readings. Raises `RedisError`."""
        return {int(minute): int(count) for minute, count in self._redis.hgetall(keys.RECEIVED).items()}

    def follows(self, since: str) -> bool:
        """Whether `since` is a version that this feed gave out, so that the answer to it is only what came after."""
        epoch, _, number = since.partition("-")
        return epoch == self.epoch and number.isdigit()

    def changes(self, since: str) -> dict[str, Any]:
        """The body of `/api/live`. `since`: the `version` of an earlier answer, or anything else for all."""
        epoch, _, number = since.partition("-")
        with self.lock:
            known = int(number) if epoch == self.epoch and number.isdigit() else -1
            stand = (self.epoch, self.state.version)
            if self._summed != stand:  # many pages ask after each change, and counting is for all alike
                self._summed, self._sums = stand, (self.state.newest(), self.state.counts())
            newest, counts = self._sums
            return {
                "version": f"{self.epoch}-{self.state.version}",
                "whole": known < 0,
                "now": now_ms(),
                "newest": newest,
                "redis": self.down_since is None,
                "read": self.read_at,
                "counts": counts,
                "alerts": len(self.state.alerts),
                "critical": self.state.critical,
                "sensors": self.state.changes(known) if known < self.state.version else [],
            }

    def events(self) -> Iterator[str] | None:
        """Server-Sent Events, one for each change, at most one a `GAP_S`; None when too many listen already."""
        return self._stream() if self._streams.acquire(blocking=False) else None

    def _stream(self) -> Iterator[str]:
        end = time.monotonic() + STREAM_S
        sent, beat = -1, time.monotonic()
        try:
            yield "retry: 1500\n\n"
            while time.monotonic() < end and not self.closing:
                with self._moved:
                    if self.state.version == sent:
                        self._moved.wait(1.0)
                version = self.state.version
                if version != sent:
                    sent, beat = version, time.monotonic()
                    yield f"data: {version}\n\n"
                    time.sleep(GAP_S)
                elif time.monotonic() - beat > BEAT_S:
                    beat = time.monotonic()
                    yield ": still here\n\n"
        finally:
            self._streams.release()

    def _run(self) -> None:
        while not self.closing:
            try:
                self._follow()
            except (RedisError, OSError) as error:
                if self.down_since is None:
                    self.down_since = now_ms()
                    log.warning("Redis is away (%s): pages show the last values", error)
                self._wake()
                time.sleep(1)
            except Exception:
                log.exception("the feed failed and starts again")
                time.sleep(1)

    def _follow(self) -> None:
        with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(keys.CHANGES)
            self._read_whole()
            whole = judged = time.monotonic()
            while not self.closing:
                changed = _drain(channel)
                now = time.monotonic()
                if now - whole > WHOLE_S:
                    whole = judged = now
                    self._read_whole()
                elif changed or now - judged > JUDGE_S:
                    self._read(changed, judge_all=now - judged > JUDGE_S)
                    judged = now if now - judged > JUDGE_S else judged

    def _read_whole(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for key in (keys.LATEST, keys.BIRTHS, keys.STATES, keys.FLAGGED):
            pipe.hgetall(key)
        pipe.hvals(keys.LIVE_ALERTS)
        *hashes, alerts = pipe.execute()
        self._take(Raw(*({k.decode(): v for k, v in found.items()} for found in hashes)), alerts, None, whole=True)

    def _read(self, changed: list[str], judge_all: bool) -> None:
        pipe = self._redis.pipeline(transaction=False)
        pipe.hvals(keys.LIVE_ALERTS)
        for key in (keys.LATEST, keys.BIRTHS, keys.STATES, keys.FLAGGED) if changed else ():
            pipe.hmget(key, changed)
        alerts, *lists = pipe.execute()
        raw = Raw(*(dict(zip(changed, found, strict=True)) for found in lists)) if changed else Raw()
        self._take(raw, alerts, None if judge_all else changed)

    def _take(self, raw: Raw, alerts: list[bytes], judged: list[str] | None, whole: bool = False) -> None:
        with self.lock:
            before = self.state.version
            if self.state.retire(raw, whole):
                self.epoch = secrets.token_hex(4)  # every page takes all that is left anew
                before = -1
            self.state.feed(raw)
            self.state.feed_alerts(alerts)
            self.state.judge(now_ms(), judged)
            self.read_at = now_ms()
            if self.down_since is not None:
                log.info("Redis answers")
                self.down_since = None
            moved = self.state.version != before
        if moved:
            self._wake()

    def _wake(self) -> None:
        with self._moved:
            self._moved.notify_all()


def _drain(channel: Any, first_s: float = 0.5, gather_s: float = 0.05) -> list[str]:
    """The sensors named by all messages of the next `gather_s`, each once; empty if none came within `first_s`."""
    found: dict[str, None] = {}
    message = channel.get_message(timeout=first_s)
    end = time.monotonic() + gather_s
    while message is not None:
        try:
            found.update(dict.fromkeys(one for one in json.loads(message["data"]) if isinstance(one, str)))
        except (ValueError, TypeError):
            log.warning("a message on %s is not a list of names", keys.CHANGES)
        message = channel.get_message(timeout=max(0.0, end - time.monotonic()))
    return list(found)


_feed: Feed | None = None
_making = threading.Lock()


def feed() -> Feed:
    """The feed of this process, started at first use."""
    global _feed
    with _making:
        if _feed is None:
            config = settings()
            _feed = Feed(config.redis_url, config.silent_after_s * 1000)
    _feed.start()
    return _feed


def close_streams() -> None:
    """Let the streams of this process end, if there are any."""
    if _feed is not None:
        _feed.close()
