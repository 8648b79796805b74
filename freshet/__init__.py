"""The command line of Freshet and the local stack that it starts: Kafka, Redis, Flink, the server."""
