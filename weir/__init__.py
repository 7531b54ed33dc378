"""What the rooms agree on: readings, topics, tables, keys and settings. No I/O lives here."""

__version__ = "0.1.0"
