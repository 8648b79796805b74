"""Keeps a process up to date: Kafka connections, followed topics, the watch for bundles, loops that survive errors."""
