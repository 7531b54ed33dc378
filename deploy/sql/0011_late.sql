-- How many readings of a 5-minute bucket came too late for the streaming rollup (not those sent as history): charts
-- mark them. Few rows: a fleet that is on time makes none. The keeper forgets those whose raw readings are gone.
CREATE TABLE late_buckets (
    series_id  integer NOT NULL,
    bucket     timestamptz NOT NULL,
    n          bigint NOT NULL,
    PRIMARY KEY (series_id, bucket)
);
GRANT SELECT ON late_buckets TO weir_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON late_buckets TO weir_writer;
