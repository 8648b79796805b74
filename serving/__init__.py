"""The HTTP server: ingestion, hydration, and the surfaces of the recommendation core."""
