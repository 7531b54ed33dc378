"""Files of history become readings under the same limits as live ones."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from deploy.imports import files
from deploy.imports.columns import Mapping, plan, read_mapping
from deploy.imports.progress import Place
from deploy.imports.rows import Bad, Rows
from deploy.imports.sending import FRAME_READINGS, FRAME_VALUES, frames
from weir.errors import Reason, SetupError
from weir.readings import Reading

RX = 1_795_431_817_932
HEAD = "site,sensor,metric,ts,value\n"


def read(path: Path, mapping: Mapping = Mapping()) -> tuple[list[Reading], list[Bad]]:
    source = files.look(path)
    rows = Rows(plan(mapping, source.names, source.numeric))
    readings: list[Reading] = []
    bad: list[Bad] = []
    for batch in source.batches(lambda line: None):
        some, wrong = rows.convert(batch, 0, RX)
        readings += some
        bad += wrong
    return readings, bad


def text(folder: Path, content: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_a_row_a_value_is_read_and_neighbours_of_one_time_make_one_reading(tmp_path: Path) -> None:
    content = (
        HEAD + "bern,a,t,2018-08-01T00:00:00Z,1\nbern,a,h,2018-08-01T00:00:00Z,2\nbern,b,t,2018-08-01 02:00+02:00,3\n"
    )
    readings, bad = read(text(tmp_path, content))
    at = 1_533_081_600_000
    assert bad == []
    assert readings == [
        Reading("bern", "a", at, RX, {"t": 1.0, "h": 2.0}, hist=True),
        Reading("bern", "b", at, RX, {"t": 3.0}, hist=True),
    ]


def test_a_column_a_metric_is_read_and_positions_are_no_metrics(tmp_path: Path) -> None:
    content = (
        "sensor_id,ts,temperature,lat,lon,place\nB-1,1533081600,18.5,46.9,7.4,Platz\nB-1,1533081600000,,46.9,7.4,\n"
    )
    readings, bad = read(text(tmp_path, content), Mapping(fixed={"site": "Bern 2018"}))
    assert [(one.site, one.sensor, one.ts, one.metrics) for one in readings] == [
        ("bern_2018", "b-1", 1_533_081_600_000, {"temperature": 18.5})
    ]
    assert [(one.row, one.reason, one.detail) for one in bad] == [(1, Reason.SHAPE, "no value")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("s,x,t,2018-08-01T00:00:00,1", Reason.LOCAL_TIME),
        ("s,x,t,yesterday,1", Reason.SHAPE),
        ("s,x,t,,1", Reason.SHAPE),
        ("s,x,t,2100-01-01T00:00:00Z,1", Reason.FUTURE),
        ("s,x,t,1950-01-01T00:00:00Z,1", Reason.ANCIENT),
        ("s,x,t,2018-08-01T00:00:00Z,warm", Reason.SHAPE),
        ("s,x,t,2018-08-01T00:00:00Z,inf", Reason.NOT_FINITE),
        ("s,x,t,2018-08-01T00:00:00Z,1_0", Reason.SHAPE),
        ("s,,t,2018-08-01T00:00:00Z,1", Reason.NAME),
        ("s,???,t,2018-08-01T00:00:00Z,1", Reason.NAME),
        ("s,x,~,2018-08-01T00:00:00Z,1", Reason.NAME),
        ("s,x,t,1e300,1", Reason.SHAPE),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_alone(tmp_path: Path, row: str, reason: Reason) -> None:
    good = "s,y,t,2018-08-01T00:00:00Z,1\n"
    readings, bad = read(text(tmp_path, HEAD + good + row + "\n" + good))
    assert [one.sensor for one in readings] == ["y", "y"]
    ((only),) = (bad,)
    assert (only[0].row, only[0].reason) == (1, reason)


def test_a_zone_makes_local_times_usable_also_in_the_hour_that_comes_twice(tmp_path: Path) -> None:
    content = HEAD + "s,x,t,2018-08-01T02:00:00,1\ns,x,t,2018-10-28T02:30:00,1\n"
    readings, bad = read(text(tmp_path, content), Mapping(zone="Europe/Zurich"))
    assert bad == []
    assert readings[0].ts == 1_533_081_600_000
    assert readings[1].ts in (1_540_686_600_000, 1_540_690_200_000)


def test_lines_with_too_many_cells_are_told(tmp_path: Path) -> None:
    source = files.look(
        text(tmp_path, HEAD + "s,x,t,2018-08-01T00:00:00Z,1\ntorn,line\ns,x,t,2018-08-01T00:00:01Z,2\n")
    )
    torn: list[str] = []
    assert sum(len(batch) for batch in source.batches(torn.append)) == 2
    assert torn == ["torn,line"]


def test_compressed_csv_and_parquet_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((HEAD + "s,x,t,2018-08-01T00:00:00Z,1\n").encode()))
    when = pa.array([datetime(2018, 8, 1, tzinfo=UTC)], pa.timestamp("ns", "UTC"))
    table = pa.table({"sensor": ["x"], "time": when, "t": pa.array([1], pa.int32()), "note": ["n"]})
    parquet.write_table(table, tmp_path / "b.parquet")
    assert [one.name for one in files.found(tmp_path)] == ["a.csv.gz", "b.parquet"]
    zipped, _ = read(tmp_path / "a.csv.gz")
    columns, _ = read(tmp_path / "b.parquet", Mapping(fixed={"site": "s"}))
    assert zipped == columns == [Reading("s", "x", 1_533_081_600_000, RX, {"t": 1.0}, hist=True)]


def test_parquet_times_without_a_zone_are_refused_unless_one_is_given(tmp_path: Path) -> None:
    when = pa.array([datetime(2018, 8, 1)], pa.timestamp("us"))
    parquet.write_table(pa.table({"sensor": ["x"], "ts": when, "t": [1.5]}), tmp_path / "a.parquet")
    _, bad = read(tmp_path / "a.parquet", Mapping(fixed={"site": "s"}))
    assert [one.reason for one in bad] == [Reason.LOCAL_TIME]
    readings, _ = read(tmp_path / "a.parquet", Mapping(fixed={"site": "s"}, zone="UTC"))
    assert readings[0].ts == 1_533_081_600_000


@pytest.mark.parametrize(
    ("mapping", "head", "tells"),
    [
        (Mapping(), "sensor,ts,t", "the site"),
        (Mapping(fixed={"site": "s"}), "ts,t", "the sensor"),
        (Mapping(fixed={"site": "s"}), "sensor,t", "the time"),
        (Mapping(fixed={"site": "s"}, columns={"ts": "when"}), "sensor,ts,t", "'when'"),
        (Mapping(fixed={"site": "s", "ts": "1"}), "sensor,ts,t", "fixed are"),
        (Mapping(columns={"nonsense": "t"}), "sensor,ts,t", "a column is one of"),
        (Mapping(fixed={"site": "?"}), "sensor,ts,t", "can be no name"),
        (Mapping(fixed={"site": "s"}), "sensor,ts", "measurements"),
        (Mapping(fixed={"site": "s"}), "sensor,ts,T 1,t-1,t_1,t 1", "are called t_1"),
    ],
)
def test_a_plan_that_cannot_be_made_says_what_to_give(mapping: Mapping, head: str, tells: str) -> None:
    names = head.split(",")
    with pytest.raises(SetupError, match=tells):
        plan(mapping, names, [name for name in names if name.lower().startswith("t") and name != "ts"])


def test_a_mapping_file_says_the_same_as_options(tmp_path: Path) -> None:
    path = text(
        tmp_path, '{"columns":{"ts":"when"},"fixed":{"site":"s"},"metrics":{"t":"Temp °C"},"zone":"UTC"}', "m.json"
    )
    readings, _ = read(text(tmp_path, "device,when,Temp °C\nx,2018-08-01 00:00:00,1\n"), read_mapping(path))
    assert readings == [Reading("s", "x", 1_533_081_600_000, RX, {"t": 1.0}, hist=True)]
    with pytest.raises(SetupError):
        read_mapping(text(tmp_path, '{"column":{}}', "n.json"))


def test_what_is_no_file_of_readings_is_a_matter_of_the_user(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nothing.csv"):
        with pytest.raises(SetupError):
            files.found(wrong)
    for content in (b"", b"\x00\xff\xfe", b"PAR1 but not really"):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(SetupError):
            files.look(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(SetupError):
        files.look(tmp_path / "a.csv")


def test_columns_that_cannot_be_told_apart_or_hold_no_names_are_a_matter_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="called 'ts'"):
        read(text(tmp_path, "site,sensor,ts,ts,t\ns,x,1,1,1\n"))
    nested = pa.table({"sensor": [{"a": 1}], "ts": [1], "t": [1.5]})
    parquet.write_table(nested, tmp_path / "a.parquet")
    with pytest.raises(SetupError, match="holds no names"):
        read(tmp_path / "a.parquet", Mapping(fixed={"site": "s"}))
    lists = pa.table({"sensor": ["x"], "ts": [[1]], "t": [[1.5]]})
    parquet.write_table(lists, tmp_path / "b.parquet")
    _, bad = read(tmp_path / "b.parquet", Mapping(fixed={"site": "s"}, metrics={"t": "t"}))
    assert [one.reason for one in bad] == [Reason.SHAPE]


def test_a_csv_that_is_no_utf8_is_a_matter_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEAD.encode() + b"s,\xff\xfe,t,2018-08-01T00:00:00Z,1\n")
    with pytest.raises(SetupError, match="damaged"):
        read(tmp_path / "a.csv")


def test_a_position_survives_and_belongs_to_the_file_as_it_was(tmp_path: Path) -> None:
    path = text(tmp_path, HEAD)
    place = Place(tmp_path, path, Mapping())
    position = place.load()
    position.rows = 7
    place.save(position)
    assert Place(tmp_path, path, Mapping()).load().rows == 7
    assert Place(tmp_path, path, Mapping(zone="UTC")).load().rows == 0
    path.write_text(HEAD + "more")
    assert Place(tmp_path, path, Mapping()).load().rows == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 64)), max_size=3000))
def test_frames_keep_the_order_of_each_sensor_and_stay_small(made: list[tuple[int, int]]) -> None:
    readings = [
        Reading("s", f"x{sensor}", n, n, dict.fromkeys(map(str, range(count)), 1.0))
        for n, (sensor, count) in enumerate(made)
    ]
    cut = list(frames(readings, lambda sensor: int(sensor[1:]) % 4))
    for sensor in range(6):
        flat = [one.ts for _, frame in cut for one in frame if one.sensor == f"x{sensor}"]
        assert flat == [one.ts for one in readings if one.sensor == f"x{sensor}"]
    assert all(len(frame) <= FRAME_READINGS for _, frame in cut)
    assert sum(len(frame) for _, frame in cut) == len(readings)


def test_a_frame_of_readings_with_many_metrics_is_cut_early() -> None:
    metrics = dict.fromkeys((f"m{n}" for n in range(64)), 1.5)
    readings = [Reading("s", "x", n, n, metrics) for n in range(1000)]
    sizes = [sum(len(one.metrics) for one in frame) for _, frame in frames(readings, lambda sensor: 0)]
    assert sum(sizes) == 64_000
    assert max(sizes) <= FRAME_VALUES


def test_neighbouring_rows_of_other_times_are_readings_of_their_own(tmp_path: Path) -> None:
    readings, _ = read(text(tmp_path, HEAD + "s,x,t,1533081600,1\ns,x,h,1533081601,2\ns,x,h,1533081601,3\n"))
    assert [one.metrics for one in readings] == [{"t": 1.0}, {"h": 2.0}, {"h": 3.0}]
