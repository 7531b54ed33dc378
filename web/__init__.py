"""The dashboard: reads Redis and Postgres, draws; writes only `alert-commands`."""
