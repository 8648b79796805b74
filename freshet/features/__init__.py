"""Applies the feature repository's declarations to the running stack: `feast apply`, backfills, restarts."""
