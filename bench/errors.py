"""What makes a measurement worthless."""

from schemas.errors import FreshetError


class Unsound(FreshetError):
    """Something was measured, but not what the benchmark says: events missing, a feed that did not change."""


class BadArgument(FreshetError):
    """A benchmark was asked for what it has not."""
