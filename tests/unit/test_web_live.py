"""The live state: statuses, versions, and names nobody should trust."""

from web.live import LiveState, Raw, latency
from weir.events import Alert, AlertState
from weir.live import Latest
from weir.readings import Birth, Metric, SensorEvent, encode

NOW = 1_795_000_000_000


def latest(key: str, ts: int = NOW, **metrics: float) -> dict[str, bytes]:
    site, sensor = key.split("/", 1)
    return {key: encode(Latest(site, sensor, ts, ts + 5, ts + 25, metrics or {"temperature": 20.0}))}


def alert(sensor: str, rule: str = "anomaly", state: AlertState = AlertState.ACTIVE) -> bytes:
    return encode(Alert("a" + sensor, "bern", sensor, "t", rule, "warning", state, False, NOW, NOW, 1, "why"))


def judged(raw: Raw, alerts: list[bytes] | None = None, now: int = NOW) -> LiveState:
    state = LiveState(180_000)
    state.feed(raw)
    state.feed_alerts(alerts or [])
    state.judge(now)
    return state


def test_each_status_is_told_from_what_redis_holds() -> None:
    raw = Raw(
        latest={
            **latest("bern/ok"),
            **latest("bern/flag"),
            **latest("bern/alarm"),
            **latest("bern/old", NOW - 200_000),
        },
        flagged={"bern/flag": str(NOW - 1000).encode()},
    )
    state = judged(raw, [alert("alarm")])
    assert {one.sensor: one.status for one in state.sensors.values()} == {
        "ok": "ok", "flag": "flagged", "alarm": "alert", "old": "silent",
    }  # fmt: skip
    assert state.counts() == {"ok": 1, "flagged": 1, "alert": 1, "silent": 1}


def test_a_sensor_that_is_only_silent_stays_grey_though_its_silence_is_an_alert() -> None:
    state = judged(Raw(latest=latest("bern/a", NOW - 400_000)), [alert("a", "silence")])
    assert state.sensors["bern/a"].status == "silent"


def test_a_cleared_alert_makes_nothing_red() -> None:
    assert judged(Raw(latest=latest("bern/a")), [alert("a", state=AlertState.CLEARED)]).sensors["bern/a"].status == "ok"


def test_a_sensor_whose_connection_is_lost_is_silent_at_once() -> None:
    assert judged(Raw(latest=latest("bern/a"), states={"bern/a": b"lost"})).sensors["bern/a"].status == "silent"


def test_a_sensor_falls_silent_with_time_alone_and_that_is_a_change() -> None:
    state = judged(Raw(latest=latest("bern/a")))
    seen = state.version
    assert state.changes(seen) == []
    state.judge(NOW + 181_000)
    assert [one["s"] for one in state.changes(seen)] == ["silent"]


def test_only_what_changed_is_given_out_and_the_birth_only_once() -> None:
    birth = encode(
        SensorEvent("bern", "a", NOW, Birth(46.9, 7.4, "park", {"temperature": Metric("Cel")}, "Rose garden"))
    )
    state = judged(Raw(latest={**latest("bern/a"), **latest("bern/b")}, births={"bern/a": birth}))
    first = {one["k"]: one for one in state.changes(-1)}
    assert first["bern/a"]["b"]["at"] == [46.9, 7.4]
    assert first["bern/a"]["b"]["units"] == {"temperature": "Cel"}
    seen = state.version
    state.feed(Raw(latest=latest("bern/a", NOW + 1, temperature=21.5), births={"bern/a": birth}))
    assert state.changes(seen) == [{"k": "bern/a", "s": "ok", "t": NOW + 1, "m": {"temperature": 21.5}}]


def test_equal_values_are_no_change() -> None:
    state = judged(Raw(latest=latest("bern/a")))
    seen = state.version
    state.feed(Raw(latest=latest("bern/a"), states={"bern/a": None}, flagged={"bern/a": None}))
    assert state.version == seen


def test_what_cannot_be_decoded_is_counted_and_disturbs_nothing() -> None:
    state = judged(Raw(latest={"bern/a": b"\xff{", **latest("bern/b")}, births={"bern/b": b"[]"}), [b"nonsense"])
    assert state.unreadable == 3
    assert list(state.sensors) == ["bern/b"]


def test_latency_is_of_fresh_values_only() -> None:
    state = judged(Raw(latest={**latest("bern/a"), **latest("bern/b", NOW - 500_000)}))
    assert latency(state, NOW) == (20.0, 20.0)
    assert latency(state, NOW + 10**6) is None


def test_a_retired_sensor_is_forgotten_and_the_others_are_not() -> None:
    state = judged(Raw(latest={**latest("bern/a"), **latest("bern/b")}))
    assert state.retire(Raw(latest={"bern/a": None}, births={"bern/a": None}), whole=False)
    assert list(state.sensors) == ["bern/b"]
    assert not state.retire(Raw(latest=latest("bern/b")), whole=True)


def test_a_redis_that_has_lost_everything_retires_nobody() -> None:
    state = judged(Raw(latest=latest("bern/a")))
    assert not state.retire(Raw(), whole=True)
    assert list(state.sensors) == ["bern/a"]
