-- Times are timestamptz; a series is one metric of one sensor. Every write is idempotent by primary key.
CREATE TABLE sensors (
    sensor_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site       text NOT NULL,
    sensor     text NOT NULL,
    kind       text NOT NULL DEFAULT 'unknown',
    name       text NOT NULL DEFAULT '',
    lat        double precision,
    lon        double precision,
    metrics    jsonb NOT NULL DEFAULT '{}',
    state      text,
    seen       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (site, sensor)
);

CREATE TABLE series (
    series_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id  integer NOT NULL REFERENCES sensors,
    metric     text NOT NULL,
    UNIQUE (sensor_id, metric)
);

-- One row per measured value.
CREATE TABLE readings (
    series_id  integer NOT NULL,
    ts         timestamptz NOT NULL,
    value      double precision NOT NULL,
    PRIMARY KEY (series_id, ts)
) PARTITION BY RANGE (ts);
CREATE TABLE readings_default PARTITION OF readings DEFAULT;

CREATE TABLE readings_5m (
    series_id  integer NOT NULL,
    bucket     timestamptz NOT NULL,
    n          bigint NOT NULL,
    mean       double precision NOT NULL,
    min        double precision NOT NULL,
    max        double precision NOT NULL,
    stddev     double precision,
    PRIMARY KEY (series_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE TABLE readings_5m_default PARTITION OF readings_5m DEFAULT;

-- Buckets whose aggregate must be recomputed from raw: late or redelivered readings.
CREATE TABLE dirty_buckets (
    series_id  integer NOT NULL,
    bucket     timestamptz NOT NULL,
    PRIMARY KEY (series_id, bucket)
);

CREATE TABLE anomalies (
    series_id  integer NOT NULL,
    ts         timestamptz NOT NULL,
    value      double precision NOT NULL,
    score      double precision NOT NULL,
    q1         double precision NOT NULL,
    q3         double precision NOT NULL,
    low        double precision NOT NULL,
    high       double precision NOT NULL,
    n          integer NOT NULL,
    detector   text NOT NULL,
    version    integer NOT NULL,
    feature    text NOT NULL DEFAULT 'level',
    at         timestamptz NOT NULL,
    PRIMARY KEY (series_id, ts, detector)
);
CREATE INDEX anomalies_ts ON anomalies (ts DESC);

CREATE TABLE alerts (
    id         text PRIMARY KEY,
    site       text NOT NULL,
    sensor     text NOT NULL,
    metric     text NOT NULL,
    rule       text NOT NULL,
    severity   text NOT NULL,
    state      text NOT NULL,
    acknowledged boolean NOT NULL,
    opened     timestamptz NOT NULL,
    at         timestamptz NOT NULL,
    n          integer NOT NULL,
    text       text NOT NULL,
    by         text NOT NULL DEFAULT '',
    shelved_until timestamptz
);
CREATE INDEX alerts_opened ON alerts (opened DESC);

CREATE TABLE alert_history (
    id         text NOT NULL,
    n          integer NOT NULL,
    at         timestamptz NOT NULL,
    state      text NOT NULL,
    acknowledged boolean NOT NULL,
    by         text NOT NULL DEFAULT '',
    text       text NOT NULL,
    PRIMARY KEY (id, n)
);

CREATE TABLE dead_letters (
    id         text PRIMARY KEY,
    source     text NOT NULL,
    reason     text NOT NULL,
    detail     text NOT NULL,
    at         timestamptz NOT NULL,
    payload    bytea NOT NULL
);
CREATE INDEX dead_letters_at ON dead_letters (at DESC);

CREATE TABLE forecasts (
    series_id  integer NOT NULL,
    made       timestamptz NOT NULL,
    ts         timestamptz NOT NULL,
    mean       double precision NOT NULL,
    low80      double precision NOT NULL,
    high80     double precision NOT NULL,
    model      text NOT NULL,
    PRIMARY KEY (series_id, made, ts)
);

-- How far each partition has been counted, moved in the transaction that stores its records, so that a replayed
-- batch is counted once. In `ledger`, counted in readings per minute of arrival:
-- received = stored + dead_lettered + duplicate. A difference to the bridge's own count (Redis) is a gap.
CREATE TABLE ledger_records (
    topic      text NOT NULL,
    partition  integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
CREATE TABLE ledger (
    minute     timestamptz PRIMARY KEY,
    received   bigint NOT NULL DEFAULT 0,
    stored     bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    duplicate  bigint NOT NULL DEFAULT 0
);

GRANT USAGE ON SCHEMA public TO weir_reader, weir_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO weir_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weir_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO weir_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO weir_writer;
