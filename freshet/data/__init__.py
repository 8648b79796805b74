"""Files of JSON lines and the producer that sends their records to Kafka."""
