-- Monthly partitions of readings and readings_5m, made by whoever may write but not create tables.
-- A month is cut out of the DEFAULT partition if rows of it are there already: nothing is lost, nothing moves twice.
-- Months beyond ten years ago or two months ahead stay in DEFAULT: a bad clock must not make a thousand tables.
-- It runs with its owner's rights, so the path that names are looked up in is fixed.
CREATE FUNCTION ensure_partition(moment timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET timezone = 'UTC'
AS $body$
DECLARE
    starts timestamptz := date_trunc('month', moment);
    ends   timestamptz := date_trunc('month', moment) + interval '1 month';
    parent text;
    col    text;
    child  text;
BEGIN
    IF moment < now() - interval '10 years' OR moment > now() + interval '2 months' THEN
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['readings', 'readings_5m'] LOOP
        child := parent || to_char(starts, '"_"YYYY"_"MM');
        -- pg_class, not to_regclass(): that reads a cache, which may not know yet what another session just made.
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = child AND relnamespace = 'public'::regnamespace);
        PERFORM pg_advisory_xact_lock(hashtext('weir.ensure_partition'));
        CONTINUE WHEN EXISTS (
            SELECT FROM pg_class WHERE relname = child AND relnamespace = 'public'::regnamespace);
        col := CASE parent WHEN 'readings' THEN 'ts' ELSE 'bucket' END;
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
        EXECUTE format(
            'WITH moved AS (DELETE FROM public.%I WHERE %I >= %L AND %I < %L RETURNING *) '
            'INSERT INTO public.%I SELECT * FROM moved',
            parent || '_default', col, starts, col, ends, child);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            parent, child, starts, ends);
    END LOOP;
    RETURN true;
END
$body$;
REVOKE ALL ON FUNCTION ensure_partition(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partition(timestamptz) TO weir_writer;

-- One row. `reach`: no bucket that ends at or before it is ever written by the streaming rollup again.
-- `swept`: up to where the aggregates were compared with raw. See spark_jobs/repair.py for the argument.
CREATE TABLE rollup_reach (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    reach      timestamptz NOT NULL,
    swept      timestamptz NOT NULL
);
INSERT INTO rollup_reach (reach, swept) VALUES ('epoch', now() - interval '3 days');
GRANT SELECT ON rollup_reach TO weir_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON rollup_reach TO weir_writer;
