"""What the command line adds to cyclopts's errors: which options there are, and how several values are written."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Annotated, Any, get_origin

from cyclopts import Parameter, Token, UnknownOptionError, UnusedCliTokensError

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection, CycloptsError


def _split(kind: type[Any], tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(word.strip() for token in tokens for word in token.value.split(",") if word.strip())


Words = Annotated[tuple[str, ...], Parameter(converter=_split, n_tokens=1, negative=(), show_default=False)]
"""an option with several words, separated by commas"""


def show(error: CycloptsError) -> None:
    """Prints the error as cyclopts does, with a hint, wrapped to the width of the terminal."""
    from cyclopts import CycloptsPanel
    from rich.console import Console

    text = error.__rich__()
    text.append(_hint(error))
    text.overflow = "fold"  # a word longer than a line goes on in the next one
    Console(stderr=True).print(CycloptsPanel(text))  # one of its own: cyclopts's keeps the width of its first use


def _hint(error: CycloptsError) -> str:
    if isinstance(error, UnknownOptionError):
        return "" if "Did you mean" in str(error) else _there_are(error.argument_collection)
    if isinstance(error, UnusedCliTokensError) and error.app and error.root_input_tokens and error.unused_tokens:
        known = error.app.assemble_argument_collection()
        return _with_commas(known, error.root_input_tokens, error.unused_tokens) or _there_are(known)
    return ""


def _with_commas(known: ArgumentCollection, words: Sequence[str], unused: Sequence[str]) -> str:
    """How the unused words are written as further values of the option before them; "" where it has one value."""
    first = _place(known, words, unused)
    at = next((place for place in reversed(range(first)) if words[place].startswith("-")), None)
    if at is None:
        return ""
    name, _, value = words[at].partition("=")
    if not any(name in each.names and get_origin(each.hint) is tuple for each in known):
        return ""
    given = [value] if value else words[at + 1 : first]
    further = takewhile(lambda word: not word.startswith("-"), words[first:])
    return f" Several values are separated by commas: {name} {','.join([*given, *further])}"


def _place(known: ArgumentCollection, words: Sequence[str], unused: Sequence[str]) -> int:
    """Where the first unused word stands; 0 where that is not clear. A word may stand in the command line several
    times: the unused ones are looked for from the end, and not where they are the value of an option."""
    valued = {name for each in known if each.hint is not bool for name in each.names}
    place = len(words)
    for token in reversed(unused):
        free = (at for at in reversed(range(1, place)) if words[at] == token and words[at - 1] not in valued)
        place = next(free, 0)
    return place


def _there_are(known: ArgumentCollection) -> str:
    names = [each.names[0] for each in known if each.names and each.parse]
    return f" It takes {', '.join(names)}." if names else " It takes no options."
