"""Over-fetching, since filters will remove items that the person has met."""

from recommend.query import Query

ALLOWANCE = 400
"""at most this many more are asked for"""


def allowance(query: Query) -> int:
    """How many more candidates than its quota a source is asked for."""
    return min(len(query.seen), ALLOWANCE)
