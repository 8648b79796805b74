"""What a job is started with."""
