-- How far each sensor's own counter (`seq`) has come, and what was passed over: see spark_jobs/sequence.py.
CREATE TABLE sequences (
    site       text NOT NULL,
    sensor     text NOT NULL,
    seq        bigint NOT NULL,
    ts         timestamptz NOT NULL,
    gaps       jsonb NOT NULL DEFAULT '[]',
    given_up   bigint NOT NULL DEFAULT 0,
    absent     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (site, sensor)
);
CREATE INDEX sequences_absent ON sequences (absent DESC) WHERE absent > 0;
-- When a dead letter was put back into the pipeline; what becomes of it then is counted as a new arrival.
ALTER TABLE dead_letters ADD COLUMN replayed timestamptz;
