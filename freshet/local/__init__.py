"""What `freshet up` starts and stops on this machine: Kafka, Redis, Flink, the server, and what each of them needs."""
