"""The surfaces of the product, one a file. A new one is a file with its stages, and a section in docs/surfaces.md: it
is found by its name, and its parameters, metrics, commands and tests follow."""

import os

from recommend.discovery import SETTING, personal, surfaces_in, with_own
from recommend.surface import Surface
from recommend.surfaces.bought_together import bought_together
from recommend.surfaces.cart import cart
from recommend.surfaces.home import home
from recommend.surfaces.onboarding import onboarding
from recommend.surfaces.rank import rank
from recommend.surfaces.similar import similar
from recommend.surfaces.trending import trending

SURFACES = surfaces_in(__name__)

PERSONAL = personal(SURFACES)
"""those that find items for a person, by name"""


def declared() -> tuple[Surface, ...]:
    """These and a team's own, of the module or package that FRESHET_SURFACES names. Raises SurfaceError."""
    return with_own(SURFACES, os.environ.get(SETTING, ""))


__all__ = [
    "PERSONAL", "SURFACES", "bought_together", "cart", "declared", "home", "onboarding", "rank", "similar", "trending"
]  # fmt: skip
