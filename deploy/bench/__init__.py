"""Benchmarks: each measures the running system and writes what it saw into docs/run-log.md."""
