"""Errors that make a measurement invalid."""

from schemas.errors import FreshetError


class Unsound(FreshetError):
    """The measurement is not what the benchmark states: events are missing, or a feed did not change."""


class BadArgument(FreshetError):
    """An argument has a value that the benchmark does not support."""
