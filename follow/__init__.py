"""What keeps a process up to date: Kafka connections, followed topics, the bundle in force, and loops that never end."""
