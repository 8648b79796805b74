"""Which field of an event a validation error is about: msgspec's messages, taken apart."""

from __future__ import annotations

from typing import Any, get_args

from msgspec import ValidationError, convert, structs

ID_PATTERN = r"^(?!\.\.?$)[^\x00-\x1f\x7f]+$(?!\n)"
"""No control characters, and neither "." nor "..", which clients resolve away in a path: every id that is accepted can
be asked for in a URL."""
NO_CONTROL = "must not hold control characters"
NOT_AN_ID = f"{NO_CONTROL}, nor be . or .."


def field_of(error: ValidationError) -> tuple[str, str]:
    """(path of the field at fault, what is wrong) from a msgspec message.

    msgspec says "Expected `str`, got `int` - at `$.item_id`" or "Object contains unknown field `x`" or
    "Object missing required field `x`"; receipts need the two halves apart.
    """
    message = str(error)
    for start, detail in (
        ("Object contains unknown field `", "is not a field of this event"),
        ("Object missing required field `", "is required"),
    ):
        if message.startswith(start):
            return message[len(start) : -1], detail
    detail, at, where = message.rpartition(" - at `")
    if not at:
        return "", message
    path = where.rstrip("`").removeprefix("key` in `").removeprefix("$").removeprefix(".")
    if detail.startswith("Expected `str` matching regex"):
        detail = NOT_AN_ID if detail.endswith(f"{ID_PATTERN!r}") else NO_CONTROL
    return path, f"a name in it: {detail}" if where.startswith("key`") else detail


def choices_of(kind: type[Any], path: str) -> tuple[Any, ...]:
    """The values that a field of an event may have, where it may have certain ones alone."""
    return next((get_args(field.type) for field in structs.fields(kind) if field.name == path), ())


def entry_of(kind: type[Any], fields: dict[str, Any], path: str) -> str:
    """The path with the name of the map's entry, which msgspec leaves out: `properties[...]` → `properties.query`."""
    where, _, rest = path.partition("[...]")
    wanted = next((field.type for field in structs.fields(kind) if field.name == where), None)
    if wanted is None:
        return path  # somebody's field has this for its name
    for name, value in fields[where].items():
        try:
            convert({name: value}, wanted)
        except ValidationError:
            return f"{where}.{name}{rest}"
    return where
