"""What is declared in the feature repository, brought to the running stack: `feast apply`, backfills, restarts."""
