"""Meaning: pure state transitions, event in, feature out. No Flink, no I/O, no clock."""
