"""The texts of reasons, by locale: templates in texts/, one file a language.

A code may have several texts, `code.variant`. A language is added by a file with the same keys and placeholders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from recommend.query import Query
from recommend.stage import Reason

DEFAULT = "en"


def _read() -> dict[str, Mapping[str, str]]:
    folder = Path(__file__).parent / "texts"
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


TEXTS = _read()
"""language → code, or code and variant → template"""


def language_of(locale: str) -> str:
    """The language that the texts for a locale (BCP 47, such as `de-AT`) are in: DEFAULT where it has none."""
    language = locale.replace("_", "-").partition("-")[0].lower()
    return language if language in TEXTS else DEFAULT


def reason(query: Query, code: str, item_id: str | None = None, variant: str = "", **values: str) -> Reason:
    """The reason of a code in the query's language. Raises KeyError where the code has no text, or the text names a
    value that is not given."""
    template = TEXTS[query.language][f"{code}.{variant}" if variant else code]
    return Reason(code, template.format_map(values) if values else template, item_id)
