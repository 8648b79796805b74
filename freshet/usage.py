"""What the command line adds to cyclopts's errors: which options there are, and how several values are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_origin

from cyclopts import Parameter, Token, UnknownOptionError, UnusedCliTokensError

if TYPE_CHECKING:
    from cyclopts import ArgumentCollection, CycloptsError
    from rich.panel import Panel


def _split(kind: type[Any], tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(word.strip() for token in tokens for word in token.value.split(",") if word.strip())


Words = Annotated[tuple[str, ...], Parameter(converter=_split, n_tokens=1, negative=(), show_default=False)]
"""an option with several words, separated by commas"""


def panel(error: CycloptsError) -> Panel:
    """The error as cyclopts shows it, with a hint."""
    from cyclopts import CycloptsPanel

    text = error.__rich__()
    text.append(_hint(error))
    return CycloptsPanel(text)


def _hint(error: CycloptsError) -> str:
    if isinstance(error, UnknownOptionError):
        return "" if "Did you mean" in str(error) else _there_are(error.argument_collection)
    if isinstance(error, UnusedCliTokensError) and error.app and error.root_input_tokens and error.unused_tokens:
        known = error.app.assemble_argument_collection()
        words = error.root_input_tokens
        first = words.index(error.unused_tokens[0])
        option = next((word for word in reversed(words[:first]) if word.startswith("-")), "")
        name, _, value = option.partition("=")
        several = [each for each in known if name in each.names and get_origin(each.hint) is tuple]
        if several:
            given = [value] if value else words[words.index(option) + 1 : first]
            return f" Several values are separated by commas: {name} {','.join([*given, *error.unused_tokens])}"
        return _there_are(known)
    return ""


def _there_are(known: ArgumentCollection) -> str:
    names = [each.names[0] for each in known if each.names and each.parse]
    return f" It takes {', '.join(names)}." if names else " It takes no options."
