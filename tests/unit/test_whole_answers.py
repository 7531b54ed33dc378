"""The first answer to a page: all sensors, packed once for many pages."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from web import routes
from web.feed import Feed
from web.kept import Kept
from web.live import Raw


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Feed:
    """A feed of a large fleet that follows nobody."""
    feed = Feed("redis://127.0.0.1:1", 60_000)
    for n in range(routes.MANY):
        feed.state.feed(Raw(states={f"site/{n}": b"online"}))
    monkeypatch.setattr(routes, "feed", lambda: feed)
    monkeypatch.setattr(routes, "_wholes", Kept(1.0, clock=lambda: 0.0))
    return feed


def ask(since: str = "") -> Any:
    server = Flask("test")
    routes.add(server)
    return server.test_client().get(f"/api/live?since={since}").json


def change(feed: Feed) -> None:
    feed.state.feed(Raw(states={"site/1": b"lost"}))


def test_pages_that_begin_in_the_same_second_share_an_answer_and_miss_nothing_after_it(one: Feed) -> None:
    first = ask()
    change(one)
    second = ask("of-another-process-7")
    assert len(second["sensors"]) == routes.MANY
    assert second["version"] == first["version"]
    assert [found["k"] for found in ask(second["version"])["sensors"]] == ["site/1"]


def test_a_feed_that_began_anew_shares_nothing_of_before(one: Feed) -> None:
    ask()
    one.epoch = "new"
    assert ask()["version"].startswith("new-")
