"""A small made log whose people each love one genre."""

from __future__ import annotations

import random

from schemas.events import Interaction, Item
from training.accepted import Log

T0 = 1_767_225_600_000
GENRES = ("comedy", "drama", "horror")


def made_log(people: int = 40, films: int = 60, each: int = 25, seed: int = 1) -> Log:
    """Film k is of genre k % 3; person p rates films of genre p % 3 five, of the others two stars."""
    chance = random.Random(seed)
    items = [Item(f"i{k}", f"Film {k}", [GENRES[k % 3]], attributes={"year": 1990 + k % 9}) for k in range(films)]
    events = []
    for person in range(people):
        at = T0 + chance.randrange(20 * 86_400_000)
        own = [k for k in range(films) if k % 3 == person % 3]
        for step, film in enumerate(chance.sample(own, 15) + chance.sample(range(films), each - 15)):
            stars = 5.0 if film % 3 == person % 3 else 2.0
            events.append(
                Interaction(
                    f"e{person}-{step}", "rating", f"u{person}", at + step * 60_000, f"i{film}",
                    properties={"rating": stars, "region": f"r{person % 2}"},
                )
            )  # fmt: skip
    return Log(sorted(events, key=lambda e: e.timestamp), items)
