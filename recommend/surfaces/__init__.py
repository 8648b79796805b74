"""The surfaces of the product, one a file. A new one is a file, an entry in this list, and a test."""

from recommend.surfaces.bought_together import bought_together
from recommend.surfaces.cart import cart
from recommend.surfaces.home import home
from recommend.surfaces.onboarding import onboarding
from recommend.surfaces.rank import rank
from recommend.surfaces.similar import similar
from recommend.surfaces.trending import trending

SURFACES = (home, similar, bought_together, cart, trending, rank, onboarding)

PERSONAL = {surface.name: surface for surface in SURFACES if surface.personal and not surface.reports}
"""those that find items for a person, by name"""

__all__ = ["PERSONAL", "SURFACES", "bought_together", "cart", "home", "onboarding", "rank", "similar", "trending"]
