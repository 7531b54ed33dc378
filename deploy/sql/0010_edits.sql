-- What people say of a sensor (weir.readings.Edit as JSON) lies over what it says of itself, whoever writes last:
-- births come again and again, and know nothing of it. `told`: the birth as the sensor gave it, so that an edit can be
-- taken back.
ALTER TABLE sensors ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE sensors ADD COLUMN edit jsonb;
ALTER TABLE sensors ADD COLUMN told jsonb;

CREATE TABLE sensor_history (
    site       text NOT NULL,
    sensor     text NOT NULL,
    at         timestamptz NOT NULL,
    by         text NOT NULL DEFAULT '',
    edit       jsonb NOT NULL,
    PRIMARY KEY (site, sensor, at)
);
GRANT SELECT ON sensor_history TO weir_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON sensor_history TO weir_writer;

CREATE FUNCTION apply_edit() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $body$
DECLARE
    said record;
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.kind, NEW.name, NEW.metrics) IS DISTINCT FROM (OLD.kind, OLD.name, OLD.metrics)
        OR (NEW.lat, NEW.lon) IS DISTINCT FROM (OLD.lat, OLD.lon) THEN
        -- A birth was written (a state changes none of these, an edit neither): that is what the sensor told.
        NEW.told := jsonb_build_object('kind', NEW.kind, 'name', NEW.name, 'lat', NEW.lat, 'lon', NEW.lon,
            'metrics', NEW.metrics);
    ELSIF NEW.edit IS NOT DISTINCT FROM OLD.edit THEN
        RETURN NEW;
    END IF;
    NEW.kind := coalesce(NEW.edit ->> 'kind', NEW.told ->> 'kind');
    NEW.name := coalesce(NEW.edit ->> 'name', NEW.told ->> 'name');
    IF NEW.edit ? 'lat' THEN
        NEW.lat := (NEW.edit ->> 'lat')::double precision;
        NEW.lon := (NEW.edit ->> 'lon')::double precision;
    ELSE
        NEW.lat := (NEW.told ->> 'lat')::double precision;
        NEW.lon := (NEW.told ->> 'lon')::double precision;
    END IF;
    NEW.tags := coalesce(
        (SELECT array_agg(tag) FROM jsonb_array_elements_text(NEW.edit -> 'tags') AS t(tag)), '{}');
    NEW.metrics := coalesce(NEW.told -> 'metrics', '{}');
    FOR said IN SELECT key, value FROM jsonb_each(coalesce(NEW.edit -> 'metrics', '{}')) LOOP
        NEW.metrics := NEW.metrics
            || jsonb_build_object(said.key, coalesce(NEW.metrics -> said.key, '{}') || said.value);
    END LOOP;
    RETURN NEW;
END
$body$;

UPDATE sensors SET told = jsonb_build_object('kind', kind, 'name', name, 'lat', lat, 'lon', lon, 'metrics', metrics);
CREATE TRIGGER apply_edit BEFORE INSERT OR UPDATE ON sensors FOR EACH ROW EXECUTE FUNCTION apply_edit();
