"""Measurements on a stack of their own: `freshet bench freshness | throughput | feed`."""
