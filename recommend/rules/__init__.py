"""Rules of merchandisers: compiled over columns, and applied to the candidates of a request."""
