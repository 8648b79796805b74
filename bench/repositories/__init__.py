"""Definitions that benchmarks run with."""
