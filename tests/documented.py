"""The calls in the docs, and the answers that are printed below them.

A block of shell with one `curl`, and a block of JSON right after it, are a call and its answer. In an answer `"..."`
stands for what is left out: as the last element of a list, as a field of an object, at the end of a text.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).parent.parent / "docs"
CUT = "..."
STABLE = {
    "algorithm", "by", "code", "degraded", "enabled", "event_type", "field", "fewer", "kind", "reason", "region",
    "source", "state", "status", "surface", "unknown_items", "user_id", "variant", "version",
}  # fmt: skip
"""fields whose values are the same in each answer; of others only the type is"""
WIDTH = 120
_BLOCK = r"(?:(?!```).)*"
_SHELL = re.compile(rf"```sh\n({_BLOCK})```(?:\n\n```json\n({_BLOCK})```)?", re.DOTALL)
_SHOWN = {"rows": 2, "answers": 2}
"""elements that are printed of the lists with these names"""
_KEPT = {"item": ("title",), "detail": ("sources", "scores"), "trace": ("step", "stage", "candidates_out")}
"""fields that are printed of the objects with these names, or of the objects of lists with these names"""
_FEW = {"timings_ms": 2, "scores": 3, "features": 3}
_LONG = {"next": 16, "token": 16}
_SAID_OF = 90
"""characters of a text that is printed whole"""


class Call(NamedTuple):
    page: str
    method: str
    path: str
    body: str | None
    printed: str | None
    """the JSON below it"""

    @property
    def printed_value(self) -> Any:
        """The answer below it. Raises ValueError where that is no JSON."""
        return json.loads(self.printed or "null")


def calls() -> list[Call]:
    """Every `curl` of the docs, in their order, but for those in blocks with variables or commands of shell."""
    return [call for page in sorted(DOCS.glob("*.md")) for call in calls_of(page.stem, page.read_text())]


def calls_of(page: str, text: str) -> list[Call]:
    """Those of a page. Raises ValueError where an answer is below a block without a call, or with several."""
    found = []
    for block, printed in _SHELL.findall(text):
        if "$(" in block:
            continue
        words = shlex.split(block.replace("\\\n", " "), comments=True)
        starts = [k for k, word in enumerate(words) if word == "curl"]
        ends = [*starts[1:], len(words)]
        if printed and len(starts) != 1:
            raise ValueError(f"{page}: an answer is that of one call, and here are {len(starts)}: {block[:80]}")
        found += [_call(page, words[start:end], printed or None) for start, end in zip(starts, ends, strict=False)]
    return found


def _call(page: str, words: list[str], printed: str | None) -> Call:
    path = next(word for word in words if "localhost:8000" in word).split("localhost:8000", 1)[1]
    body = words[words.index("-d") + 1] if "-d" in words else None
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if body else "GET"
    return Call(page, method, path, body, printed)


def cut(value: Any, name: str = "", inside: int = 0) -> Any:
    """What is printed of an answer, or of the part of it that has a name; `inside` is the number of lists around."""
    if isinstance(value, dict):
        kept = [key for key in _KEPT.get(name, value) if key in value][: _FEW.get(name)]
        found = {key: cut(value[key], key, inside) for key in kept}
        return {**found, CUT: CUT} if len(found) < len(value) else found
    if isinstance(value, list):
        most = _SHOWN.get(
            name, 1 if inside and name == "items" else 2 if any(isinstance(e, dict) for e in value) else 3
        )
        shown = [cut(each, name, inside + 1) for each in value[:most]]
        return [*shown, CUT] if len(value) > most else shown
    if isinstance(value, str) and len(value) > _LONG.get(name, _SAID_OF):
        return value[: _LONG.get(name, _SAID_OF)] + CUT
    return value


def text_of(value: Any, indent: int = 0, name: str = "") -> str:
    """JSON in lines of WIDTH: what fits is on one line, and short fields stand side by side; `name` is what stands
    before the value."""
    line = name + json.dumps(value, ensure_ascii=False)
    if not value or not isinstance(value, dict | list) or indent + len(line) < WIDTH:
        return line
    if isinstance(value, dict):
        entries = [text_of(each, indent + 2, f"{json.dumps(key)}: ") for key, each in value.items()]
    else:
        entries = [text_of(each, indent + 2) for each in value]
    lines = [""]
    for number, entry in enumerate(entries):
        entry += "," if number < len(entries) - 1 else ""
        fits = len(lines[-1]) + len(entry) + indent + 3 <= WIDTH and "\n" not in entry + lines[-1]
        if lines[-1] and fits:
            lines[-1] += f" {entry}"
        elif lines[-1]:
            lines.append(entry)
        else:
            lines[-1] = entry
    first, last = "{}" if isinstance(value, dict) else "[]"
    pad = "\n" + " " * (indent + 2)
    return name + first + "".join(pad + each for each in lines) + "\n" + " " * indent + last


def rewritten(page: str, text: str, answers: Mapping[Call, Any]) -> str:
    """The text of a page with these answers below its calls."""

    def block(found: re.Match[str]) -> str:
        if found[2] is None:
            return found[0]
        (call,) = calls_of(page, found[0])
        if call not in answers:
            return found[0]
        return f"```sh\n{found[1]}```\n\n```json\n{text_of(cut(answers[call]))}\n```"

    return _SHELL.sub(block, text)


def differences(printed: Any, live: Any, at: str = "answer", name: str = "") -> list[str]:
    """In what the shape of a live answer is another than that of the printed one, a line each."""
    if isinstance(printed, dict):
        if not isinstance(live, dict):
            return [f"{at}: an object is printed, and the answer has {live!r}"]
        said = printed.keys() - {CUT}
        found = [f"{at}: {key} is printed, and the answer does not have it" for key in sorted(said - live.keys())]
        if CUT not in printed:
            found += [f"{at}: {key} is not printed" for key in sorted(live.keys() - said)]
        for key in sorted(said & live.keys()):
            found += differences(printed[key], live[key], f"{at}.{key}", key)
        return found
    if isinstance(printed, list):
        return _of_list(printed, live, at, name)
    if _kind(printed) != _kind(live):
        return [f"{at}: {printed!r} is printed, and the answer has {live!r}"]
    if name in STABLE and printed != live and not str(printed).endswith(CUT):
        return [f"{at}: {printed!r} is printed, and the answer has {live!r}"]
    return []


def _of_list(printed: list[Any], live: Any, at: str, name: str) -> list[str]:
    said = printed[:-1] if printed and printed[-1] == CUT else printed
    if not isinstance(live, list) or len(live) < len(said) or (live and not printed):
        return [f"{at}: {len(said)} elements are printed, and the answer has {live!r}"[:300]]
    found = []
    for k, each in enumerate(said):
        against = [differences(each, other, f"{at}[{k}]", name) for other in live]
        if all(against):
            found += min(against, key=len)
    return found


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__
