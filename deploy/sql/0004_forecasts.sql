-- Forecasts of an hour (5-minute steps) and of a day (hourly steps) side by side; `last` is what repeating the last
-- value would have said, so that both can be scored when the truth has arrived.
ALTER TABLE forecasts ADD COLUMN horizon text NOT NULL DEFAULT '1h';
ALTER TABLE forecasts ADD COLUMN last double precision;
ALTER TABLE forecasts DROP CONSTRAINT forecasts_pkey;
ALTER TABLE forecasts ADD PRIMARY KEY (series_id, horizon, made, ts);
CREATE INDEX forecasts_made ON forecasts (made);

-- How good the forecasts of the last 7 days were. `mae_last`: the error of repeating the last value.
CREATE TABLE forecast_skill (
    series_id  integer NOT NULL,
    horizon    text NOT NULL,
    scored     timestamptz NOT NULL,
    n          integer NOT NULL,
    mae        double precision NOT NULL,
    mae_last   double precision NOT NULL,
    r2         double precision,
    coverage80 double precision NOT NULL,
    PRIMARY KEY (series_id, horizon)
);

-- Limits that the newest forecast says will be crossed.
CREATE TABLE crossings (
    series_id  integer NOT NULL,
    above      boolean NOT NULL,
    level      double precision NOT NULL,
    at         timestamptz NOT NULL,
    probability double precision NOT NULL,
    made       timestamptz NOT NULL,
    PRIMARY KEY (series_id, above)
);
