-- Years of readings. Three places together hold every raw reading, each reading in exactly one of them:
--   readings         open days, written by the archive; late readings of sealed days land in its DEFAULT partition
--   readings_sealed  closed days on their way into chunks; nothing is added to a partition of it
--   readings_chunks  some 1,000 readings of a series in one row (spark_jobs/chunk.py says how they are coded)
-- The view `all_readings` and the function `readings_between` read them as one.

ALTER TABLE readings_5m ADD COLUMN first double precision, ADD COLUMN last double precision,
    ADD COLUMN q1 double precision, ADD COLUMN median double precision, ADD COLUMN q3 double precision;

CREATE TABLE readings_1h (
    series_id  integer NOT NULL,
    bucket     timestamptz NOT NULL,
    n          bigint NOT NULL,
    mean       double precision NOT NULL,
    min        double precision NOT NULL,
    max        double precision NOT NULL,
    stddev     double precision,
    first      double precision,
    last       double precision,
    PRIMARY KEY (series_id, bucket)
) PARTITION BY RANGE (bucket);
CREATE TABLE readings_1h_default PARTITION OF readings_1h DEFAULT;

CREATE TABLE readings_1d (LIKE readings_1h INCLUDING ALL) PARTITION BY RANGE (bucket);
CREATE TABLE readings_1d_default PARTITION OF readings_1d DEFAULT;

CREATE TABLE readings_sealed (LIKE readings INCLUDING ALL) PARTITION BY RANGE (ts);
CREATE TABLE readings_sealed_default PARTITION OF readings_sealed DEFAULT;

CREATE TABLE readings_chunks (
    series_id  integer NOT NULL,
    first      timestamptz NOT NULL,
    last       timestamptz NOT NULL,
    n          integer NOT NULL,
    unit       integer NOT NULL,        -- microseconds that `step` and the offsets count
    step       bigint NOT NULL,         -- reading i is expected at first + i * step
    t2         smallint[],              -- how much later (in units) each came than expected; one of the three,
    t4         integer[],               -- or none where all came as expected
    t8         bigint[],
    base       bigint NOT NULL,         -- value = (v + base) / divisor, or v8 as it is
    divisor    double precision NOT NULL,
    v2         smallint[],
    v4         integer[],
    v8         double precision[],
    PRIMARY KEY (series_id, first) INCLUDE (last, n)
) PARTITION BY RANGE (first);
CREATE TABLE readings_chunks_default PARTITION OF readings_chunks DEFAULT;

-- A compaction under way: what is built but not yet to be seen, what it will replace, and how far it has come.
CREATE TABLE chunks_building (LIKE readings_chunks INCLUDING DEFAULTS);
CREATE TABLE chunks_replaced (series_id integer NOT NULL, first timestamptz NOT NULL);
CREATE TABLE compaction (
    unit       text PRIMARY KEY,
    series_id  integer NOT NULL,        -- all series up to this one are built
    began      timestamptz NOT NULL DEFAULT now()
);

-- One row. `sealed_until`: readings measured before it may be in readings_sealed or readings_chunks.
-- `dropped_until`: raw readings measured before it have been dropped (retention): aggregates of that time are final.
-- `rolled_1h`, `rolled_1d`: hours and days that end at or before it are rolled up.
CREATE TABLE storage_state (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    sealed_until  timestamptz NOT NULL DEFAULT '-infinity',
    dropped_until timestamptz NOT NULL DEFAULT '-infinity',
    rolled_1h     timestamptz NOT NULL,
    rolled_1d     timestamptz NOT NULL
);
INSERT INTO storage_state (rolled_1h, rolled_1d)
SELECT date_bin('1 hour', swept, 'epoch'), date_bin('1 day', swept, 'epoch') FROM rollup_reach;

-- What the dashboard asks for, newest first.
CREATE INDEX alert_history_at ON alert_history (at DESC, n DESC);
CREATE INDEX alerts_active ON alerts (severity) WHERE state = 'active';

-- How many of the stored readings came too late for the streaming rollup (not those sent as history).
ALTER TABLE ledger ADD COLUMN late bigint NOT NULL DEFAULT 0;

-- The last *measured* value of each series, kept by the archive.
CREATE TABLE latest (
    series_id  integer PRIMARY KEY,
    ts         timestamptz NOT NULL,
    value      double precision NOT NULL
) WITH (fillfactor = 50);

-- The readings of one chunk. Inlined into the query that calls it; single columns, because a whole row of a
-- partitioned table would be put together (arrays and all) before it is taken apart.
CREATE FUNCTION chunk_points(
    first timestamptz, unit integer, step bigint, t2 smallint[], t4 integer[], t8 bigint[],
    base bigint, divisor double precision, v2 smallint[], v4 integer[], v8 double precision[])
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE sql STABLE ROWS 1000
AS $body$
    SELECT first + ((p.i - 1) * step + coalesce(p.t2, p.t4, p.t8, 0)) * unit * interval '1 microsecond',
           coalesce((coalesce(p.v2, p.v4) + base) / divisor, p.v8)
    FROM unnest(t2, t4, t8, v2, v4, v8) WITH ORDINALITY AS p(t2, t4, t8, v2, v4, v8, i)
$body$;

CREATE VIEW all_readings AS
    SELECT series_id, ts, value FROM readings
    UNION ALL SELECT series_id, ts, value FROM readings_sealed
    UNION ALL SELECT c.series_id, p.ts, p.value FROM readings_chunks c CROSS JOIN LATERAL chunk_points(
        c.first, c.unit, c.step, c.t2, c.t4, c.t8, c.base, c.divisor, c.v2, c.v4, c.v8) p;

-- The same within [since, until): chunks are found by their own times, which the view cannot do.
-- No chunk reaches over the end of its week (weeks counted from the epoch).
CREATE FUNCTION readings_between(ids integer[], since timestamptz, until timestamptz)
RETURNS TABLE (series_id integer, ts timestamptz, value double precision)
LANGUAGE sql STABLE
AS $body$
    SELECT r.series_id, r.ts, r.value FROM readings r
    WHERE r.series_id = ANY (ids) AND r.ts >= since AND r.ts < until
    UNION ALL
    SELECT r.series_id, r.ts, r.value FROM readings_sealed r
    WHERE r.series_id = ANY (ids) AND r.ts >= since AND r.ts < until
    UNION ALL
    SELECT c.series_id, p.ts, p.value FROM readings_chunks c CROSS JOIN LATERAL chunk_points(
        c.first, c.unit, c.step, c.t2, c.t4, c.t8, c.base, c.divisor, c.v2, c.v4, c.v8) p
    WHERE c.series_id = ANY (ids) AND c.first >= since - interval '7 days' AND c.first < until AND c.last >= since
      AND p.ts >= since AND p.ts < until
$body$;

-- The span that a partition's name tells: ..._2026, ..._2026_11 or ..._2026_11_24; null for any other name.
CREATE FUNCTION partition_span(name text) RETURNS tstzrange
LANGUAGE sql IMMUTABLE
SET timezone = 'UTC'
AS $body$
    SELECT CASE
        WHEN part[3] IS NOT NULL THEN tstzrange(
            make_timestamptz(part[1]::int, part[2]::int, part[3]::int, 0, 0, 0, 'UTC'),
            make_timestamptz(part[1]::int, part[2]::int, part[3]::int, 0, 0, 0, 'UTC') + interval '1 day')
        WHEN part[2] IS NOT NULL THEN tstzrange(
            make_timestamptz(part[1]::int, part[2]::int, 1, 0, 0, 0, 'UTC'),
            make_timestamptz(part[1]::int, part[2]::int, 1, 0, 0, 0, 'UTC') + interval '1 month')
        ELSE tstzrange(make_timestamptz(part[1]::int, 1, 1, 0, 0, 0, 'UTC'),
                       make_timestamptz(part[1]::int + 1, 1, 1, 0, 0, 0, 'UTC'))
        END
    FROM regexp_match(name, '_(\d{4})(?:_(\d{2}))?(?:_(\d{2}))?$') AS part WHERE part IS NOT NULL
$body$;

CREATE VIEW storage_partitions AS
    SELECT parent.relname::text AS parent, child.relname::text AS child,
           lower(partition_span(child.relname)) AS starts, upper(partition_span(child.relname)) AS ends,
           greatest(child.reltuples, 0)::bigint AS rows,
           pg_table_size(child.oid) AS table_bytes, pg_indexes_size(child.oid) AS index_bytes
    FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class child ON child.oid = inhrelid
    WHERE child.relkind = 'r' AND parent.relnamespace = 'public'::regnamespace;

-- Raw readings have a partition a day, readings older than 35 days (history that is loaded) one a month; a month that
-- has one already keeps it. What was sealed gets none again. The CHECK tells what the bounds tell, so that a
-- partition can be attached elsewhere without being read.
CREATE OR REPLACE FUNCTION ensure_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s' -- whoever reads or writes DEFAULT queues behind the lock we wait for
AS $body$
DECLARE
    by_month  text := 'readings_' || to_char(moment, 'YYYY_MM');
    recent    boolean := moment >= date_trunc('day', now()) - interval '35 days';
    sealed    boolean := moment < (SELECT sealed_until FROM storage_state);
    a_day     boolean;
    spec      record;
    starts    timestamptz;
    ends      timestamptz;
    child     text;
BEGIN
    IF moment < now() - interval '10 years' OR moment > now() + interval '2 months' THEN
        RETURN false;
    END IF;
    a_day := NOT EXISTS (SELECT FROM pg_class WHERE relname = by_month AND relnamespace = 'public'::regnamespace)
        AND (recent OR EXISTS (SELECT FROM pg_class
            WHERE relname ~ ('^' || by_month || '_\d\d$') AND relnamespace = 'public'::regnamespace));
    FOR spec IN SELECT * FROM (VALUES
        ('readings', 'ts', CASE WHEN a_day THEN 'day' ELSE 'month' END, CASE WHEN a_day THEN 'YYYY_MM_DD' ELSE 'YYYY_MM' END),
        ('readings_chunks', 'first', 'month', 'YYYY_MM'),
        ('readings_5m', 'bucket', 'month', 'YYYY_MM'),
        ('readings_1h', 'bucket', 'year', 'YYYY'),
        ('readings_1d', 'bucket', 'year', 'YYYY')) AS s(parent, col, unit, pattern)
    LOOP
        CONTINUE WHEN sealed AND spec.parent = 'readings';
        starts := date_trunc(spec.unit, moment);
        ends := starts + ('1 ' || spec.unit)::interval;
        child := spec.parent || '_' || to_char(starts, spec.pattern);
        -- pg_class, not to_regclass(): that reads a cache, which may not know yet what another session just made.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = child AND relnamespace = 'public'::regnamespace);
        PERFORM pg_advisory_xact_lock(hashtext('weir.ensure_partition'));
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = child AND relnamespace = 'public'::regnamespace);
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', spec.parent || '_default');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, spec.parent);
        EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT span CHECK (%I >= %L AND %I < %L)',
            child, spec.col, starts, spec.col, ends);
        -- Readings come in order of time: each page is full when a series goes on to its next, and stays as it is.
        IF spec.parent = 'readings' THEN
            EXECUTE format('ALTER INDEX public.%I SET (fillfactor = 100)', child || '_pkey');
        END IF;
        EXECUTE format(
            'WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *) '
            'INSERT INTO public.%I SELECT * FROM moved',
            spec.parent || '_default', spec.col, starts, spec.col, ends, child);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            spec.parent, child, starts, ends);
    END LOOP;
    RETURN NOT sealed;
END
$body$;

-- Takes the raw partitions that end at or before `before` out of `readings` and into `readings_sealed`, and moves at
-- most `most` rows of the DEFAULT partition that are older than `before` there too. Returns how many partitions.
-- Writers wait: they hold a lock on `readings` from before they ask for `sealed_until` until they commit.
CREATE FUNCTION seal_readings(before timestamptz, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s' -- longer than deadlock_timeout (1 s): an autovacuum that is in the way gives way after that
AS $body$
DECLARE
    one   record;
    name  text;
    done  integer := 0;
BEGIN
    FOR one IN SELECT child, starts, ends FROM public.storage_partitions
        WHERE parent = 'readings' AND ends <= before ORDER BY starts
    LOOP
        name := 'readings_sealed_' || substr(one.child, length('readings_') + 1);
        -- What is being compacted just now comes first.
        CONTINUE WHEN EXISTS (SELECT FROM public.storage_partitions p
            WHERE p.parent = 'readings_sealed' AND p.ends IS NOT NULL
              AND tstzrange(p.starts, p.ends) && tstzrange(one.starts, one.ends));
        EXECUTE format('ALTER TABLE public.readings DETACH PARTITION public.%I', one.child);
        EXECUTE format('ALTER TABLE public.%I RENAME TO %I', one.child, name);
        EXECUTE format('ALTER TABLE public.readings_sealed ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, one.starts, one.ends);
        UPDATE public.storage_state SET sealed_until = greatest(sealed_until, one.ends);
        done := done + 1;
    END LOOP;
    -- Nothing may be added to what is being compacted just now.
    IF EXISTS (SELECT FROM public.readings_default WHERE ts < before)
        AND NOT EXISTS (SELECT FROM public.compaction WHERE unit = 'readings_sealed_default') THEN
        LOCK TABLE public.readings IN SHARE ROW EXCLUSIVE MODE;
        UPDATE public.storage_state SET sealed_until = greatest(sealed_until, before);
        WITH moved AS (
            DELETE FROM public.readings_default WHERE (series_id, ts) IN (
                SELECT series_id, ts FROM public.readings_default WHERE ts < before LIMIT most)
            RETURNING series_id, ts, value)
        INSERT INTO public.readings_sealed_default SELECT * FROM moved;
    END IF;
    RETURN done;
END
$body$;

-- Drops one partition; only of these tables, and never a DEFAULT one. `forget`: its readings are gone for good.
CREATE FUNCTION drop_partition(of_parent text, name text, forget boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '2s'
AS $body$
DECLARE
    one record;
BEGIN
    SELECT * INTO STRICT one FROM public.storage_partitions
    WHERE parent = of_parent AND child = name AND ends IS NOT NULL
      AND parent IN ('readings', 'readings_sealed', 'readings_chunks', 'readings_5m', 'readings_1h', 'readings_1d');
    IF forget AND of_parent IN ('readings', 'readings_sealed', 'readings_chunks') THEN
        UPDATE public.storage_state SET dropped_until = greatest(dropped_until, one.ends);
    END IF;
    EXECUTE format('DROP TABLE public.%I', name);
END
$body$;

-- Partitions of an earlier version: their bounds as a CHECK, or sealing would read them whole under a lock.
DO $body$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT child, starts, ends FROM storage_partitions WHERE parent = 'readings' AND ends IS NOT NULL LOOP
        EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT span CHECK (ts >= %L AND ts < %L)',
            one.child, one.starts, one.ends);
    END LOOP;
END
$body$;

REVOKE ALL ON FUNCTION ensure_partition(timestamptz), seal_readings(timestamptz, integer),
    drop_partition(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partition(timestamptz), seal_readings(timestamptz, integer),
    drop_partition(text, text, boolean) TO weir_writer;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO weir_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO weir_writer;
