"""One request, top to bottom: hydrate, retrieve, filter, rank, re-rank, explain, respond."""
