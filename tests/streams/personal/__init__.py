"""The declared features of the repository, and features of sessions and of requests."""
