"""A feature and the one that is to take its place."""
