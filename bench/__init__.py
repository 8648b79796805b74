"""Benchmarks, each on its own stack: `freshet bench freshness | ingest | throughput | history | feed`."""
