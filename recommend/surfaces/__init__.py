"""The surfaces of the product, one a file. A new one is a file, an entry in this list, and a test."""

from recommend.surfaces.home import home
from recommend.surfaces.similar import similar
from recommend.surfaces.trending import trending

SURFACES = (home, similar, trending)

PERSONAL = {surface.name: surface for surface in SURFACES if surface.personal}
"""those that answer a person, by name"""

__all__ = ["PERSONAL", "SURFACES", "home", "similar", "trending"]
