"""A list of the caller's own, ranked for a person as the home feed ranks its candidates."""

from recommend.retrievers import Given
from recommend.surface import Paging, Surface
from recommend.surfaces.home import home

MOST = 1000
"""items of a list"""

rank = Surface(
    name="rank",
    title="Your own list",
    doc="A list of the caller's own, ranked for a person as the home feed ranks its candidates.",
    call="POST /v1/rank",
    personal=True,
    encoder=home.encoder,
    retrievers=(Given(),),
    filters=home.filters,
    ranked=MOST,
    ranker=home.ranker,
    paging=Paging(MOST, MOST, 0),
    parts_of=home.name,
    reports=True,
)
